"""Options that say how a transfer is steered, and what the answers say of it. Used by `migrate` and
`migration set`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from godwit.cli.migration_answers import Forced
from godwit.cli.options import SECONDS
from godwit.cli.text import duration

F = TypeVar("F", bound=Callable[..., Any])

KEYS: Final = {
    "bandwidth": "bandwidth_mib_per_s",
    "max_downtime": "max_downtime_ms",
    "timeout": "completion_timeout_s",
    "auto_converge": "auto_converge",
    "post_copy": "permit_post_copy",
    "connections": "parallel_connections",
}
"""The options, and what they are called in a request."""


def limit_options(verb: F) -> F:
    """What can be changed while a transfer runs."""
    options = (
        click.option(
            "--bandwidth",
            type=click.IntRange(0),
            metavar="MIB",
            help="Send no faster than so many MiB/s; 0: no limit.",
        ),
        click.option(
            "--max-downtime",
            type=click.IntRange(1, 2_000_000),
            metavar="MS",
            help="The guest may pause for so many ms at the switch.",
        ),
        click.option(
            "--timeout",
            type=SECONDS,
            metavar="S",
            help="Stop a transfer that is not over after so many seconds; 0: no limit.",
        ),
    )
    for option in reversed(options):
        verb = option(verb)
    return verb


def steering_options(verb: F) -> F:
    """What can be chosen before it begins."""
    options = (
        click.option(
            "--auto-converge/--no-auto-converge",
            default=None,
            help="A guest that writes faster than can be sent may be slowed down.",
        ),
        click.option(
            "--post-copy/--no-post-copy",
            default=None,
            help="The guest may run there before all its memory is there: no way back from then.",
        ),
        click.option(
            "--connections",
            type=click.IntRange(1, 255),
            metavar="N",
            help="So many connections carry the memory.",
        ),
    )
    for option in reversed(options):
        verb = option(verb)
    return limit_options(verb)


def steering_in(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a request is to say: only what was given."""
    return {key: given[name] for name, key in KEYS.items() if given.get(name) is not None}


def forced_line(number: int, forced: Forced) -> str:
    """How a transfer is brought to its end."""
    if forced.force.kind == "post-copy":
        how = "post-copy: the guest runs on at the destination, the rest of its memory follows"
    else:
        expected = duration((forced.expected_pause_ms or 0) / 1000)
        most = duration(max(forced.force.pause_ms, forced.force.longest_ms) / 1000)
        how = f"a pause of about {expected}, at most {most}"
    return f"migration {number} is brought to its end by {how}"
