"""The settings file: what it may say, and how exactly it is told what it may not."""

import typing
from pathlib import Path

import msgspec
import pytest

from godwit.model.errors import BadRequest
from godwit.model.ids import HostName
from godwit.model.reasons import Code
from godwit.runtime.settings import (
    BusSettings,
    FlavorSettings,
    GroupSettings,
    HostsSettings,
    ImageSettings,
    LibvirtHostSettings,
    MigrationSettings,
    NetworkSettings,
    ServerSettings,
    Settings,
    SimulatedHostSettings,
    StorageSettings,
    StoreSettings,
)
from godwit.runtime.settings_file import parse_settings, read_settings

ADDRESSES = ["", "a", "host-a.example", "10.0.0.1", "fd00::1", "::1", "fe80::1%eth0"]
EXAMPLE = Path(__file__).parents[3] / "examples" / "godwit.toml"
ONE_HOST = '[hosts.host-a]\ndriver = "simulated"\n'

WRONG = {
    "wrong type": (
        f'{ONE_HOST}transfers_max = "3"',
        "hosts.host-a.transfers_max: '3' is not allowed",
        "allowed: a whole number, at least 1",
    ),
    "too small": (
        f"{ONE_HOST}transfers_max = 0",
        "hosts.host-a.transfers_max: 0 is not allowed",
        "allowed: a whole number, at least 1",
    ),
    "unknown key, nearly right": (
        f"{ONE_HOST}[migration]\nstall_timeout = 3",
        "migration.stall_timeout: there is no such key",
        "did you mean stall_timeout_s? known here: ask_again_s, attempts_max, auto_converge, "
        "bandwidth_mib_per_s, completion_timeout_s, downtime_steps, force_complete_max_pause_ms, "
        "lease_s, max_downtime_ms, parallel_connections, permit_post_copy, rely_on_fencing, "
        "stall_timeout_s",
    ),
    "unknown table": (
        f"{ONE_HOST}[conductor]\nx = 1",
        "conductor: there is no such key",
        "known here: bus, flavors, groups, hosts, hosts_defaults, images, migration, networks, "
        "server, storages, store",
    ),
    "unknown driver": (
        '[hosts.host-a]\ndriver = "kvm"',
        "hosts.host-a.driver: 'kvm' is not allowed",
        "allowed: 'libvirt', 'simulated'",
    ),
    "driver of the wrong type": (
        "[hosts.host-a]\ndriver = 3",
        "hosts.host-a.driver: 3 is not allowed",
        "allowed: 'libvirt', 'simulated'",
    ),
    "no driver": (
        '[hosts.host-a]\nuri = "qemu:///system"',
        "hosts.host-a.driver: is missing",
        "allowed: 'libvirt', 'simulated'",
    ),
    "missing key": (
        '[hosts.host-a]\ndriver = "libvirt"',
        "hosts.host-a.uri: is missing",
        "allowed: a libvirt URI, qemu+tls://ADDRESS/system",
    ),
    "not a libvirt URI": (
        '[hosts.host-a]\ndriver = "libvirt"\nuri = "xen:///"',
        "hosts.host-a.uri: 'xen:///' is not allowed",
        "allowed: a libvirt URI, qemu+tls://ADDRESS/system",
    ),
    "key of the other driver": (
        f'{ONE_HOST}uri = "qemu:///system"',
        "hosts.host-a.uri: there is no such key",
        "known here: cpu_allocation_ratio, guests, hypervisor_version, memory_mib, networks, "
        "reserved_memory_mib, transfer_s, transfers_max, vcpus",
    ),
    "not a finite number": (
        f"{ONE_HOST}[migration]\nstall_timeout_s = inf",
        "migration.stall_timeout_s: inf is not allowed",
        "allowed: a number, more than 0, finite",
    ),
    "not a number at all": (
        f"{ONE_HOST}[migration]\nstall_timeout_s = nan",
        "migration.stall_timeout_s: nan is not allowed",
        "allowed: a number, more than 0, finite",
    ),
    "a relative path": (
        f'{ONE_HOST}[storages.s]\npath = "srv/shared"',
        "storages.s.path: 'srv/shared' is not allowed",
        "allowed: an absolute path, /srv/shared",
    ),
    "a relative path at one host": (
        f'{ONE_HOST}[storages.s]\npath = "/s"\npaths = {{ host-a = "t" }}',
        "storages.s.paths.host-a: 't' is not allowed",
        "allowed: an absolute path, /srv/shared",
    ),
    "one host under two names": (
        '[hosts.a]\ndriver = "libvirt"\nuri = "qemu:///system"\n'
        '[hosts.b]\ndriver = "libvirt"\nuri = "qemu:///system"',
        "hosts.b.uri: 'qemu:///system' is not allowed: hosts.a has it, too",
        "allowed: a URI per host; name it once",
    ),
    "asked again too briefly": (
        f"{ONE_HOST}[migration]\nask_again_s = 60",
        "migration.ask_again_s: 60 is not allowed",
        "allowed: a number, more than 60",
    ),
    "not one of a few words": (
        f'{ONE_HOST}[server]\nlog_level = "loud"',
        "server.log_level: 'loud' is not allowed",
        "allowed: 'debug', 'info', 'warning', 'error'",
    ),
    "a name that is no name": (
        '[hosts."../a"]\ndriver = "simulated"',
        "hosts: the name '../a' is not allowed",
        "allowed: letters, digits, dots, dashes and underscores, at most 63",
    ),
    "a value instead of a table": (
        "hosts = 3",
        "hosts: 3 is not allowed",
        "allowed: a table",
    ),
    "one bad element of a list": (
        f'{ONE_HOST}networks = ["br0", 3]',
        "hosts.host-a.networks: ['br0', 3] is not allowed",
        "allowed: a list, each a string",
    ),
    "storage of an unknown host": (
        f'{ONE_HOST}[storages.s]\npath = "/s"\nhosts = ["host-z"]',
        "storages.s.hosts: there is no host 'host-z'",
        "known hosts: host-a",
    ),
    "path at an unknown host": (
        f'{ONE_HOST}[storages.s]\npath = "/s"\npaths = {{ host-z = "/t" }}',
        "storages.s.paths: there is no host 'host-z'",
        "known hosts: host-a",
    ),
    "bridge at an unknown host": (
        f'{ONE_HOST}[networks.n]\nbridges = {{ host-z = "br1" }}',
        "networks.n.bridges: there is no host 'host-z'",
        "known hosts: host-a",
    ),
    "bridge of the wrong type": (
        f"{ONE_HOST}[networks.n]\nbridges = {{ host-a = 1 }}",
        "networks.n.bridges.host-a: 1 is not allowed",
        "allowed: a string",
    ),
    "down before it can report": (
        f"{ONE_HOST}[hosts_defaults]\nreport_interval_s = 30",
        "hosts_defaults.down_after_s: 20 is not allowed",
        "allowed: more than report_interval_s (30)",
    ),
    "a database of another kind": (
        f'{ONE_HOST}[store]\nurl = "mysql://godwit@db/godwit"',
        "store.url: it names no database",
        "allowed: 'sqlite', or postgresql://USER@HOST/DATABASE",
    ),
    "a password in a URL": (
        f'{ONE_HOST}[store]\nurl = "postgresql://godwit:secret@db/godwit"',
        "store.url: it holds a password",
        "put it into a file, and name that in password_file",
    ),
    "a password among a URL's settings": (
        f'{ONE_HOST}[store]\nread_url = "postgresql://db/godwit?password=secret"',
        "store.read_url: it holds a password",
        "put it into a file, and name that in password_file",
    ),
    "a URL that is none": (
        f'{ONE_HOST}[store]\nurl = "postgresql://[db/godwit"',
        "store.url: it is not a URL",
        "allowed: 'sqlite', or postgresql://USER@HOST/DATABASE",
    ),
    "a bus without TLS past this machine": (
        '[bus]\nservers = ["nats://10.0.0.1:4222"]',
        "bus.servers: 'nats://10.0.0.1:4222' is not allowed without TLS",
        "allowed: tls://ADDRESS:PORT; nats:// on 127.0.0.0/8, [::1] or localhost",
    ),
    "a bus with TLS and without credentials": (
        '[bus]\nservers = ["tls://bus.example:4222"]',
        "bus.credentials: there are none",
        "name the file of this process that `godwit bus credentials` has made",
    ),
    "a bus of both kinds": (
        '[bus]\nservers = ["tls://bus.example", "nats://127.0.0.1"]\ncredentials = "x"',
        "bus.servers: some are tls:// and some are not",
        "allowed: all alike",
    ),
    "a bus that is none": (
        '[bus]\nservers = ["amqp://bus.example"]',
        "bus.servers: ['amqp://bus.example'] is not allowed",
        "allowed: a list, each a NATS server, tls://ADDRESS:PORT",
    ),
    "more connections than QEMU knows": (
        f"{ONE_HOST}[migration]\nparallel_connections = 256",
        "migration.parallel_connections: 256 is not allowed",
        "allowed: a whole number, at least 1, at most 255",
    ),
    "a longer pause than QEMU knows": (
        f"{ONE_HOST}[migration]\nmax_downtime_ms = 9000000",
        "migration.max_downtime_ms: 9000000 is not allowed",
        "allowed: a whole number, at least 1, at most 2000000",
    ),
    "a forced pause shorter than the allowed one": (
        f"{ONE_HOST}[migration]\nmax_downtime_ms = 900\nforce_complete_max_pause_ms = 899",
        "migration.force_complete_max_pause_ms: 899 is not allowed",
        "allowed: at least max_downtime_ms (900)",
    ),
    "two storages in one folder": (
        f'{ONE_HOST}[storages.a]\npath = "/s"\n'
        '[storages.b]\npath = "/b"\npaths = { host-a = "/s/" }',
        "storages.b.path: '/s/' is not allowed: at host-a, storages.a has it, too",
        "allowed: a folder of its own",
    ),
    "an address that is none": (
        '[hosts.a]\ndriver = "libvirt"\nuri = "qemu:///system"\nmigration_address = "not an one"',
        "hosts.a.migration_address: 'not an one' is not allowed",
        "allowed: a host name or an IP address, without a port",
    ),
    "an address with a port": (
        '[hosts.a]\ndriver = "libvirt"\nuri = "qemu:///system"\nconsole_address = "a.example:80"',
        "hosts.a.console_address: 'a.example:80' is not allowed",
        "allowed: a host name or an IP address, without a port",
    ),
    "nothing left for guests": (
        f"{ONE_HOST}memory_mib = 512",
        "hosts.host-a.reserved_memory_mib: 512 is not allowed",
        "allowed: less than memory_mib (512)",
    ),
    "no hosts": (
        "",
        "hosts: there is none",
        'add [hosts.NAME] with driver = "libvirt" and its uri',
    ),
}

