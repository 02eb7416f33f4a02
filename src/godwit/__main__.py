"""The command `godwit`: client verbs come from `cli`, server verbs from `service` and `lab`.

A server room is imported only when one of its verbs is called, so that the client starts quickly.
"""

import importlib
from collections.abc import Mapping
from typing import Final

import click

from godwit.cli.audit import audit
from godwit.cli.completion import completion
from godwit.cli.debts import debt
from godwit.cli.hosts import host
from godwit.cli.migrate import migrate
from godwit.cli.migrations import migration
from godwit.cli.servers import server

CLIENT_VERBS: Final[tuple[click.Command, ...]] = (
    host,
    server,
    migrate,
    migration,
    audit,
    debt,
    completion,
)

SERVER_VERBS: Final[Mapping[str, tuple[str, str, str]]] = {
    "serve": ("godwit.service.serve", "serve", "Run API, conductor, scheduler and host managers."),
    "api": ("godwit.service.api", "api", "Answer requests; conductors carry them out."),
    "conductor": ("godwit.service.conductor", "conductor", "Tell the stories of migrations."),
    "compute": ("godwit.service.compute", "compute", "Act on one host for conductors on the bus."),
    "bus": ("godwit.service.bus", "bus", "Set up the bus between processes."),
    "sim": ("godwit.sim.run", "sim", "The whole system under a seed, in virtual time."),
    "db": (
        "godwit.service.db",
        "db",
        "The database's tables: their version, and how to bring them up.",
    ),
    "lab": ("godwit.lab.cli", "lab", "Real libvirt hosts on this one box."),
}
"""Verb: the module and the name of its command, and a line for the list of verbs."""


class Dispatch(click.Group):
    """The client's verbs, and the server's by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, sorted."""
        return sorted({*super().list_commands(ctx), *SERVER_VERBS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; a server verb's room is imported here."""
        if cmd_name not in SERVER_VERBS:
            return super().get_command(ctx, cmd_name)
        module, name, _ = SERVER_VERBS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{name} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing a server room."""
        lines = [
            (verb, SERVER_VERBS[verb][2] if verb in SERVER_VERBS else own.get_short_help_str(70))
            for verb in self.list_commands(ctx)
            for own in [self.commands.get(verb, self)]
        ]
        with formatter.section("Commands"):
            formatter.write_dl(lines)


main = Dispatch(
    name="godwit",
    commands={verb.name: verb for verb in CLIENT_VERBS if verb.name},
    help="Live-migrates running virtual machines between hypervisor hosts.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
main = click.version_option(package_name="godwit", prog_name="godwit")(main)

if __name__ == "__main__":
    main(prog_name="godwit")
