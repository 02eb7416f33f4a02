"""Turns one table of the settings file into its struct, and says exactly what is wrong with it.

Called by `runtime/settings.py` alone. Every error names the full key (such as
`hosts.host-a.transfers_max`), the value that was found, and what is allowed there.
"""

import difflib
import math
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import msgspec

from godwit.model.errors import BadRequest
from godwit.model.reasons import Code, reason

T = TypeVar("T", bound=msgspec.Struct)


def read_table(raw: object, kind: type[T], key: str) -> T:
    """The table found at `key` as a `kind`. Raises `BadRequest` (invalid-input)."""
    table = _as_table(raw, key)
    fields = msgspec.structs.fields(kind)
    _refuse_unknown(table, [field.name for field in fields], key)
    values = {}
    for field in fields:
        where = _join(key, field.name)
        if field.name in table:
            values[field.name] = _read_value(table[field.name], field.type, where)
        elif field.required:
            raise bad(where, "is missing", describe(field.type))
    return kind(**values)


def bad(key: str, problem: str, expected: str) -> BadRequest:
    """The error for `key`."""
    return BadRequest(reason(Code.INVALID_INPUT, field=key, problem=problem, expected=expected))


def describe(kind: Any) -> str:
    """What a key of this type may hold, in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _describe_annotated(arguments[0], arguments[1:])
    if origin is typing.Literal:
        return "allowed: " + ", ".join(repr(each) for each in arguments)
    if origin is tuple:
        return f"allowed: a list, each {describe(arguments[0]).removeprefix('allowed: ')}"
    if origin is dict or _is_table(kind):
        return "allowed: a table"
    supertype = getattr(kind, "__supertype__", kind)
    return f"allowed: {_WORDS.get(supertype, supertype)}"


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
}


def _describe_annotated(kind: Any, metas: Iterable[Any]) -> str:
    words = describe(kind)
    for meta in metas:
        if meta.description is not None:
            return f"allowed: {meta.description}"
        if meta.ge is not None:
            words += f", at least {meta.ge:g}"
        if meta.gt is not None:
            words += f", more than {meta.gt:g}"
        if meta.le is not None:
            words += f", at most {meta.le}"
    return words


def _read_value(value: object, kind: Any, key: str) -> object:
    if typing.get_origin(kind) is dict:
        name_kind, of_each = typing.get_args(kind)
        return _read_tables(value, name_kind, of_each, key)
    if _is_table(kind):
        return _read_one_of(value, kind, key)
    if isinstance(value, float) and not math.isfinite(value):
        raise bad(key, f"{value!r} is not allowed", f"{describe(kind)}, finite")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise bad(key, f"{value!r} is not allowed", describe(kind)) from error


def _read_tables(raw: object, name_kind: Any, of_each: Any, key: str) -> dict[str, object]:
    """[key.NAME] for any number of names."""
    tables: dict[str, object] = {}
    for name, table in _as_table(raw, key).items():
        try:
            msgspec.convert(name, name_kind)
        except msgspec.ValidationError as error:
            raise bad(key, f"the name {name!r} is not allowed", describe(name_kind)) from error
        tables[name] = _read_value(table, of_each, _join(key, name))
    return tables


def _read_one_of(raw: object, kind: Any, key: str) -> msgspec.Struct:
    """A table of one kind, or of the kind that its tag (`driver`) names."""
    kinds = typing.get_args(kind)
    if not kinds:
        struct: type[msgspec.Struct] = kind
        return read_table(raw, struct, key)
    by_tag = {each.__struct_config__.tag: each for each in kinds}
    tag_field = kinds[0].__struct_config__.tag_field
    table = dict(_as_table(raw, key))
    where, allowed = _join(key, tag_field), ", ".join(repr(tag) for tag in by_tag)
    if tag_field not in table:
        raise bad(where, "is missing", f"allowed: {allowed}")
    tag = table.pop(tag_field)
    if not isinstance(tag, str) or tag not in by_tag:
        raise bad(where, f"{tag!r} is not allowed", f"allowed: {allowed}")
    chosen: type[msgspec.Struct] = by_tag[tag]
    return read_table(table, chosen, key)


def _refuse_unknown(table: dict[str, Any], known: list[str], key: str) -> None:
    for name in table:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]}? " if nearest else ""
            expected = f"{hint}known here: {', '.join(sorted(known))}"
            raise bad(_join(key, name), "there is no such key", expected)


def _as_table(raw: object, key: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise bad(key, f"{raw!r} is not allowed", "allowed: a table")
    return raw


def _is_table(kind: Any) -> bool:
    each = typing.get_args(kind)[0] if isinstance(kind, types.UnionType) else kind
    return isinstance(each, type) and issubclass(each, msgspec.Struct)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
