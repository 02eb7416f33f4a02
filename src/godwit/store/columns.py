"""How Godwit's own types live in SQL columns: closed sets as their words, records as JSON.

Used by `tables` alone. What is read is checked against its type, so a broken row is noticed where
it is read.
"""

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
        self._by_word = {member.value: member for member in members}

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else str(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> E | None:
        """From the database."""
        return None if value is None else self._by_word[value]


class Json(TypeDecorator[Any]):
    """A msgspec record, or a tuple of records, kept as JSON text."""

    impl = Text
    cache_ok = True

    def __init__(self, record: Any) -> None:
        """`record` is the type that is read back."""
        super().__init__()
        self.record = record
        self._decode = msgspec.json.Decoder(record).decode

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else self._decode(value)
