"""What can go wrong in the lab, in words for the person who typed the command.

Raised everywhere in this room, printed once by `cli`. Each error carries what was tried and what to
do.
"""

from __future__ import annotations


class LabError(Exception):
    """Something the lab was asked for cannot be done; `remedy` says what to do about it."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class LabUsageError(LabError):
    """The request itself is wrong: a number out of range, an unknown host, no such lab."""


class LabCommandFailed(LabError):
    """A command the lab ran failed or ran out of time; the message ends with its last words."""
