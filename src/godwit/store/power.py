"""What people have stated about a host's power. Called by `sql` and `queries`."""

from typing import Final

from msgspec.structs import replace
from sqlalchemy import bindparam, or_, select, update

from godwit.model.errors import NotFound
from godwit.model.host import PersonsWord
from godwit.model.ids import HostName
from godwit.model.reasons import Code, reason
from godwit.store import claims, servers, stories
from godwit.store.statements import Connection, Reads, Writes
from godwit.store.tables import hosts, migrations

_this_host = hosts.c.name == bindparam("key")

CONFIRM: Final = Writes(update(hosts).where(_this_host), "confirmed_down", "confirmed_up")
ABOUT: Final = Reads(
    select(migrations.c.uuid)
    .where(
        claims.UNDER_WAY,
        or_(
            migrations.c.source_compute == bindparam("host"),
            migrations.c.dest_compute == bindparam("host"),
        ),
    )
    .order_by(migrations.c.uuid),
    str,
)
HEARD: Final = Writes(update(hosts).where(_this_host), "confirmed_down")
WORD: Final = Reads(
    select(hosts.c.confirmed_down).where(_this_host).with_for_update(key_share=True),
    lambda confirmed_down: confirmed_down,
)
DOWN: Final = Reads(
    select(hosts.c.name, hosts.c.confirmed_down).where(hosts.c.confirmed_down.is_not(None)),
    lambda name, confirmed_down: (HostName(name), confirmed_down),
)


def hear(connection: Connection, host: HostName, *, at: str) -> bool:
    """See `Store.hear_confirmed_down`."""
    word = WORD.first(connection, key=host)
    if word is None:
        return False
    HEARD.run(connection, key=host, confirmed_down=replace(word, heard_at=at))
    return not word.heard_at


def confirm(
    connection: Connection, host: HostName, word: PersonsWord, *, is_down: bool
) -> tuple[str, ...]:
    """See `Store.confirm_power`."""
    about = ABOUT.all(connection, host=host)
    for uuid in about:
        stories.wake(connection, uuid)
    down, up = (word, None) if is_down else (None, word)
    if not CONFIRM.run(connection, key=host, confirmed_down=down, confirmed_up=up):
        raise NotFound(reason(Code.HOST_UNKNOWN, name=host))
    if not is_down:
        servers.DUE_NOW.run(connection, host=host)
    return about
