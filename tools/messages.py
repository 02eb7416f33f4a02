"""The recorded messages of a release: every call and answer of the contract, as bytes on the wire.

`python -m tools.messages` writes those of this release to `tests/upgrade`, where they stay: later
releases must be able to read them. A test says when that has to be done.

A message is recorded with its required fields alone, and with every field set, each time with the
next choice where a type leaves one.
"""

import json
import types
import typing
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from godwit.model.refusals import Refusal
from godwit.rpc import codec
from godwit.rpc.codec import Reply
from godwit.rpc.compute import ComputeRpc
from godwit.rpc.conductor import ComputeTaskApi
from godwit.rpc.contract import Call, calls_of
from godwit.rpc.envelope import Letter, Page

FOLDER: Final = Path(__file__).resolve().parent.parent / "tests" / "upgrade"
PROTOCOLS: Final[tuple[type, ...]] = (ComputeRpc, ComputeTaskApi)
AROUND: Final = (Letter, Page, Reply, Refusal)
"""What stands around every message."""
CHOICES: Final = 3
"""No type of the contract leaves more structs to choose from; of an enum's members, these many."""

Recording = Mapping[str, tuple[bytes, ...]]
"""By type: its messages."""


def recording() -> Recording:
    """What the present contract would write."""
    return {name_of(kind): tuple(encoded(kind)) for kind in kinds()}


def contract() -> Mapping[str, tuple[str, str]]:
    """By call: what is said, and what is answered."""
    return {
        f"{protocol.__name__}.{name}": (name_of(call.message), name_of(call.answer))
        for protocol in PROTOCOLS
        for name, call in sorted(calls_of(protocol).items())
    }


def calls() -> Iterator[Call]:
    """Every call of every protocol."""
    for protocol in PROTOCOLS:
        yield from calls_of(protocol).values()


def kinds() -> tuple[Any, ...]:
    """Every type that is said, answered, or stands around that; sorted by name."""
    said = {kind for call in calls() for kind in (call.message, call.answer)}
    return tuple(sorted({*said, *AROUND}, key=name_of))


def name_of(kind: Any) -> str:
    """As it is called in a recording."""
    name: str = kind.__name__
    return name


def encoded(kind: Any) -> Iterator[bytes]:
    """Its messages; none twice."""
    every = [codec.encode(_example(kind, choice)) for choice in range(CHOICES)]
    yield from dict.fromkeys([codec.encode(_bare(kind)), *every])


# --- examples, by type ----------------------------------------------------------------------------


def _bare(kind: Any) -> object:
    """As a release would write it that knows none of the optional fields."""
    fields = msgspec.structs.fields(kind)
    tag = kind.__struct_config__.tag
    bare = {} if tag is None else {kind.__struct_config__.tag_field: tag}
    required = [field for field in fields if field.required]
    return bare | {field.encode_name: _least(field.type) for field in required}


def _least(kind: Any) -> object:
    struct = _struct(kind, 0)
    return _example(kind, 0) if struct is None else _bare(struct)


def _example(kind: Any, choice: int) -> object:
    """With every field set."""
    struct = _struct(kind, choice)
    if struct is not None:
        fields = msgspec.structs.fields(struct)
        return struct(**{field.name: _example(field.type, choice) for field in fields})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, typing.NewType):
        return _example(kind.__supertype__, choice)
    if origin in (typing.Union, types.UnionType):
        some = [each for each in arguments if each is not type(None)]
        return _example(some[choice % len(some)], choice)
    if origin is not None:
        return _container(origin, arguments, choice)
    if issubclass(kind, Enum):
        return list(kind)[choice % len(kind)]
    return PLAIN[kind](choice)


PLAIN: Final[Mapping[type, Callable[[int], object]]] = {
    bool: lambda choice: choice % 2 == 0,
    int: lambda choice: 7 + choice,
    float: lambda choice: 1.5 + choice,
    str: lambda choice: f"words-{choice}",
    bytes: lambda choice: bytes([choice, 255]),
}


def _container(origin: Any, arguments: tuple[Any, ...], choice: int) -> object:
    if issubclass(origin, Mapping):
        key, value = (_example(each, choice) for each in arguments)
        return {key: value}
    members = [_example(each, choice) for each in arguments if each is not Ellipsis]
    return origin(members)


def _struct(kind: Any, choice: int) -> Any:
    """The struct that this is, or leaves to choose; None if it is none."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        structs = [each for each in typing.get_args(kind) if _struct(each, 0) is not None]
        return structs[choice % len(structs)] if structs else None
    is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    return kind if is_struct else None


# --- files ----------------------------------------------------------------------------------------


def file_of(release: str) -> Path:
    """Where the messages of a release are kept."""
    return FOLDER / f"messages-{release}.json"


def files() -> tuple[Path, ...]:
    """Of every release that has been recorded."""
    return tuple(sorted(FOLDER.glob("messages-*.json")))


def text_of(messages: Recording) -> str:
    """As it is kept."""
    kept = {name: [b64encode(each).decode() for each in said] for name, said in messages.items()}
    return json.dumps({"contract": contract(), "messages": kept}, indent=1) + "\n"


def read(path: Path) -> tuple[Mapping[str, tuple[str, str]], Recording]:
    """A recorded contract, and its messages."""
    kept = json.loads(path.read_text())
    calls = {name: (said, answered) for name, (said, answered) in kept["contract"].items()}
    messages = {name: tuple(map(b64decode, said)) for name, said in kept["messages"].items()}
    return calls, messages


def release() -> str:
    """The minor version that is being made: `0.1` of `0.1.0`."""
    return ".".join(version("godwit").split(".")[:2])


if __name__ == "__main__":
    file_of(release()).write_text(text_of(recording()))
    print(f"written: {file_of(release())}")
