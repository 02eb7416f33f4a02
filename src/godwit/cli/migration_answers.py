"""What the server answers about migrations and dry runs. Read as `answers` says."""

from godwit.cli.answers import Answer, Reason, Refusal


class Progress(Answer, frozen=True, kw_only=True):
    """One sample of a running transfer."""

    phase: str = ""
    elapsed_s: float = 0.0
    memory_total_bytes: int = 0
    memory_processed_bytes: int = 0
    memory_remaining_bytes: int = 0
    disk_total_bytes: int = 0
    disk_processed_bytes: int = 0
    disk_remaining_bytes: int = 0
    rate_bytes_per_s: int = 0
    dirty_rate_bytes_per_s: int = 0
    iteration: int = 0
    eta_s: float | None = None
    converging: bool = True
    expected_downtime_ms: int | None = None
    allowed_downtime_ms: int | None = None
    throttle_percent: int = 0


class Statistics(Answer, frozen=True, kw_only=True):
    """What a finished transfer cost."""

    total_ms: int | None = None
    downtime_ms: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    iterations: int | None = None


class Force(Answer, frozen=True, kw_only=True):
    """How a transfer is brought to its end."""

    kind: str = ""
    pause_ms: int = 0
    longest_ms: int = 0


class Steering(Answer, frozen=True, kw_only=True):
    """How a transfer is steered."""

    bandwidth_mib_per_s: int = 0
    max_downtime_ms: int = 0
    completion_timeout_s: float = 0.0
    auto_converge: bool = False
    parallel_connections: int = 1
    force: Force | None = None


class Forced(Answer, frozen=True, kw_only=True):
    """The answer to who wants it over now."""

    force: Force = Force()
    expected_pause_ms: int | None = None


class ForcedAnswer(Answer, frozen=True, kw_only=True):
    """`{"forced": ...}`."""

    forced: Forced


class Choice(Answer, frozen=True, kw_only=True):
    """Something a person may say where one is needed."""

    at_host: str | None = None
    words: str = ""


class Decision(Answer, frozen=True, kw_only=True):
    """What a person has said, and when."""

    at_host: str | None = None
    why: Reason = Reason()
    at: str = ""


class Place(Answer, frozen=True, kw_only=True):
    """Where a migration stands in the line at one host."""

    host: str
    outgoing: bool = False
    place: int = 0
    waiting: int = 0


class Migration(Answer, frozen=True, kw_only=True):
    """One migration."""

    id: int
    uuid: str
    server_uuid: str = ""
    server_name: str = ""
    status: str = ""
    outcome: str = ""
    phase: str = ""
    direction: str = ""
    resting: str = ""
    queue: tuple[Place, ...] = ()
    """While it is queued."""
    person_needed: bool = False
    abort_requested: bool = False
    source: str = ""
    destination: str | None = None
    requested_host: str | None = None
    initiator: str = ""
    initiator_reason: str = ""
    reason: Reason | None = None
    refusals: tuple[Refusal, ...] = ()
    steering: Steering | None = None
    guard: str | None = None
    no_post_copy: str | None = None
    """Why it does not travel by post-copy, where that was permitted."""
    progress: Progress | None = None
    statistics: Statistics | None = None
    seen_since: str | None = None
    """Since when a person is needed."""
    seen_at: str | None = None
    """When both ends were last looked at; the reason says what was seen."""
    choices: tuple[Choice, ...] = ()
    decision: Decision | None = None
    created_at: str = ""
    updated_at: str = ""


class Entry(Answer, frozen=True, kw_only=True):
    """One line of a migration's timeline."""

    sequence: int = 0
    at: str = ""
    step: str = ""
    what: str = ""
    kind: str = ""
    words: str = ""
    code: str = ""
    attempt: int = 0
    by: str = ""
    where: str = ""


class Timeline(Answer, frozen=True, kw_only=True):
    """News of a migration."""

    entries: tuple[Entry, ...] = ()
    seen: str = ""
    migration: Migration


class OneMigration(Answer, frozen=True, kw_only=True):
    """`{"migration": ...}`."""

    migration: Migration


class Migrations(Answer, frozen=True, kw_only=True):
    """`{"migrations": [...]}`."""

    migrations: tuple[Migration, ...] = ()


class Willing(Answer, frozen=True, kw_only=True):
    """A host that would take the guest."""

    host: str
    rehearsed: bool = False
    guard: str | None = None


class Verdicts(Answer, frozen=True, kw_only=True):
    """Who would take the guest, the best first, and why others would not; `reasons` are such that
    no host can change.
    """

    willing: tuple[Willing, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    reasons: tuple[Reason, ...] = ()


class Checked(Answer, frozen=True, kw_only=True):
    """The answer to a dry run."""

    source: str = ""
    verdicts: Verdicts = Verdicts()
