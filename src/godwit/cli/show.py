"""Hosts, servers, migrations and verdicts as text: data in, lines out. Pure."""

from collections.abc import Sequence

from godwit.cli.answers import (
    Alarm,
    Debt,
    Disk,
    Facts,
    Host,
    PersonsWord,
    Reason,
    Refusal,
    Server,
    Usage,
)
from godwit.cli.exits import Failure
from godwit.cli.migration_answers import Checked, Migration, Willing
from godwit.cli.refusals import (
    is_shortened,
    refusal_lines,
    remedy_of,
    rows_of,
    some_of,
    worth_telling,
)
from godwit.cli.text import (
    ARROW,
    at,
    begun,
    columns,
    duration,
    mib,
    pairs,
    plain,
    size,
    table,
    version,
)


def failure_lines(failure: Failure) -> list[str]:
    """One line with the remedy, then what hosts have said."""
    line = f"godwit: {plain(failure.message)}"
    if failure.remedy:
        line = f"{line}; {plain(failure.remedy)}"
    return [line, *refusal_lines(failure.refusals)]


def reason_lines(reasons: Sequence[Reason]) -> list[str]:
    """Each reason's code and words; its remedy on the line below."""
    return [
        plain(part)
        for reason in reasons
        for part in (f"  {reason.code}: {reason.words}", f"    {ARROW} {reason.remedy}")
    ]


# --- hosts ---------------------------------------------------------------------------------------


def host_table(hosts: Sequence[Host]) -> list[str]:
    """One line per host."""
    heads = ("host", "state", "servers", "vcpus", "memory", "moving", "hypervisor", "note")
    return table(heads, [_host_row(host) for host in hosts], empty="no hosts")


def _host_row(host: Host) -> tuple[str, ...]:
    facts = host.facts
    return (
        host.name,
        host_state(host),
        str(host.servers),
        f"{host.usage.vcpus} of {_vcpus_max(facts)}" if facts else "-",
        _memory(host.usage, facts.memory_mib) if facts else "-",
        _moving(host.usage),
        f"{facts.hypervisor_type} {version(facts.hypervisor_version)}" if facts else "-",
        host_note(host),
    )


def _moving(usage: Usage) -> str:
    return (
        f"{usage.transfers} (+{usage.waiting} waiting)" if usage.waiting else f"{usage.transfers}"
    )


def _vcpus_max(facts: Facts) -> int:
    """How many may be claimed: more than are real, where the settings allow it."""
    return int(facts.vcpus * facts.cpu_allocation_ratio)


def _memory(usage: Usage, total_mib: int) -> str:
    return f"{mib(usage.memory_mib)} of {mib(total_mib)}"


def host_state(host: Host) -> str:
    """`up`, `down` or `confirmed down`, and `disabled` where it takes no guests."""
    state = "up" if host.up else "down" if host.confirmed_down is None else "confirmed down"
    return state if host.enabled else f"{state}, disabled"


def host_note(host: Host) -> str:
    """The one thing about a host that one should know."""
    if host.confirmed_down is not None and host.confirmed_down.heard_at:
        heard = at(host.confirmed_down.heard_at)
        return f"ALARM: heard at {heard} although confirmed down: see there, then confirm-up"
    if host.confirmed_down is not None:
        return f"its power is off, confirmed {_word_of(host.confirmed_down)}"
    if host.trouble:
        return host.trouble
    if not host.up:
        silent = f" for {duration(host.silent_s)}" if host.silent_s is not None else " yet"
        return f"has not reported{silent}"
    if host.debts:
        return f"owes {_counted(len(host.debts), 'clean-up')}: godwit host show {host.name}"
    return host.disabled_reason


def host_lines(host: Host) -> list[str]:
    """Everything about one host."""
    lines = pairs(
        [
            ("host", host.name),
            ("state", host_state(host)),
            ("disabled", "" if host.enabled else host.disabled_reason or "no reason given"),
            ("confirmed down", _word_of(host.confirmed_down)),
            ("confirmed up", _word_of(host.confirmed_up)),
            ("trouble", host.trouble),
            ("last report", _last_report(host)),
            ("servers", str(host.servers)),
            *_fact_pairs(host),
        ]
    )
    return lines + _storage_lines(host) + debt_lines(host.debts)


