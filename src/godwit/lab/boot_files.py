"""The texts a lab host boots with: libvirtd.conf, qemu.conf, its storage pools, the script of its
PID 1. Pure.

`boot` writes them to the host's folder: the pools before the first boot, the others before each.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

from godwit.lab.layout import POOLS, SHARED_FOLDER, TLS_PORT, HostLayout
from godwit.lab.settings import LabSettings
from godwit.lab.software import overlay_commands

BOOTED: Final = "=booted="
"""What a host says when it has made its mounts; before that, only errors."""

QEMU_PKI: Final = "/etc/pki/qemu"

# Connections that got no answer are given up after about 13 s instead of 15 min: a migration whose
# network is cut then fails by itself. One that is only being made is given up after 7 s instead of
# 2 min: libvirt connects to the other host without letting anybody stop it meanwhile.
TCP_RETRIES: Final = 5
TCP_SYN_RETRIES: Final = 2


def libvirtd_conf(host: HostLayout, settings: LabSettings) -> str:
    """libvirtd listens with mutual TLS on the management address, and on its Unix socket."""
    return f"""\
listen_tls = 1
listen_tcp = 0
listen_addr = "{host.management_address}"
tls_port = "{TLS_PORT}"
auth_tls = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "{host.uuid}"
keepalive_interval = {settings.keepalive_interval_s}
keepalive_count = {settings.keepalive_count}
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
log_filters = "1:qemu.qemu_migration 3:util 3:rpc 3:event"
"""


def qemu_conf(host: HostLayout, settings: LabSettings) -> str:
    """QEMU runs as root, without cgroups; migrations arrive on the migration address."""
    return f"""\
user = "root"
group = "root"
swtpm_user = "root"
swtpm_group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
remember_owner = 0
dynamic_ownership = 0
stdio_handler = "file"
migration_address = "{host.migration_address}"
migration_host = "{host.migration_address}"
migration_port_min = 49152
migration_port_max = 49215
keepalive_interval = {settings.keepalive_interval_s}
keepalive_count = {settings.keepalive_count}
migrate_tls_x509_cert_dir = "{QEMU_PKI}"
migrate_tls_x509_verify = 1
"""


def pool_xml(host: HostLayout, name: str) -> str:
    """The definition of one of the host's own storage pools.

    With a uuid: libvirtd, restarted, takes a pool without one for another pool of the same name.
    """
    return f"""\
<pool type="dir">
  <name>{name}</name>
  <uuid>{uuid.uuid5(host.uuid, name)}</uuid>
  <target><path>{POOLS[name]}</path></target>
</pool>
"""


def init_script(host: HostLayout, shared: Path, newer: Path | None = None) -> str:
    """PID 1 of a host: makes the host's own view of the files, then reaps orphans for ever.

    The host sees the box's programs, but its own /run, /var, /etc/libvirt and /etc/pki: the
    box may have libvirt guests of its own, which must never be seen, let alone started, by the lab.
    """
    overlay = "\n".join(overlay_commands(newer)) or "# The box's own libvirt and QEMU."
    return f"""\
set -e
cd {host.folder}
{overlay}
hostname {host.name}
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount --bind srv /srv
mount --bind {shared} {SHARED_FOLDER}
mount --bind etc/libvirt /etc/libvirt
mount --bind etc/pki /etc/pki
mount --bind var /var
# Last, because it hides the lab's own folder with all its keys; the shell still stands in its part.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/libvirt /run/lock
echo {TCP_RETRIES} > /proc/sys/net/ipv4/tcp_retries2
echo {TCP_SYN_RETRIES} > /proc/sys/net/ipv4/tcp_syn_retries
echo {BOOTED}
cd /
exec >/dev/null 2>&1
trap : TERM INT HUP
while :; do sleep 86400 & wait $!; done
"""
