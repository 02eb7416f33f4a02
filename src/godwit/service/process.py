"""What every process does at its start and its end: settings, logs, signals, exit codes."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from godwit.model.errors import BadRequest, GodwitError
from godwit.runtime import logs
from godwit.runtime.settings import Settings
from godwit.runtime.settings_file import read_settings

EXIT_CANNOT: Final = 1
EXIT_USAGE: Final = 2
DRAIN_S: Final = 5
"""How long requests under way may take after a stop was asked for."""
NEW_OBJECTS_MAX: Final = 5_000
"""So many are made before the collector looks for cycles among them."""

Main = Callable[[Settings], Coroutine[Any, Any, None]]

settings_file = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/godwit.toml"),
    show_default=True,
    help="The settings file; examples/godwit.toml shows every key.",
)


class _Over(Exception):
    """Ends a task group with all that is still being done for somebody: it can be repeated."""


@asynccontextmanager
async def life() -> AsyncIterator[asyncio.TaskGroup]:
    """The tasks of a process: what still runs when the body has ended is ended, too."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
            _end()
    except* _Over:
        pass


def _end() -> NoReturn:
    raise _Over


def run(verb: str, config: Path, main: Main) -> None:
    """Run `main` with the settings of the file until it returns. What it cannot do is said in one
    line, with an exit code.
    """
    try:
        settings = read_settings(config)
        logs.configure(settings.server.log_level)
        asyncio.run(main(settings))
    except GodwitError as error:
        _give_up(verb, error)
    except BaseExceptionGroup as group:
        trouble = _trouble_in(group)
        if trouble is None:
            raise
        _give_up(verb, trouble)


def _give_up(verb: str, error: GodwitError) -> NoReturn:
    print(f"godwit {verb}: {error.reason.words}; {error.reason.remedy}", file=sys.stderr)  # noqa: T201
    sys.exit(EXIT_USAGE if isinstance(error, BadRequest) else EXIT_CANNOT)


def _trouble_in(group: BaseExceptionGroup[BaseException]) -> GodwitError | None:
    """The first expected trouble of a task group, if there is nothing else in it."""
    found, rest = group.split(GodwitError)
    trouble: BaseException | None = found if rest is None else None
    while isinstance(trouble, BaseExceptionGroup):
        trouble = trouble.exceptions[0]
    return trouble if isinstance(trouble, GodwitError) else None


def stop_asked() -> asyncio.Event:
    """Set once SIGTERM or SIGINT has come."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, asked.set)
    return asked


def spare_the_collector() -> None:
    """What was made by now stays for life. Looked through for cycles again and again, it costs a
    tenth of all CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_MAX, *gc.get_threshold()[1:])