ELSEWHERE = ["0.0.0.0:8774", "10.0.0.1:8774", "[::]:8774", "example.org:80", "127.0.0.1", "",
             "127.0.0.1:65536", "127.0.0.1:http", "unix:socket", "local.host:1"]  # fmt: skip
HERE = ["127.0.0.1:8774", "127.9.9.9:1", "[::1]:8774", "localhost:0", "unix:/run/godwit.sock"]

BUSES = {
    "over TLS": '[bus]\nservers = ["tls://a.example:4222", "tls://[fd00::1]"]\ncredentials = "/c"',
    "on loopback": '[bus]\nservers = ["nats://127.0.0.1:4222", "nats://localhost"]',
    "with hosts of other machines": (
        '[bus]\nservers = ["nats://[::1]:4222"]\n[hosts.a]\ndriver = "simulated"\n'
        '[storages.s]\npath = "/s"\nhosts = ["a", "elsewhere"]'
    ),
}


@pytest.mark.parametrize(("text", "words", "remedy"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_refused_by_key_value_and_what_is_allowed(
    text: str, words: str, remedy: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_settings(text)
    reason = caught.value.reason
    assert (reason.code, reason.words, reason.remedy) == (Code.INVALID_INPUT, words, remedy)


@pytest.mark.parametrize("listen", ELSEWHERE)
def test_the_api_listens_nowhere_but_on_this_machine(listen: str) -> None:
    with pytest.raises(BadRequest, match=r"server\.listen"):
        parse_settings(f'{ONE_HOST}[server]\nlisten = "{listen}"')


@pytest.mark.parametrize("listen", HERE)
def test_the_api_may_listen_on_loopback_or_a_socket(listen: str) -> None:
    settings = parse_settings(f'{ONE_HOST}[server]\nlisten = "{listen}"')
    assert settings.server.listen == listen


@pytest.mark.parametrize("address", ADDRESSES)
def test_hosts_are_reached_by_name_or_address(address: str) -> None:
    host = '[hosts.a]\ndriver = "libvirt"\nuri = "qemu:///system"\n'
    settings = parse_settings(f'{host}migration_address = "{address}"')
    assert getattr(settings.hosts[HostName("a")], "migration_address", None) == address


def test_two_storages_may_have_one_path_where_no_host_sees_both() -> None:
    hosts = "".join(f'[hosts.{name}]\ndriver = "simulated"\n' for name in "ab")
    storages = "".join(f'[storages.s{n}]\npath = "/s"\nhosts = ["{n}"]\n' for n in "ab")
    assert len(parse_settings(hosts + storages).storages) == 2


def test_a_file_that_is_not_toml_says_where() -> None:
    with pytest.raises(BadRequest, match=r"not TOML: .*line 1"):
        parse_settings("[hosts\nx = 1")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"nowhere\.toml: No such file"):
        read_settings(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "image.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRequest, match=r"image\.toml: cannot be read as UTF-8"):
        read_settings(tmp_path / "image.toml")


def test_what_is_left_out_has_its_default() -> None:
    settings = parse_settings(ONE_HOST)
    assert settings == Settings(hosts={HostName("host-a"): SimulatedHostSettings()})


def test_a_whole_number_will_do_where_a_number_is_wanted() -> None:
    assert parse_settings(f"{ONE_HOST}transfer_s = 1").hosts[HostName("host-a")] == (
        SimulatedHostSettings(transfer_s=1.0)
    )


TABLES: dict[str, type[msgspec.Struct]] = {
    "server": ServerSettings,
    "store": StoreSettings,
    "migration": MigrationSettings,
    "hosts_defaults": HostsSettings,
    "bus": BusSettings,
    "hosts.host-a": LibvirtHostSettings,
    "hosts.host-b": SimulatedHostSettings,
    "storages.shared": StorageSettings,
    "networks.brvm": NetworkSettings,
    "flavors.small": FlavorSettings,
    "images.debian": ImageSettings,
    "groups.web": GroupSettings,
}


def test_the_example_is_a_right_file() -> None:
    assert len(read_settings(EXAMPLE).hosts) == 2


@pytest.mark.parametrize("table", TABLES)
def test_the_example_names_every_key(table: str) -> None:
    section = EXAMPLE.read_text().partition(f"\n[{table}]\n")[2].partition("\n[")[0]
    named = {line.partition(" = ")[0] for line in section.splitlines() if " = " in line}
    keys = {field.name for field in msgspec.structs.fields(TABLES[table])}
    assert keys <= named


def test_the_example_has_a_table_of_every_kind() -> None:
    sections = {table.partition(".")[0] for table in TABLES}
    assert sections == {field.name for field in msgspec.structs.fields(Settings)}
    assert set(typing.get_args(LibvirtHostSettings | SimulatedHostSettings)) <= set(TABLES.values())


EXCEPTIONS = {"peer_uri", "console_address", "migration_address", "uri", "guests", "path", "hosts",
              "memory_mib", "disk_mib", "policy", "members"}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_the_example_shows_the_defaults(table: str) -> None:
    raw = msgspec.to_builtins(read_settings(EXAMPLE))
    shown = raw
    for name in table.split("."):
        shown = shown[name]
    defaults = {
        field.name: field.default
        for field in msgspec.structs.fields(TABLES[table])
        if field.default is not msgspec.NODEFAULT and field.name not in EXCEPTIONS
    }
    assert {key: tuple(v) if isinstance(v := shown[key], list) else v for key in defaults} == (
        defaults
    )


@pytest.mark.parametrize("text", BUSES.values(), ids=BUSES.keys())
def test_with_a_bus_a_file_need_not_name_every_host(text: str) -> None:
    assert len(parse_settings(text).hosts) <= 1
