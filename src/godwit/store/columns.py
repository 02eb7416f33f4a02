"""How Godwit's own types live in SQL columns: closed sets as their words, records as JSON.

Used by `tables` alone. What is read is checked against its type, so a broken row is noticed where
it is read. SQLAlchemy's own way to a type (`process_bind_param`) is one more call for each value;
there are hundreds of values in one migration.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

E = TypeVar("E", bound=StrEnum)


class Word(TypeDecorator[E], Generic[E]):
    """A member of a closed set, kept as its word."""

    impl = String
    cache_ok = True

    def __init__(self, members: type[E]) -> None:
        """`members` is the closed set."""
        super().__init__()
        self.members = members
        self._words: dict[E | None, str | None] = {each: each.value for each in members}
        self._members: dict[str | None, E | None] = {each.value: each for each in members}
        self._words[None] = self._members[None] = None

    def bind_processor(self, dialect: Dialect) -> Callable[[E | None], str | None]:
        """To the database."""
        return self._words.__getitem__

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[str | None], E | None]:
        """From the database."""
        return self._members.__getitem__


class Json(TypeDecorator[Any]):
    """A msgspec record, or a tuple of records, kept as JSON text."""

    impl = Text
    cache_ok = True

    def __init__(self, record: Any) -> None:
        """`record` is the type that is read back."""
        super().__init__()
        self.record = record
        self._decode = msgspec.json.Decoder(record).decode

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:
        """To the database."""
        return _written

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], Any]:
        """From the database."""
        decode = self._decode
        return lambda value: None if value is None else decode(value)


def _written(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
