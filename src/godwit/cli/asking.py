"""What every verb has: a server to ask, `--json`, and an ending with an exit code."""

import os
import pwd
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import click
import msgspec

from godwit.cli.board import Board, PlainBoard, SilentBoard
from godwit.cli.client import Client
from godwit.cli.exits import Exit, Failure
from godwit.cli.screen import PlainScreen, Screen, SilentScreen
from godwit.cli.show import failure_lines
from godwit.cli.transport import Transport, transport_to

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

AT_ONCE_MAX: Final = 8
"""So many requests are under way at the same time."""
URL_DEFAULT: Final = "http://127.0.0.1:8774"


class Each(Protocol):
    """Does the same for many."""

    def __call__(self, work: Callable[[T], R], items: Sequence[T], /) -> list[R]:
        """The results, in the order of the items."""
        ...


def user_name() -> str:
    """Who runs this client."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def screen_for_stdout() -> Screen:
    """The live one where somebody looks at it, else plain lines."""
    if not sys.stdout.isatty():
        return PlainScreen()
    # rich is slow to import, and most verbs print a few lines and go.
    from godwit.cli.terminal import TerminalScreen

    return TerminalScreen()


def board_for_stdout() -> Board:
    """As `screen_for_stdout`, for many moves at once."""
    if not sys.stdout.isatty():
        return PlainBoard()
    from godwit.cli.terminal import TerminalBoard

    return TerminalBoard()


def each_at_once(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`work` of each, `AT_ONCE_MAX` at the same time; the results in the order of the items."""
    # Imported where it is needed, as most verbs ask one thing and go.
    from concurrent.futures import ThreadPoolExecutor

    workers = ThreadPoolExecutor(AT_ONCE_MAX)
    try:
        return list(workers.map(work, items))
    finally:
        workers.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for the rest


def wants_to_cancel(count: int) -> bool:
    """Ask who pressed Ctrl-C. Where nobody can be asked, and at a second Ctrl-C, nothing is
    cancelled.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        wish = click.prompt(
            f"\n{count} under way. Leave them running, or cancel them?",
            type=click.Choice(["leave", "cancel"]),
            default="leave",
            err=True,
        )
    except click.Abort:
        return False
    return bool(wish == "cancel")


@dataclass(frozen=True)
class Wiring:
    """What the verbs touch outside; tests put another one into click's context."""

    connect: Callable[[str], Transport] = transport_to
    user: Callable[[], str] = user_name
    screen: Callable[[], Screen] = screen_for_stdout
    board: Callable[[], Board] = board_for_stdout
    pause: Callable[[float], object] = threading.Event().wait
    each: Each = each_at_once
    wants_to_cancel: Callable[[int], bool] = wants_to_cancel


@dataclass(frozen=True)
class Asking:
    """One run of one verb."""

    client: Client
    as_json: bool
    wiring: Wiring

    def put(self, raw: bytes, lines: Callable[[], list[str]]) -> None:
        """The answer: as it came with `--json`, else as lines."""
        if self.as_json:
            click.echo(msgspec.json.format(raw, indent=2))
        else:
            self.say(*lines())

    def say(self, *lines: str) -> None:
        """Lines for people; nothing with `--json`."""
        if not self.as_json:
            for line in lines:
                click.echo(line)

    def done(self, what: str, **facts: Any) -> None:
        """That a change was made: `what` for people, `facts` with `--json`."""
        if self.as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(facts), indent=2))
        else:
            click.echo(what)

    def screen(self) -> Screen:
        """Where a story appears."""
        return SilentScreen() if self.as_json else self.wiring.screen()

    def board(self) -> Board:
        """Where many moves appear."""
        return SilentBoard() if self.as_json else self.wiring.board()


def verb(
    function: Callable[Concatenate[Asking, P], Exit | None],
) -> Callable[..., None]:
    """A click callback from a function that is given its `Asking` and may return an exit code.

    Adds `--url` and `--json`; a `Failure` becomes one line on stderr and its exit code.
    """

    @click.option(
        "--url",
        envvar="GODWIT_URL",
        default=URL_DEFAULT,
        show_default=True,
        metavar="URL",
        help="The server: http://HOST:PORT or unix:/path. Also: GODWIT_URL.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @wraps(function)
    def run(*args: Any, url: str, as_json: bool, **kwargs: Any) -> None:
        context = click.get_current_context()
        try:
            asking = asking_of(context, url, as_json=as_json)
            code = function(asking, *args, **kwargs)
        except Failure as failure:
            code = _told(failure, as_json=as_json)
        except UnicodeEncodeError as error:
            message = f"{error.object!a} is no text"
            code = _told(Failure(Exit.WRONG_USAGE, message, "type UTF-8"), as_json=as_json)
        context.exit(code or 0)

    return run


def asking_of(context: click.Context, url: str, *, as_json: bool) -> Asking:
    """The means to ask the server at `url`. Raises `Failure` if that is no address."""
    wiring = context.find_object(Wiring) or Wiring()
    return Asking(Client(wiring.connect(url), url, wiring.user()), as_json, wiring)


def _told(failure: Failure, *, as_json: bool) -> Exit:
    if as_json:
        error = {
            "code": failure.code,
            "message": failure.message,
            "remedy": failure.remedy,
            "refusals": failure.refusals,
            "exit_code": int(failure.exit_code),
        }
        click.echo(msgspec.json.format(msgspec.json.encode({"error": error}), indent=2))
    for line in failure_lines(failure):
        click.echo(line, err=True)
    return failure.exit_code
