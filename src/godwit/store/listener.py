"""Hears what other processes write on the same PostgreSQL server, for those who wait in this one.
Used by `server_writer`, which says it.

A thread listens on a connection of its own. It is a hint, never needed: who waits also looks by
itself now and then.
"""

import threading
from typing import Final

from godwit.store.news import News
from godwit.store.postgres import Server, ServerConnection
from godwit.store.statements import ServerTrouble

LISTEN: Final = "LISTEN godwit"
SAY: Final = "BEGIN; SET LOCAL synchronous_commit = off; NOTIFY godwit, '{}'; COMMIT"
SAID_MAX: Final = 7_000
"""PostgreSQL takes 8,000 bytes. What does not fit is not said."""
HEARD_WITHIN_S: Final = 0.2
"""So long is a look; the end of the process waits for no more."""
TRY_AGAIN_S: Final = 2.0
ENDED: Final = "!"


def say(connection: ServerConnection, news: dict[str, bool]) -> None:
    """Let all who listen know which migrations have changed, and whether each has ended."""
    words = (f"{uuid}{ENDED if ended else ''}" for uuid, ended in news.items())
    said = " ".join(word for word in words if word.isprintable() and "'" not in word)
    connection.execute(SAY.format(said[:SAID_MAX].rpartition(" ")[0] if said[SAID_MAX:] else said))


class Listener:
    """Tells `news` of what others write, until it is closed."""

    def __init__(self, server: Server, news: News) -> None:
        """Connects by itself, again and again as long as it cannot."""
        self._server = server
        self._news = news
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="store-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more. Repeatable."""
        self._closed.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._hear(self._server.connect())
            except ServerTrouble:
                self._closed.wait(TRY_AGAIN_S)

    def _hear(self, connection: ServerConnection) -> None:
        try:
            connection.execute(LISTEN)
            while not self._closed.is_set():
                for said in connection.heard(HEARD_WITHIN_S):
                    words = said.split()
                    self._news.heard(
                        {word.removesuffix(ENDED): word[-1] == ENDED for word in words}
                    )
        finally:
            connection.close()
