"""Where many moves appear at once: `Board`, and the plain one for pipes, files and logs.

The one for terminals is in `terminal`, which alone imports rich.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

import click

from godwit.cli.many_lines import Row


class Board(Protocol):
    """Shows a row for each server."""

    def __enter__(self) -> "Board": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def line(self, text: str) -> None:
        """A line that stays."""
        ...

    def show(self, rows: Sequence[Row]) -> None:
        """How far each is now; replaced by the next call."""
        ...


class PlainBoard:
    """A line for each server whenever its status is another one."""

    def __init__(self) -> None:
        """Nothing was printed yet."""
        self._told: dict[str, str] = {}

    def __enter__(self) -> "PlainBoard":
        """Nothing to prepare."""
        return self

    def __exit__(self, *_of: object) -> None:
        """Nothing to put back."""

    def line(self, text: str) -> None:
        """See `Board`."""
        click.echo(text)

    def show(self, rows: Sequence[Row]) -> None:
        """See `Board`."""
        for row in rows:
            if self._told.get(row.name) != row.status:
                self._told[row.name] = row.status
                click.echo(row.line)


class SilentBoard(PlainBoard):
    """Shows nothing: the caller prints one JSON document at the end."""

    def line(self, text: str) -> None:
        """See `Board`."""

    def show(self, rows: Sequence[Row]) -> None:
        """See `Board`."""
