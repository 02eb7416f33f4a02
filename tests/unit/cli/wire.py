"""The verbs against the real API without a socket: what happens between two polls is scripted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from click.testing import CliRunner, Result
from tests.unit.api.fake_house import FakeHouse, ask

from godwit.__main__ import main
from godwit.cli.asking import Wiring
from godwit.cli.board import PlainBoard
from godwit.cli.screen import PlainScreen
from godwit.cli.transport import HttpRequest, HttpResponse, Transport, Unanswered
from godwit.sim.loop import run

Frame = Callable[[], None]


def lost() -> None:
    """A frame in which the server does not answer."""
    raise Unanswered("connection refused", arrived=False)


def interrupted() -> None:
    """A frame in which somebody presses Ctrl-C."""
    raise KeyboardInterrupt


@dataclass
class HouseTransport:
    """Sends every request to the application of a fake house."""

    house: FakeHouse
    frames: list[Frame] = field(default_factory=list)
    """One is played before each look at a timeline, or at the list of migrations."""
    sent: list[HttpRequest] = field(default_factory=list)

    def send(self, ask_for: HttpRequest) -> HttpResponse:
        self.sent.append(ask_for)
        looks = "/timeline" in ask_for.path or "/v1/migrations?" in ask_for.path
        if looks and self.frames:
            self.frames.pop(0)()
        said = run(
            ask(
                self.house.app(),
                ask_for.method,
                ask_for.path,
                body=ask_for.body,
                headers=ask_for.headers,
            )
        )
        return HttpResponse(said.status, said.raw, said.headers)


@dataclass
class SilentTransport:
    """Nobody answers."""

    arrived: bool = False

    def send(self, ask_for: HttpRequest) -> HttpResponse:
        raise Unanswered("connection refused", arrived=self.arrived)


def typed(
    house: FakeHouse | None,
    *words: str,
    frames: Sequence[Frame] = (),
    transport: Transport | None = None,
    cancel: bool = False,
) -> Result:
    """What comes of typing `godwit WORDS`. `cancel` is the answer to the question after Ctrl-C."""
    if transport is None:
        transport = HouseTransport(house, list(frames)) if house else SilentTransport()
    wiring = Wiring(
        connect=lambda _url: transport,
        user=lambda: "ana",
        screen=PlainScreen,
        board=PlainBoard,
        pause=lambda _seconds: None,
        each=lambda work, items: [work(item) for item in items],
        wants_to_cancel=lambda _count: cancel,
    )
    return CliRunner().invoke(main, words, obj=wiring, prog_name="godwit")
