"""What is asked of libvirt about a guest's CPU, and what its answers mean."""

from typing import Any

import pytest
from tests.unit.virt.libvirt.fake_libvirt import Refusal

from godwit.model.instance import Platform
from godwit.virt.libvirt.abi import Libvirt, Trouble
from godwit.virt.libvirt.check_reads import cpu_missing
from godwit.virt.libvirt.needs import HostOffer

CUSTOM = Platform(
    virtualisation="kvm",
    architecture="x86_64",
    machine_type="pc-q35-7.2",
    emulator="/usr/bin/qemu",
    cpu='<cpu mode="custom"><model>EPYC</model></cpu>',
)


class Comparing:
    """A libvirtd that is asked about nothing but CPUs."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.asked: list[tuple[Any, ...]] = []

    def compareHypervisorCPU(self, *question: Any) -> int:  # noqa: N802 - libvirt's own name
        self.asked.append(question)
        if self.number is not None:
            raise Refusal(self.number)
        return 2


def asked_of(libvirt: Comparing) -> Libvirt:
    asked: Any = libvirt  # it has the one call that is made
    return asked  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("number", "refused"),
    [
        (None, False),
        (Trouble.CPU_INCOMPATIBLE, True),
        (Trouble.INTERNAL_ERROR, True),  # a feature that this libvirt has never heard of
        (Trouble.INVALID_ARG, True),
        (Trouble.CONFIG_UNSUPPORTED, True),
        (Trouble.NO_SUPPORT, False),
        (Trouble.OPERATION_UNSUPPORTED, False),  # an architecture whose CPUs are not compared
    ],
)
def test_each_answer_of_libvirt_is_a_refusal_or_none(number: int | None, refused: bool) -> None:
    missing = cpu_missing(asked_of(Comparing(number)), CUSTOM, ["pc-q35-7.2"], HostOffer())
    assert missing == (f"error {number}" if refused else "")


def test_trouble_with_libvirt_is_no_word_about_the_cpu() -> None:
    with pytest.raises(Refusal):
        cpu_missing(asked_of(Comparing(Trouble.SYSTEM_ERROR)), CUSTOM, [], HostOffer())


@pytest.mark.parametrize(
    ("machines", "offer", "emulator", "machine"),
    [
        (["pc-q35-7.2"], HostOffer(), "/usr/bin/qemu", "pc-q35-7.2"),
        ([], HostOffer(), "/usr/bin/qemu", None),
        (["pc-q35-7.2"], HostOffer(has_emulator=False), None, "pc-q35-7.2"),
    ],
)
def test_libvirt_compares_for_the_guests_own_hypervisor_as_far_as_the_host_has_it(
    machines: list[str], offer: HostOffer, emulator: str | None, machine: str | None
) -> None:
    libvirt = Comparing(None)
    cpu_missing(asked_of(libvirt), CUSTOM, machines, offer)
    [(asked_emulator, arch, asked_machine, virttype, cpu, _flags)] = libvirt.asked
    assert (asked_emulator, asked_machine) == (emulator, machine)
    assert (arch, virttype, cpu) == ("x86_64", "kvm", CUSTOM.cpu)


@pytest.mark.parametrize(
    ("cpu", "offer"),
    [
        ("", HostOffer()),
        ('<cpu mode="host-passthrough"/>', HostOffer()),
        ('<cpu mode="maximum"/>', HostOffer()),
        (CUSTOM.cpu, HostOffer(runs_its_kind=False)),
    ],
)
def test_what_libvirt_cannot_compare_it_is_not_asked(cpu: str, offer: HostOffer) -> None:
    libvirt = Comparing(Trouble.CPU_INCOMPATIBLE)
    platform = Platform(virtualisation="kvm", architecture="x86_64", cpu=cpu)
    assert cpu_missing(asked_of(libvirt), platform, [], offer) == ""
    assert libvirt.asked == []
