"""A story, or many moves at once, on a terminal: what changes is redrawn in place, and vanishes at
the end.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from godwit.cli.many_lines import Row, board_lines
from godwit.cli.migration_answers import Migration
from godwit.cli.progress import Furthest, live_line

_COLOURS = {"+": "green", "*": "bold green", ">": "green", "-": "yellow", "!": "red", ".": "cyan"}


class TerminalScreen:
    """A `Screen` for people."""

    def __init__(self, console: Console | None = None) -> None:
        """A console of one's own is for tests."""
        self._console = console or Console(highlight=False, markup=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._furthest = Furthest()

    def __enter__(self) -> "TerminalScreen":
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *_of: object) -> None:
        """Give the terminal back as it was."""
        self._live.stop()

    def line(self, text: str) -> None:
        """See `Screen`; the sign of a step has its colour."""
        shown = Text(text)
        if text.startswith("  ") and text[2:3] in _COLOURS:
            shown.stylize(_COLOURS[text[2]], 2, 3)
        # What was going on until now is over: nobody shall see it below the news.
        self._live.update(Text(), refresh=True)
        self._console.print(shown, soft_wrap=True)

    def now(self, migration: Migration) -> None:
        """See `Screen`."""
        if migration.progress is not None:
            self._furthest = self._furthest.after(migration.progress)
        text = Text(live_line(migration, self._furthest), no_wrap=True, overflow="ellipsis")
        self._live.update(text, refresh=True)


class TerminalBoard:
    """A `Board` for people."""

    def __init__(self, console: Console | None = None) -> None:
        """A console of one's own is for tests."""
        self._console = console or Console(highlight=False, markup=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> "TerminalBoard":
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *_of: object) -> None:
        """Give the terminal back as it was."""
        self._live.stop()

    def line(self, text: str) -> None:
        """See `Board`."""
        self._console.print(Text(text), soft_wrap=True)

    def show(self, rows: Sequence[Row]) -> None:
        """See `Board`."""
        lines = board_lines(rows, self._console.height - 1)
        self._live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