def _word_of(word: PersonsWord | None) -> str:
    if word is None:
        return ""
    return f"by {word.by} at {at(word.at)}{f': {word.why}' if word.why else ''}"


def _last_report(host: Host) -> str:
    return "never" if host.silent_s is None else f"{duration(host.silent_s)} ago"


def _fact_pairs(host: Host) -> list[tuple[str, str]]:
    facts = host.facts
    if facts is None:
        return []
    return [
        ("node", facts.node),
        ("hypervisor", f"{facts.hypervisor_type} {version(facts.hypervisor_version)}"),
        ("library", version(facts.library_version) if facts.library_version else ""),
        ("cpu", f"{facts.architecture} {facts.cpu_model}".strip()),
        ("vcpus", f"{host.usage.vcpus} claimed of {_vcpus_max(facts)} ({facts.vcpus} real)"),
        (
            "memory",
            f"{_memory(host.usage, facts.memory_mib)}, {mib(facts.reserved_memory_mib)} reserved",
        ),
        ("migrations", f"{_moving(host.usage)} under way, at most {facts.transfers_max} each way"),
        ("migration address", facts.migration_address),
        ("moves", _moves(facts)),
        ("networks", ", ".join(facts.networks)),
    ]


def _moves(facts: Facts) -> str:
    """Whose guests Godwit moves here; empty where it is as usual."""
    tagged = "tagged guests alone" if facts.manage == "tagged" else ""
    foreign = f"also those of {', '.join(facts.managers)}" if facts.managers else ""
    return ", ".join(filter(None, (tagged, foreign)))


def _storage_lines(host: Host) -> list[str]:
    storages = host.facts.storages if host.facts else ()
    rows = [
        (
            storage.path,
            "shared" if storage.shared else "local",
            f"{mib(storage.free_mib)} free of {mib(storage.total_mib)}",
        )
        for storage in storages
    ]
    return ["storage", *columns(rows, indent="  ")] if rows else []


def debt_lines(debts: Sequence[Debt]) -> list[str]:
    """What a host still owes, and why it could not be done."""
    rows = [
        (
            f"{'undo ' if debt.undo else ''}{debt.step}",
            f"migration {debt.migration_uuid}",
            f"tried {_counted(debt.attempts, 'time')}",
            debt.words,
        )
        for debt in debts
    ]
    return ["owes", *columns(rows, indent="  ")] if rows else []


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# --- servers -------------------------------------------------------------------------------------


def _status(word: str) -> str:
    """Nova's word for a server; its `UNKNOWN` says that no host has the guest any more."""
    return "on no host" if word == "UNKNOWN" else word.lower()


def _alarm(alarm: Alarm | None) -> str:
    if alarm is None:
        return ""
    seen = ", ".join(f"{each.by}: {each.said}" for each in alarm.evidence)
    return f"{alarm.kind} ({seen}), since {at(alarm.since)}, seen {at(alarm.seen_at)}"


def server_table(servers: Sequence[Server]) -> list[str]:
    """One line per server."""
    rows = [
        (
            server.name,
            server.host,
            f"ALARM: {server.godwit.alarm.kind}" if server.godwit.alarm else _status(server.status),
            server.task_state or "",
            str(server.flavor.vcpus),
            mib(server.flavor.ram),
            ", ".join(server.godwit.managed_by),
            server.id,
        )
        for server in servers
    ]
    heads = ("server", "host", "status", "task", "vcpus", "memory", "managed by", "uuid")
    return table(heads, rows, empty="no servers")


def server_lines(server: Server) -> list[str]:
    """Everything about one server."""
    ours = server.godwit
    origin = "found on its host" if ours.discovered else f"created, flavor {server.flavor.id}"
    lines = pairs(
        [
            ("server", server.name),
            ("uuid", server.id),
            ("host", server.host),
            ("status", _status(server.status)),
            ("ALARM", _alarm(ours.alarm)),
            ("task", server.task_state or ""),
            ("vcpus", str(server.flavor.vcpus)),
            ("memory", mib(server.flavor.ram)),
            ("group", ours.group or ""),
            ("origin", origin),
            ("managed by", ", ".join(ours.managed_by)),
            ("boots from", "a network volume" if ours.is_volume_backed else ""),
            ("updated", at(server.updated)),
        ]
    )
    disks = [
        (
            disk.device,
            size(disk.size_bytes) if disk.size_bytes else "-",
            disk.format,
            disk.path,
            _kept_on(disk),
            _disk_note(disk),
        )
        for disk in ours.disks
    ]
    nics = [(nic.mac, nic.network, nic.model) for nic in ours.nics]
    lines += ["disks", *columns(disks, indent="  ")] if disks else []
    return lines + (["networks", *columns(nics, indent="  ")] if nics else [])


