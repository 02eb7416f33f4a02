"""`godwit bus`: what an operator of the bus needs."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from godwit.model.ids import HostName
from godwit.rpc import bus_users
from godwit.rpc.bus_users import BusUser
from godwit.rpc.keys import new_seed, public_key
from godwit.runtime.settings_file import is_name
from godwit.service.process import EXIT_CANNOT, EXIT_USAGE

CONDUCTOR: Final = "conductor.seed"
API: Final = "api.seed"
HOSTS: Final = "hosts"
SERVER_PART: Final = "nats-users.conf"
MODE: Final = 0o600


@click.group()
def bus() -> None:
    """Set up the bus between processes."""


@bus.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
def credentials(folder: Path, hosts: tuple[str, ...]) -> None:
    """Make a secret for each HOST, one for conductors and one for APIs, in FOLDER.

    What is there stays as it is; the server's part is written for all whose secret is there. To
    shut a host out, remove its file and call this again.
    """
    for host in hosts:
        if not is_name(host):
            said = "letters, digits, dots, dashes and underscores, at most 63"
            print(f"godwit bus credentials: {host!r} is no host's name ({said})", file=sys.stderr)  # noqa: T201
            sys.exit(EXIT_USAGE)
    try:
        users = _ensure_seeds(folder, hosts)
        _write(folder / SERVER_PART, bus_users.server_part(users))
    except (OSError, ValueError) as error:
        print(f"godwit bus credentials: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_CANNOT)
    for line in _what_goes_where(folder):
        print(line)  # noqa: T201


def _ensure_seeds(folder: Path, hosts: Iterable[str]) -> list[BusUser]:
    """Every user whose seed is there afterwards. Raises `ValueError` naming a file without one."""
    of_hosts = folder / HOSTS
    of_hosts.mkdir(mode=0o700, parents=True, exist_ok=True)
    users = [
        bus_users.of_conductors(_ensure_key(folder / CONDUCTOR)),
        bus_users.of_apis(_ensure_key(folder / API)),
    ]
    for host in hosts:
        _ensure_key(of_hosts / f"{host}.seed")
    seeds = sorted(of_hosts.glob("*.seed"))
    return users + [bus_users.of_host(HostName(path.stem), _ensure_key(path)) for path in seeds]


def _ensure_key(path: Path) -> str:
    """The public key of the seed in this file; made if it is not there, never made again."""
    if not path.exists():
        _write(path, f"{new_seed()}\n")
    try:
        return public_key(path.read_text(encoding="ascii").strip())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _write(path: Path, text: str) -> None:
    """As a whole, for its owner alone, and on disk."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _what_goes_where(folder: Path) -> list[str]:
    hosts = sorted(path.name for path in (folder / HOSTS).glob("*.seed"))
    return [
        f"{folder / SERVER_PART}  include it in the configuration of every NATS server, reload",
        f"{folder / CONDUCTOR}  to each conductor: [bus] credentials",
        f"{folder / API}  to each API: [bus] credentials",
        *(f"{folder / HOSTS / name}  to that host alone: [bus] credentials" for name in hosts),
    ]
