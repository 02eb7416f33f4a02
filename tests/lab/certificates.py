"""Certificates that a lab host's libvirtd shows for a while in place of its own.

It reads them without a restart, so that connections that are open stay so: as when a certificate
expires, or is replaced by one that will not do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from godwit.lab.certificates import Authority, expire, issue, lay_out_pki, make_authority
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab


@contextmanager
def of_a_stranger(_lab: Lab, host: LabHost) -> Iterator[None]:
    """What another authority has signed; it trusts nobody else's, either."""
    folder = host.layout.folder / "stranger"
    stranger = make_authority(host.layout.folder / "stranger-authority")
    issue(stranger, folder, name=host.name, alternatives=[f"IP:{host.management_address}"])
    with _shown(host, folder):
        yield


@contextmanager
def for_another_address(lab: Lab, host: LabHost) -> Iterator[None]:
    """One that is made out to its name and to another address."""
    folder = host.layout.folder / "elsewhere"
    issue(_ours(lab), folder, name=host.name, alternatives=["IP:10.9.9.9"])
    with _shown(host, folder):
        yield


@contextmanager
def by_address_alone(lab: Lab, host: LabHost) -> Iterator[None]:
    """One that is made out to its address and to another name."""
    folder = host.layout.folder / "nameless"
    issue(_ours(lab), folder, name="other", alternatives=[f"IP:{host.management_address}"])
    with _shown(host, folder):
        yield


@contextmanager
def expired(lab: Lab, host: LabHost) -> Iterator[None]:
    """One that has expired since it was read: libvirtd reads no other.

    So it must be read in time; a slow box gets a longer life.
    """
    folder = host.layout.folder / "expired"
    for life_s in (2, 6, 18):
        issue(_ours(lab), folder, name=host.name, alternatives=[f"IP:{host.management_address}"])
        end = datetime.now(UTC) + timedelta(seconds=life_s)
        expire(_ours(lab), folder, at=end)
        if _shows(host, folder):
            break
    else:
        raise AssertionError("no certificate was read before it had expired")
    with _shown(host, folder, read=True):
        time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1.0)
        yield


@contextmanager
def _shown(host: LabHost, certificate: Path, *, read: bool = False) -> Iterator[None]:
    try:
        assert read or _shows(host, certificate)
        yield
    finally:
        assert _shows(host, host.layout.folder / "certificate")


def _shows(host: LabHost, certificate: Path) -> bool:
    """Have its libvirtd read this certificate. Did it?"""
    lay_out_pki(certificate, host.layout.folder / "etc/pki")
    return host.run("virt-admin", "server-update-tls", "libvirtd", check=False).returncode == 0


def _ours(lab: Lab) -> Authority:
    return Authority(lab.base / "authority")
