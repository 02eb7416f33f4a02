"""A migration as a person sees it: its opening line, one line per step, its end. Pure.

`+` a step was done, `*` the pivot, `>` done after the switch, `-` undone, `!` failed, `.` waits.
"""

import shlex
from collections.abc import Sequence
from typing import Final

from godwit.cli.answers import Reason
from godwit.cli.migration_answers import Entry, Migration, Statistics
from godwit.cli.progress import Furthest, progress_line, queue_words
from godwit.cli.refusals import is_shortened, refusal_lines, some_of, worth_telling
from godwit.cli.text import ARROW, at, between, duration, plain, size

STEP_WIDTH: Final = 24
_SIGNS: Final = {
    ("step", "done"): "+",
    ("pivot", "resolved"): "*",
    ("forward", "done"): ">",
    ("forward", "paid"): ">",
}
_SIGNS_OF_ALL: Final = {
    "undone": "-",
    "paid": "-",
    "failed": "!",
    "resolved": "!",
    "owed": "!",
    "rests": ".",
    "taken-over": "~",
}
_RESTS: Final = {
    "queued": "waits for its turn",
    "asking-again": "where the guest is cannot be told yet; looked at again",
    "retrying": "tried again soon",
}
_RUNS_ON: Final = frozenset({"refused", "failed", "cancelled"})
"""Outcomes after which the guest runs on at the source."""


def opening(migration: Migration) -> str:
    """`migration 12  guest-1  host-a → host-b`."""
    to = migration.destination or migration.requested_host or "?"
    return plain(f"migration {migration.id}  {_server(migration)}  {migration.source} {ARROW} {to}")


def entry_lines(entry: Entry, migration: Migration) -> list[str]:
    """What one line of the timeline says to a person; nothing for what goes without saying."""
    # A pivot that is resolved with words did not happen: the words say why.
    happened = entry.what != "resolved" or not entry.words
    exact = _SIGNS.get((entry.kind, entry.what)) if happened else None
    sign = exact or _SIGNS_OF_ALL.get(entry.what)
    if sign is None:
        return []
    words = _words(entry, migration)
    return [plain(f"  {sign} {entry.step.ljust(STEP_WIDTH if words else 0)}  {words}").rstrip()]


def _words(entry: Entry, migration: Migration) -> str:
    words = entry.words
    match entry.what:
        case "done" | "resolved":
            words = words or learned(entry.step, migration)
        case "rests":
            words = _RESTS.get(words, words)
        case "owed":
            words = f"owed: {words}; tried again until it is done"
        case "paid":
            words = f"{words} has done what it owed"
        case "taken-over":
            words = "another process goes on with the story"
        case _:
            pass
    return words


def has_no_figures_yet(entry: Entry, migration: Migration) -> bool:
    """Is this the switch, and are its figures not on record yet?"""
    switched = entry.kind == "pivot" and entry.what == "resolved" and not entry.words
    return switched and migration.statistics is None


def still_owed(timeline: Sequence[Entry]) -> list[str]:
    """Steps that some host still owes, in order."""
    owed: dict[str, None] = {}
    for entry in timeline:
        if entry.what == "owed":
            owed[entry.step] = None
        if entry.what == "paid":
            owed.pop(entry.step, None)
    return list(owed)


def learned(step: str, migration: Migration) -> str:
    """What a step found out, as far as the migration's record tells."""
    match step:
        case "find_destination":
            return _found(migration)
        case "live_migration":
            return _transferred(migration.statistics)
        case "record_new_host" if migration.destination:
            return f"{_server(migration)} is on {migration.destination}"
        case _:
            return ""


def _found(migration: Migration) -> str:
    refused = "; ".join(
        f"{some_of(refusal.hosts)} refused: {refusal.code}"
        for refusal in worth_telling(migration.refusals, migration.requested_host)
    )
    chosen = migration.destination or ""
    return f"{chosen}   ({refused})".strip() if refused else chosen


