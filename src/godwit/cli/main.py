"""The client verbs, ready to be mounted in the `godwit` command."""

from typing import Final

import click

from godwit.cli.completion import completion
from godwit.cli.hosts import host
from godwit.cli.migrate import migrate
from godwit.cli.migrations import migration
from godwit.cli.servers import server

VERBS: Final[tuple[click.Command, ...]] = (host, server, migrate, migration, completion)


@click.group()
def client() -> None:
    """Live-migrate running virtual machines between hypervisor hosts."""


for _verb in VERBS:
    client.add_command(_verb)
