"""Where a story appears: `Screen`, and the plain one for pipes, files and logs.

The one for terminals is in `terminal`, which alone imports rich.
"""

from types import TracebackType
from typing import Protocol

import click

from godwit.cli.migration_answers import Migration
from godwit.cli.progress import Furthest, progress_line


class Screen(Protocol):
    """Shows a story as it happens."""

    def __enter__(self) -> "Screen": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def line(self, text: str) -> None:
        """A line that stays."""
        ...

    def now(self, migration: Migration) -> None:
        """What happens at this moment; replaced by the next call."""
        ...


class PlainScreen:
    """Lines only; of the progress, now and then one that says something new."""

    def __init__(self) -> None:
        """Nothing was printed yet."""
        self._furthest = Furthest()

    def __enter__(self) -> "PlainScreen":
        """Nothing to prepare."""
        return self

    def __exit__(self, *_of: object) -> None:
        """Nothing to put back."""

    def line(self, text: str) -> None:
        """See `Screen`."""
        click.echo(text)

    def now(self, migration: Migration) -> None:
        """See `Screen`."""
        progress = migration.progress
        if progress is None or migration.status != "running":
            return
        self._furthest = self._furthest.after(progress)
        if self._furthest.worth_a_line(progress):
            self._furthest = self._furthest.having_printed(progress)
            click.echo(progress_line(progress, self._furthest))


class SilentScreen(PlainScreen):
    """Shows nothing: the caller prints one JSON document at the end."""

    def line(self, text: str) -> None:
        """See `Screen`."""

    def now(self, migration: Migration) -> None:
        """See `Screen`."""