def _transferred(statistics: Statistics | None) -> str:
    if statistics is None:
        return ""
    parts = []
    if moved := moved_bytes(statistics):
        spent = f" in {duration(statistics.total_ms / 1000)}" if statistics.total_ms else ""
        parts.append(f"{size(moved)}{spent}")
    if statistics.iterations:
        rounds = statistics.iterations
        parts.append(f"{rounds} round{'' if rounds == 1 else 's'}")
    if statistics.downtime_ms is not None:
        parts.append(f"paused {duration(statistics.downtime_ms / 1000)}")
    return ", ".join(parts)


def moved_bytes(statistics: Statistics) -> int:
    """All that was sent, memory and disks."""
    return (statistics.memory_bytes or 0) + (statistics.disk_bytes or 0)


# --- the end -------------------------------------------------------------------------------------


def closing(
    migration: Migration, timeline: Sequence[Entry] = (), *, all_hosts: bool = False
) -> list[str]:
    """How it ended, or how it stands; what to do, where something is to be done."""
    owed = [
        plain(f"  still owed: {step}; it is done as soon as its host answers (godwit host list)")
        for step in still_owed(timeline)
    ]
    return [*_ending(migration, all_hosts=all_hosts), *owed]


def _ending(migration: Migration, *, all_hosts: bool) -> list[str]:
    match migration.outcome:
        case "moved":
            return [_moved(migration)]
        case "moved-and-ended" if migration.reason is not None:
            why = migration.reason
            return [_moved(migration), plain(f"{why.code}: {why.words}"), *_remedy(why)]
        case "person-needed" if migration.person_needed:
            return person_lines(migration)
        case "under-way":
            return [_under_way(migration)]
        case _:
            return _not_moved(migration, all_hosts=all_hosts)


def _moved(migration: Migration) -> str:
    """From → to, total time, downtime, data, rate."""
    spent_s = between(migration.created_at, migration.updated_at)
    statistics = migration.statistics or Statistics()
    parts = [f"{migration.source} {ARROW} {migration.destination}"]
    if spent_s is not None:
        parts.append(f"in {duration(spent_s)}")
    if statistics.downtime_ms is not None:
        parts.append(f"downtime {duration(statistics.downtime_ms / 1000)}")
    if moved := moved_bytes(statistics):
        parts.append(size(moved))
        if statistics.total_ms:
            parts.append(f"at {size(moved * 1000 / statistics.total_ms)}/s")
    return plain(f"completed  {_server(migration)}  {'  '.join(parts)}")


def _not_moved(migration: Migration, *, all_hosts: bool) -> list[str]:
    why = migration.reason
    line = "refused" if migration.outcome == "refused" else migration.status
    if why is not None:
        line = f"{line}  {why.code}: {why.words}"
    lines = [plain(line), *_remedy(why)]
    refusals = worth_telling(migration.refusals, migration.requested_host)
    lines += refusal_lines(refusals, all_hosts=all_hosts)
    if not all_hosts and any(is_shortened(refusal.hosts) for refusal in refusals):
        lines.append(f"  every host by itself: godwit migration show {migration.id} --all")
    if migration.outcome in _RUNS_ON:
        lines.append(plain(f"{_server(migration)} was not moved: it is on {migration.source}"))
    return lines


def _remedy(why: Reason | None) -> list[str]:
    return [f"  {ARROW} {plain(why.remedy)}"] if why is not None and why.remedy else []


def _under_way(migration: Migration) -> str:
    phase = migration.progress.phase if migration.progress else ""
    words = _IN_POST_COPY.get(phase, "").format(
        source=migration.source, there=migration.destination
    )
    queue = queue_words(migration)
    status = f"{migration.status}: {queue}" if queue else migration.status
    return plain(f"{words or status}; {how_to_watch(migration)}; {how_to_stop(migration)}")


_IN_POST_COPY: Final = {
    "post-copy": "post-copy: it runs on {there}, the rest of its memory follows from {source}",
    "post-copy-broken": "post-copy broken: {there} runs it with the memory that has arrived, "
    "{source} holds the rest, which follows when the migration network is back",
}


