"""Reads the settings file, once at the start. Errors name key, bad value and remedy.

Every process reads the same file. What its keys are, and what each may hold, stands in `settings`;
here is what no key can say by itself.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterable
from os.path import normpath
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from godwit.model.ids import HostName
from godwit.runtime.settings import (
    NAME_PATTERN,
    SQLITE,
    BusSettings,
    LibvirtHostSettings,
    MigrationSettings,
    Settings,
    SimulatedHostSettings,
    StoreSettings,
)
from godwit.runtime.settings_table import bad, read_table

_STORES: Final = f"allowed: {SQLITE!r}, or postgresql://USER@HOST/DATABASE"


def read_settings(path: Path) -> Settings:
    """The settings in the file at `path`.

    Raises `BadRequest` (invalid-input) naming the file or the key, the bad value and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = (isinstance(error, OSError) and error.strerror) or "cannot be read as UTF-8 text"
        remedy = "name a readable settings file with --config; see examples/godwit.toml"
        raise bad(str(path), problem, remedy) from error
    return parse_settings(text)


def parse_settings(text: str) -> Settings:
    """The settings in `text`. Raises `BadRequest` as `read_settings` does."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise bad("the file", f"not TOML: {error}", "see examples/godwit.toml") from error
    settings = read_table(raw, Settings, "")
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """What no key can say by itself."""
    if not settings.hosts and not settings.bus.servers:
        raise bad("hosts", "there is none", 'add [hosts.NAME] with driver = "libvirt" and its uri')
    _check_listen(settings.server.listen)
    _check_store(settings.store)
    _check_bus(settings.bus)
    watch = settings.hosts_defaults
    if watch.down_after_s <= watch.report_interval_s:
        problem = f"{watch.down_after_s:g} is not allowed"
        expected = f"allowed: more than report_interval_s ({watch.report_interval_s:g})"
        raise bad("hosts_defaults.down_after_s", problem, expected)
    _check_pauses(settings.migration)
    _check_uris(settings)
    _check_room(settings)
    _check_storages(settings)
    for name, network in settings.networks.items():
        _check_hosts(settings, f"networks.{name}.bridges", network.bridges)


def _check_store(store: StoreSettings) -> None:
    """A URL is shown in messages and logs: what it may not hold must not be shown either."""
    if store.url != SQLITE:
        _check_server("store.url", store.url)
    if store.read_url:
        _check_server("store.read_url", store.read_url)


def _check_server(key: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise bad(key, "it is not a URL", _STORES) from error
    if parts.scheme != "postgresql":
        raise bad(key, "it names no database", _STORES)
    if "password" in parse_qs(parts.query) or ":" in parts.netloc.rpartition("@")[0]:
        raise bad(key, "it holds a password", "put it into a file, and name that in password_file")


def _check_uris(settings: Settings) -> None:
    """A host that is named twice would be counted twice."""
    names: dict[str, HostName] = {}
    for name, host in settings.hosts.items():
        if isinstance(host, LibvirtHostSettings):
            other = names.setdefault(host.uri, name)
            if other != name:
                problem = f"{host.uri!r} is not allowed: hosts.{other} has it, too"
                raise bad(f"hosts.{name}.uri", problem, "allowed: a URI per host; name it once")


def _check_pauses(migration: MigrationSettings) -> None:
    allowed_ms, forced_ms = migration.max_downtime_ms, migration.force_complete_max_pause_ms
    if forced_ms < allowed_ms:
        expected = f"allowed: at least max_downtime_ms ({allowed_ms})"
        key = "migration.force_complete_max_pause_ms"
        raise bad(key, f"{forced_ms} is not allowed", expected)


def _check_room(settings: Settings) -> None:
    """A real host's memory is known only once it answers."""
    for name, host in settings.hosts.items():
        if isinstance(host, SimulatedHostSettings) and host.reserved_memory_mib >= host.memory_mib:
            problem = f"{host.reserved_memory_mib} is not allowed"
            expected = f"allowed: less than memory_mib ({host.memory_mib})"
            raise bad(f"hosts.{name}.reserved_memory_mib", problem, expected)


def _check_storages(settings: Settings) -> None:
    """A folder of a host belongs to one storage: what is on it could not be told apart."""
    owners: dict[tuple[HostName, str], str] = {}
    for name, storage in settings.storages.items():
        _check_path(f"storages.{name}.path", storage.path)
        for host, path in storage.paths.items():
            _check_path(f"storages.{name}.paths.{host}", path)
        _check_hosts(settings, f"storages.{name}.hosts", storage.hosts)
        _check_hosts(settings, f"storages.{name}.paths", storage.paths)
        for host in storage.hosts or settings.hosts:
            path = storage.paths.get(host, storage.path)
            other = owners.setdefault((host, normpath(path)), name)
            if other != name:
                problem = f"{path!r} is not allowed: at {host}, storages.{other} has it, too"
                raise bad(f"storages.{name}.path", problem, "allowed: a folder of its own")


def _check_path(key: str, path: str) -> None:
    if not path.startswith("/"):
        raise bad(key, f"{path!r} is not allowed", "allowed: an absolute path, /srv/shared")


def _check_hosts(settings: Settings, key: str, named: Iterable[HostName]) -> None:
    """With a bus, a file need not name the hosts of other machines."""
    if settings.bus.servers:
        return
    for host in named:
        if host not in settings.hosts:
            known = f"known hosts: {', '.join(sorted(settings.hosts))}"
            raise bad(key, f"there is no host {host!r}", known)


def _check_bus(bus: BusSettings) -> None:
    """Whoever is on the bus may move guests: past this machine, TLS and credentials are needed."""
    for server in bus.servers:
        scheme, _, place = server.partition("://")
        if scheme == "nats" and not is_loopback(place.rpartition(":")[0] or place):
            expected = "allowed: tls://ADDRESS:PORT; nats:// on 127.0.0.0/8, [::1] or localhost"
            raise bad("bus.servers", f"{server!r} is not allowed without TLS", expected)
    if len({server.partition(":")[0] for server in bus.servers}) > 1:
        raise bad("bus.servers", "some are tls:// and some are not", "allowed: all alike")
    if bus.is_encrypted and not bus.credentials:
        expected = "name the file of this process that `godwit bus credentials` has made"
        raise bad("bus.credentials", "there are none", expected)


def _check_listen(listen: str) -> None:
    """Whoever reaches the API may move guests: until there is a login, only this machine may."""
    if listen.startswith("unix:"):
        allowed = listen.startswith("unix:/")
    else:
        address, _, port = listen.rpartition(":")
        allowed = is_loopback(address) and port.isascii() and port.isdigit() and int(port) < 65536
    if not allowed:
        expected = "allowed: ADDRESS:PORT with 127.0.0.0/8, [::1] or localhost, or unix:/PATH"
        raise bad("server.listen", f"{listen!r} is not allowed without a login", expected)


def is_name(text: str) -> bool:
    """May a host, a storage or a network be called so?"""
    return re.fullmatch(NAME_PATTERN, text) is not None


def is_loopback(address: str) -> bool:
    """Is this a name or address of this machine for itself alone? IPv6 with or without brackets."""
    try:
        return ipaddress.ip_address(address.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return address == "localhost"
