"""Following one migration until it ends, or until a person is needed.

The server may go away meanwhile and come back: the transfer does not depend on it, so neither does
the watching, for a while.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from godwit.cli.client import POLL_WAIT_S, Client
from godwit.cli.exits import Exit, Failure
from godwit.cli.migration_answers import Entry, Migration, Timeline
from godwit.cli.screen import Screen
from godwit.cli.story import closing, entry_lines, has_no_figures_yet, opening

T = TypeVar("T")

RETRIES_MAX: Final = 90
RETRY_PAUSE_S: Final = 1.0
LAST_LINES_WAIT_S: Final = 2.0
"""After the end is known, the story's last lines are waited for so long."""


def follow(
    client: Client, uuid: str, screen: Screen, pause: Callable[[float], object]
) -> Migration:
    """Show the story of a migration from its beginning; its record when there is no more to show.

    Raises `Failure` if the server stays away.
    """
    heard: list[Entry] = []
    teller = _Teller(screen)
    seen = ""
    ask = partial(patiently, client.url, screen.line, pause)
    news = ask(lambda: client.timeline(uuid))
    screen.line(opening(news.migration))
    while not _over(news, seen):
        heard += news.entries
        teller.tell(news.entries, news.migration)
        screen.now(news.migration)
        seen = news.seen
        news = ask(_more(client, uuid, heard, news))
    heard += news.entries
    teller.tell(news.entries, news.migration, at_the_end=True)
    for line in closing(news.migration, heard):
        screen.line(line)
    return news.migration


class _Teller:
    """Turns entries into lines, leaves out what only repeats the line before, and holds back the
    switch until its figures are there: they are recorded a moment after it.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._before = ""
        self._held: Entry | None = None

    def tell(
        self, entries: Sequence[Entry], migration: Migration, *, at_the_end: bool = False
    ) -> None:
        """Show these entries, and what was held back."""
        held = [] if self._held is None else [self._held]
        ready = [*held, *entries]
        self._held = None
        if entries and not at_the_end and has_no_figures_yet(entries[-1], migration):
            self._held = ready.pop()
        for line in [line for entry in ready for line in entry_lines(entry, migration)]:
            if line != self._before:
                self._screen.line(line)
            self._before = line


def _more(client: Client, uuid: str, heard: list[Entry], news: Timeline) -> Callable[[], Timeline]:
    after = heard[-1].sequence if heard else 0
    wait_s = POLL_WAIT_S if news.migration.outcome == "under-way" else LAST_LINES_WAIT_S
    return lambda: client.timeline(uuid, after=after, seen=news.seen, wait_s=wait_s)


def _over(news: Timeline, seen: str) -> bool:
    """Is there no more to show? After the end, an answer that is no news says so, too."""
    migration = news.migration
    if migration.outcome == "under-way":
        return False
    return migration.person_needed or migration.direction in ("", "ended") or news.seen == seen


def patiently(
    url: str,
    tell: Callable[[str], object],
    pause: Callable[[float], object],
    question: Callable[[], T],
) -> T:
    """The answer, asked for again while the server does not answer; the first silence is told."""
    for attempt in range(RETRIES_MAX):
        try:
            return question()
        except Failure as failure:
            if failure.exit_code is not Exit.CANNOT_ASK or failure.code == "migration-unknown":
                raise
        if attempt == 0:
            tell(f"  ~ {url} does not answer; asking again (the transfer goes on)")
        pause(RETRY_PAUSE_S)
    raise Failure(
        Exit.CANNOT_ASK,
        f"{url} has not answered for {RETRIES_MAX * RETRY_PAUSE_S:.0f} s",
        "the migration does not need it to go on; once it answers: godwit migration list",
    )