def _kept_on(disk: Disk) -> str:
    return "network volume" if disk.network else disk.storage or "local"


def _disk_note(disk: Disk) -> str:
    notes = [
        disk.device_type if disk.device_type != "disk" else "",
        "read-only" if disk.read_only else "",
        *(f"overlay on {base.path}" for base in disk.backing[:1]),
    ]
    return ", ".join(note for note in notes if note)


# --- migrations ----------------------------------------------------------------------------------


def migration_table(migrations: Sequence[Migration]) -> list[str]:
    """One line per migration, as they come."""
    rows = [
        (
            str(migration.id),
            migration.server_name or migration.server_uuid,
            migration.source,
            migration.destination or migration.requested_host or "?",
            "person needed" if migration.person_needed else migration.status,
            downtime(migration),
            at(migration.created_at),
            migration.initiator,
            migration.reason.code if migration.reason else begun(migration.initiator_reason),
        )
        for migration in migrations
    ]
    heads = ("id", "server", "from", "to", "status", "downtime", "asked", "by", "reason")
    return table(heads, rows, empty="no migrations")


def downtime(migration: Migration) -> str:
    """How long the guest stood still, where it is known."""
    statistics = migration.statistics
    if statistics is None or statistics.downtime_ms is None:
        return "-"
    return duration(statistics.downtime_ms / 1000)


# --- a dry run -----------------------------------------------------------------------------------


def verdict_lines(
    server: str, checked: Checked, requested: str | None = None, *, all_hosts: bool = False
) -> list[str]:
    """Who would take it, and who not, why, and what to do about it."""
    verdicts = checked.verdicts
    head = f"{server} on {checked.source}"
    if verdicts.reasons:
        return [plain(f"{head} cannot be migrated now"), *reason_lines(verdicts.reasons)]
    refusals = worth_telling(verdicts.refusals, requested)
    willing = _alike(verdicts.willing)
    count = len({each for refusal in refusals for each in refusal.hosts}) + len(verdicts.willing)
    rows = [row for words, hosts in willing for row in _yes(words, hosts, all_hosts=all_hosts)]
    rows += [row for refusal in refusals for row in _no(refusal, all_hosts=all_hosts)]
    groups = [*(hosts for _, hosts in willing), *(refusal.hosts for refusal in refusals)]
    shortened = not all_hosts and any(map(is_shortened, groups))
    return [
        plain(f"{head}: {len(verdicts.willing)} of {_counted(count, 'host')} would take it"),
        *(columns(rows, indent="  ") if rows else ()),
        *(["every host by itself: --all"] if shortened else ()),
    ]


def _alike(willing: Sequence[Willing]) -> list[tuple[str, list[str]]]:
    """Those of whom the same is true together, the best first."""
    alike: dict[str, list[str]] = {}
    for each in willing:
        rehearsed = ", and rehearsed" if each.rehearsed else ""
        guard = f", guard {each.guard}" if each.guard else ""
        alike.setdefault(f"yes{rehearsed}{guard}", []).append(each.host)
    return list(alike.items())


def _yes(words: str, hosts: Sequence[str], *, all_hosts: bool) -> list[tuple[str, str]]:
    return [(who, words) for who in (hosts if all_hosts else (some_of(hosts),))]


def _no(refusal: Refusal, *, all_hosts: bool) -> list[tuple[str, str]]:
    rows = rows_of(refusal, all_hosts=all_hosts)
    said = [(who, f"no   {refusal.code}: {words}") for who, words in rows]
    return [*said, ("", f"     {ARROW} {remedy_of(refusal)}")]


def would_do(checked: Checked) -> int:
    """How many hosts would take the guest."""
    return len(checked.verdicts.willing)
