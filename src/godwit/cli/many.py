"""`godwit migrate` of many servers: all are checked, then those that can go are moved, watched
together, and summed up. One that cannot go does not hinder the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import click

from godwit.cli.answers import Server
from godwit.cli.asking import Asking
from godwit.cli.board import Board
from godwit.cli.client import Client, the_one
from godwit.cli.exits import Exit, Failure, worst_of
from godwit.cli.many_lines import Row, check_lines, intent_line, row_of, summary_lines
from godwit.cli.migration_answers import Migration
from godwit.cli.move import Move, document
from godwit.cli.progress import Furthest
from godwit.cli.watch import patiently

LOOK_EVERY_S: Final = 0.5
LISTED_MORE: Final = 50
"""So many of other people's newer migrations may stand before ours in the list that is looked at;
what it does not hold is asked for by itself."""
LISTED_MAX: Final = 1000


@dataclass(frozen=True)
class Order:
    """What was typed."""

    named: tuple[str, ...]
    source: str | None
    wish: Mapping[str, object]
    """As the server takes it; `host` is where all are to go, or None."""
    why: str
    only_check: bool
    wait: bool
    all_hosts: bool = False
    """Each host that refuses is told by itself."""

    @property
    def host(self) -> str | None:
        """Where all are to go."""
        host = self.wish["host"]
        return None if host is None else str(host)


def migrate_many(asking: Asking, order: Order) -> Exit:
    """Check all, move those that can go, watch them to their ends; the worst exit code."""
    moves = _named(asking.client, order)
    if not moves:
        words = f"{order.source} has no servers: nothing is moved"
        asking.put(document(()), lambda: [words])
        return Exit.MOVED
    moves = asking.wiring.each(partial(_checked, asking.client, order.wish), moves)
    asking.say(*check_lines(moves, order.host, all_hosts=order.all_hosts))
    if order.only_check:
        return _told(asking, moves, [])
    asking.say(intent_line(moves))
    return _moved(asking, order, moves)


def _told(asking: Asking, moves: Sequence[Move], lines: list[str]) -> Exit:
    asking.put(document(moves), lambda: lines)
    return worst_of(move.end for move in moves)


# --- who ------------------------------------------------------------------------------------------


def _named(client: Client, order: Order) -> list[Move]:
    """Every server that was named or is on the host to be emptied, once."""
    for host in dict.fromkeys((order.host, order.source)):
        if host is not None:
            found = client.host(host)
            if host == order.source and not found.up:
                raise Failure(
                    Exit.REFUSED,
                    f"{host} does not answer: no guest can leave it now",
                    f"godwit host show {host} tells why",
                    "service-unavailable",
                )
    known = client.all_servers(host=order.source if not order.named else None)
    moves = [_move_of(name, known) for name in order.named]
    if order.source is not None:
        # One that no host has any more is left on record with the last host that had it.
        moves += [Move(s.name, s) for s in known if s.host == order.source and not s.is_missing]
    once: dict[str, Move] = {}
    for move in moves:
        once.setdefault(move.server.id if move.server else move.named, move)
    return list(once.values())


def _move_of(named: str, known: Sequence[Server]) -> Move:
    try:
        return Move(named, the_one(named, known))
    except Failure as failure:
        return Move(named, failure=failure)


def _checked(client: Client, wish: Mapping[str, object], move: Move) -> Move:
    """The move with what was found out; trouble with one is that one's own."""
    if move.server is None:
        return move
    try:
        checked, raw = client.check(move.server, wish)
    except Failure as failure:
        return replace(move, failure=failure)
    return replace(move, checked=checked, raw=raw)


# --- moving ---------------------------------------------------------------------------------------


def _moved(asking: Asking, order: Order, moves: Sequence[Move]) -> Exit:
    """Ask for each, in this order: so they stand in line. Ctrl-C asks what is wanted, once."""
    moves, interrupted = _begun(asking.client, order, moves)
    if not order.wait and not interrupted:
        return _told(asking, moves, [_accepted(move) for move in moves if move.migration])
    if interrupted and not _cancelled(asking, order, moves):
        return _left(asking, moves)
    while True:
        try:
            with asking.board() as board:
                moves = _watched(asking, moves, board)
            return _told(asking, moves, summary_lines(moves))
        except KeyboardInterrupt:
            if interrupted or not _cancelled(asking, order, moves):
                return _left(asking, moves)
            interrupted = True


