"""`godwit debt ...`: clean-up that hosts still owe."""

import click

from godwit.cli.answers import Debts, OwedHere
from godwit.cli.asking import Asking, verb
from godwit.cli.completion import complete_hosts
from godwit.cli.text import at, begun, table


@click.group()
def debt() -> None:
    """Clean-up that could not be done because a host was gone. It is tried again by itself."""


@debt.command("list")
@click.option("--host", metavar="HOST", shell_complete=complete_hosts, help="What this host owes.")
@verb
def list_debts(asking: Asking, host: str | None) -> None:
    """What is owed, by whom, for which server, and why it could not be done; oldest first."""
    raw = asking.client.get("/godwit/v1/debts")
    found = asking.client.read(raw, Debts).debts
    asking.put(raw, lambda: debt_table([d for d in found if host in (None, d.host)]))


def debt_table(debts: list[OwedHere]) -> list[str]:
    """One line per debt."""
    rows = [
        (
            each.host,
            each.server or each.server_uuid or "-",
            f"{'undo ' if each.undo else ''}{each.step}",
            each.migration_uuid,
            str(each.attempts),
            at(each.due_at),
            begun(each.words),
        )
        for each in debts
    ]
    heads = ("host", "server", "owes", "migration", "tried", "again at", "last said")
    return table(heads, rows, empty="nothing is owed")
