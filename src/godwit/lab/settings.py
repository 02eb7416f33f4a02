"""What a lab is made of: its name, how many hosts, how soon a silent peer is given up.

Chosen on the command line, handed to `keeper`, kept in the lab's base folder and read again by
`Lab.here`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from godwit.lab.layout import HOSTS_DEFAULT, check_lab_name, check_number_of_hosts

FILE_NAME: Final = "lab.json"


@dataclass(frozen=True)
class LabSettings:
    """The settings of one lab; libvirtd's own keepalive (5 s x 5) would make fault tests slow."""

    name: str = "lab"
    hosts: int = HOSTS_DEFAULT
    keepalive_interval_s: int = 2
    keepalive_count: int = 3

    def check(self) -> None:
        """Raise LabUsageError if no lab can be made of this."""
        check_lab_name(self.name)
        check_number_of_hosts(self.hosts)


def encode(settings: LabSettings) -> str:
    """One line of JSON."""
    return msgspec.json.encode(settings).decode()


def decode(text: str | bytes) -> LabSettings:
    """The inverse of `encode`; msgspec.ValidationError if the text says something else."""
    return msgspec.json.decode(text, type=LabSettings)


def write(base: Path, settings: LabSettings) -> None:
    """Keep the settings where `read` finds them."""
    (base / FILE_NAME).write_text(encode(settings))


def read(base: Path) -> LabSettings:
    """The settings the lab at `base` was made with; FileNotFoundError if there is none."""
    return decode((base / FILE_NAME).read_bytes())