def _cancelled(asking: Asking, order: Order, moves: Sequence[Move]) -> bool:
    """After Ctrl-C: ask whether those under way are to be stopped, and have them stopped."""
    under_way = [move for move in moves if move.is_under_way]
    if under_way and not asking.wiring.wants_to_cancel(len(under_way)):
        return False
    asking.wiring.each(partial(_stopped, asking.client, order.why), under_way)
    return True


def _begun(client: Client, order: Order, moves: Sequence[Move]) -> tuple[list[Move], bool]:
    """The moves, accepted or refused; whether Ctrl-C came in between."""
    begun = list(moves)
    for number, move in enumerate(moves):
        if not move.can_go or move.server is None:
            continue
        try:
            begun[number] = _asked_for(client, order, move, move.server)
        except KeyboardInterrupt:
            return [*begun[:number], *map(_not_begun, moves[number:])], True
    return begun, False


def _asked_for(client: Client, order: Order, move: Move, server: Server) -> Move:
    try:
        uuid = client.migrate(server, order.wish, why=order.why)
        migration, raw = client.migration(uuid)
    except Failure as failure:
        return replace(move, failure=failure)
    return replace(move, migration=migration, raw=raw)


def _not_begun(move: Move) -> Move:
    if not move.can_go:
        return move
    remedy = f"godwit migration list --server {move.name} shows whether it was accepted"
    return replace(move, failure=Failure(Exit.CANCELLED, "interrupted before it began", remedy))


def _accepted(move: Move) -> str:
    return f"migration {move.migration.id} of {move.name} accepted" if move.migration else ""


def _stopped(client: Client, why: str, move: Move) -> None:
    """Ask it to stop. One that has just moved says so: its end is seen all the same."""
    try:
        if move.migration is not None:
            client.abort(move.migration.uuid, why=why)
    except Failure as failure:
        click.echo(f"{move.name} is not stopped: {failure.message}", err=True)


def _left(asking: Asking, moves: Sequence[Move]) -> Exit:
    """Ctrl-C, and they go on: say how to see and how to stop them."""
    numbers = [str(move.migration.id) for move in moves if move.migration and move.is_under_way]
    if asking.as_json:
        asking.put(document(moves), list)
    click.echo(
        f"\nthey go on: {', '.join(numbers) or 'none'}; watch: godwit migration list; "
        "stop: godwit migration abort NUMBER",
        err=True,
    )
    return Exit.INTERRUPTED


# --- watching -------------------------------------------------------------------------------------


def _watched(asking: Asking, moves: Sequence[Move], board: Board) -> list[Move]:
    """Show them until each has ended or needs a person."""
    client = asking.client
    ask = partial(patiently, client.url, board.line, asking.wiring.pause)
    furthest: dict[str, Furthest] = {}
    while True:
        moves = ask(partial(_looked, client, moves))
        board.show([row for move in moves for row in _rows(move, furthest)])
        under_way = [move.migration for move in moves if move.migration and move.is_under_way]
        if not under_way:
            return list(moves)
        # The one that ends next is most likely the first: waiting for it, its end is no surprise.
        ask(partial(client.migration, under_way[0].uuid, wait_s=LOOK_EVERY_S))


def _rows(move: Move, furthest: dict[str, Furthest]) -> list[Row]:
    migration = move.migration
    if migration is None:
        return []
    so_far = furthest.get(migration.uuid, Furthest())
    if migration.progress is not None:
        so_far = furthest[migration.uuid] = so_far.after(migration.progress)
    return [row_of(move, migration, so_far)]


def _looked(client: Client, moves: Sequence[Move]) -> list[Move]:
    """All of them as they are now: one list, and a closer look at those that have ended."""
    under_way = [move for move in moves if move.is_under_way]
    limit = min(LISTED_MAX, len(under_way) + LISTED_MORE)
    listed = {each.uuid: each for each in client.migrations(limit=limit)} if under_way else {}
    return [_seen(client, move, listed) for move in moves]


def _seen(client: Client, move: Move, listed: Mapping[str, Migration]) -> Move:
    if move.migration is None or not move.is_under_way:
        return move
    found = listed.get(move.migration.uuid)
    if found is not None and (now := replace(move, migration=found)).is_under_way:
        return now
    migration, raw = client.migration(move.migration.uuid)
    return replace(move, migration=migration, raw=raw)