def how_to_watch(migration: Migration) -> str:
    """What to type to go on watching."""
    return f"watch: godwit migration show {migration.id} --watch"


def how_to_stop(migration: Migration) -> str:
    """What to type to stop it; in post-copy there is nothing."""
    if migration.progress is not None and migration.progress.phase in _IN_POST_COPY:
        return "it can no longer be stopped"
    return f"stop: godwit migration abort {migration.id}"


def person_lines(migration: Migration) -> list[str]:
    """What was seen at both ends and when, and the exact line to type for each choice."""
    why = migration.reason or Reason()
    lines = [
        plain(f"A person is needed: where is {_server(migration)}?"),
        plain(f"  {why.code}: {why.words}"),
        plain(f"  {ARROW} {why.remedy}"),
        f"  so since {at(migration.seen_since or '')}, last seen {at(migration.seen_at or '')}",
    ]
    if migration.decision is not None:
        lines.append(plain(f"  on record since {at(migration.decision.at)}: {_said(migration)}"))
        return [*lines, plain(_when_carried_out(migration, migration.decision.at_host))]
    lines.append("Find out, then type one of these:")
    for choice in migration.choices:
        where = f"--at {shlex.quote(plain(choice.at_host))}" if choice.at_host else "--lost"
        lines.append(f"  godwit migration resolve {migration.id} {where} --reason TEXT")
        lines.append(f"      {plain(choice.words)}")
    return lines


def _when_carried_out(migration: Migration, at_host: str | None) -> str:
    """When the decision is carried out, and what may keep it waiting: what would end a guest."""
    soon = "It is carried out at the next look, within a minute or so"
    source, destination = migration.source, migration.destination
    if at_host is None:
        return f"{soon}."
    if at_host == source:
        keeps = f"the guest runs on {destination}, or is whole there alone"
    else:
        keeps = (
            f"the guest may still run on {source}, or {destination} has no whole guest and "
            f"{source} does not answer or holds one"
        )
    return f"{soon}, unless {keeps}; then it waits until that has changed."


def _said(migration: Migration) -> str:
    return migration.decision.why.words if migration.decision else ""


def migration_lines(
    migration: Migration, timeline: Sequence[Entry], *, all_hosts: bool = False
) -> list[str]:
    """The whole story of one migration, told afterwards or half-way."""
    asked = f"  asked for by {migration.initiator}, {at(migration.created_at)}"
    if migration.initiator_reason:
        asked = f"{asked}: {migration.initiator_reason}"
    lines = [opening(migration), plain(asked), *_guard(migration), *steering_lines(migration)]
    for line in [line for entry in timeline for line in entry_lines(entry, migration)]:
        if line != lines[-1]:
            lines.append(line)
    return [*lines, *closing(migration, timeline, all_hosts=all_hosts)]


def _guard(migration: Migration) -> list[str]:
    if not migration.guard:
        return []
    denied = f", no post-copy: {migration.no_post_copy}" if migration.no_post_copy else ""
    return [plain(f"  guard: {migration.guard}{denied}")]


def steering_lines(migration: Migration) -> list[str]:
    """What bounds the transfer, and how far it is while it runs."""
    steering = migration.steering
    if steering is None:
        return []
    parts = [f"pause at most {duration(steering.max_downtime_ms / 1000)}"]
    if steering.bandwidth_mib_per_s:
        parts.append(f"at most {steering.bandwidth_mib_per_s} MiB/s")
    if steering.completion_timeout_s:
        parts.append(f"within {duration(steering.completion_timeout_s)}")
    if steering.auto_converge:
        parts.append("may slow the guest down")
    if steering.parallel_connections > 1:
        parts.append(f"{steering.parallel_connections} connections")
    if steering.force is not None:
        parts.append(f"forced: {steering.force.kind}")
    lines = [plain(f"  steered: {', '.join(parts)}")]
    if migration.outcome == "under-way" and migration.progress is not None:
        lines.append(progress_line(migration.progress, Furthest().after(migration.progress)))
    return lines


def _server(migration: Migration) -> str:
    return migration.server_name or migration.server_uuid
