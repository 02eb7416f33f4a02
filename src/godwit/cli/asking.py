"""What every verb has: a server to ask, `--json`, and an ending with an exit code."""

import os
import pwd
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

import click
import msgspec

from godwit.cli.client import Client
from godwit.cli.exits import Exit, Failure
from godwit.cli.screen import PlainScreen, Screen, SilentScreen
from godwit.cli.show import failure_lines
from godwit.cli.transport import Transport, transport_to

P = ParamSpec("P")

URL_DEFAULT: Final = "http://127.0.0.1:8774"


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


@dataclass(frozen=True)
class Wiring:
    """What the verbs touch outside; tests put another one into click's context."""

    connect: Callable[[str], Transport] = transport_to
    user: Callable[[], str] = user_name
    screen: Callable[[], Screen] = screen_for_stdout
    pause: Callable[[float], object] = threading.Event().wait


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
            "others": failure.others,
            "exit_code": int(failure.exit_code),
        }
        click.echo(msgspec.json.format(msgspec.json.encode({"error": error}), indent=2))
    for line in failure_lines(failure):
        click.echo(line, err=True)
    return failure.exit_code
