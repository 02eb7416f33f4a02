"""Whatever becomes of a twin's journey, it is ended afterwards, and nobody else is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.unit.virt.libvirt.fake_libvirt import Refusal

from godwit.model.migrate_data import LibvirtLiveMigrateData
from godwit.model.rehearsal import twin_name
from godwit.virt.libvirt.abi import Libvirt, Start, Trouble
from godwit.virt.libvirt.rehearsals import travel

UUID = "0123abcd-0000-4000-8000-000000000000"
TWIN = twin_name(1.8e9, UUID)
LEFT_BEHIND = twin_name(1.7e9, UUID)
AT_WORK = twin_name(1.8e9 - 30, UUID)


@dataclass
class Twin:
    """A domain that can only travel and end."""

    host: Host
    called: str
    persistent: bool = False

    def name(self) -> str:
        return self.called

    def isPersistent(self) -> int:  # noqa: N802 - libvirt's own name
        return int(self.persistent)

    def destroy(self) -> int:
        self.host.domains.remove(self)
        return 0

    def migrateToURI3(self, uri: str, params: dict[str, object], flags: int) -> int:  # noqa: N802
        self.host.sent.append(uri)
        if self.host.fails:
            raise Refusal(Trouble.INTERNAL_ERROR)
        return self.destroy()


@dataclass
class Host:
    """A libvirtd that starts twins and sends them, or does not."""

    fails: bool = False
    domains: list[Twin] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    started: list[Any] = field(default_factory=list)

    def listAllDomains(self) -> list[Twin]:  # noqa: N802
        return list(self.domains)

    def createXML(self, text: str, flags: int) -> Twin:  # noqa: N802
        self.started.append((text, flags))
        self.domains.append(Twin(self, TWIN))
        return self.domains[-1]


def sent_from(host: Host) -> None:
    agreed = LibvirtLiveMigrateData(destination_uri="qemu+tls://b/system")
    travel(cast("Libvirt", host), "<domain/>", agreed, TWIN)


def others(host: Host) -> list[Twin]:
    return [Twin(host, AT_WORK), Twin(host, "guest"), Twin(host, LEFT_BEHIND, persistent=True)]


def test_a_twin_that_arrives_is_started_paused_and_gone_here() -> None:
    host = Host()
    sent_from(host)
    assert host.started == [("<domain/>", Start.PAUSED)]
    assert (host.sent, host.domains) == (["qemu+tls://b/system"], [])


def test_a_twin_that_does_not_arrive_is_ended_and_so_is_one_left_behind() -> None:
    host = Host(fails=True)
    stay = others(host)
    host.domains = [*stay, Twin(host, LEFT_BEHIND)]
    with pytest.raises(Refusal):
        sent_from(host)
    assert host.domains == stay


def test_a_twin_that_another_rehearsal_ends_at_the_same_moment_is_no_trouble() -> None:
    class Gone(Twin):
        def isPersistent(self) -> int:  # noqa: N802
            raise Refusal(Trouble.NO_DOMAIN)

    host = Host()
    host.domains = [Gone(host, LEFT_BEHIND)]
    sent_from(host)
    assert host.sent == ["qemu+tls://b/system"]
