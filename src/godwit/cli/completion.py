"""Completion by tab: of verbs and options by click, of names by asking the server, briefly."""

from collections.abc import Callable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from godwit.cli.asking import URL_DEFAULT, asking_of
from godwit.cli.client import Client
from godwit.cli.exits import Failure

COMPLETION_S: Final = 1.0
"""Nobody waits longer for a completion; then there is none."""

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    For bash, add to ~/.bashrc: eval "$(godwit completion bash)"
    """
    root = click.get_current_context().find_root()
    name = root.info_name or "godwit"
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    variable = f"_{name.upper().replace('-', '_')}_COMPLETE"
    click.echo(kind(root.command, {}, name, variable).source())


def _completing(words: Callable[[Client], list[tuple[str, str]]]) -> Complete:
    """A completion from what the server answers; silently none if it does not."""

    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        url = context.params.get("url") or URL_DEFAULT
        try:
            found = words(asking_of(context, url, as_json=False).client)
        except Failure:
            return []
        return [
            CompletionItem(value, help=about)
            for value, about in found
            if value.startswith(incomplete)
        ]

    return complete


def _items(client: Client, path: str, key: str) -> list[dict[str, Any]]:
    raw = client.get(path, timeout_s=COMPLETION_S)
    found = client.read(raw, dict[str, list[dict[str, Any]]])
    return found.get(key, [])


def _hosts(client: Client) -> list[tuple[str, str]]:
    items = _items(client, "/v2.1/os-services", "services")
    return [(item["host"], f"{item['state']}, {item['status']}") for item in items]


def _servers(client: Client) -> list[tuple[str, str]]:
    items = _items(client, "/v2.1/servers", "servers")
    return [(item["name"], item["id"]) for item in items]


def _migrations(client: Client) -> list[tuple[str, str]]:
    items = _items(client, "/godwit/v1/migrations?limit=50", "migrations")
    return [(str(item["id"]), f"{item['server_name']}, {item['status']}") for item in items]


def _flavors(client: Client) -> list[tuple[str, str]]:
    return [(item["id"], "") for item in _items(client, "/v2.1/flavors", "flavors")]


complete_hosts: Final = _completing(_hosts)
complete_servers: Final = _completing(_servers)
complete_migrations: Final = _completing(_migrations)
complete_flavors: Final = _completing(_flavors)
