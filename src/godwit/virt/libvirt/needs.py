"""Does a host have what a guest's definition takes of its host: memory of its kind, the CPUs and
cells it names, firmware, TPM, secrets? Pure; read by `check_reads`, judged for `checks`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from godwit.model.ids import HostName
from godwit.model.instance import Instance, Platform
from godwit.model.reasons import Code, Reason, reason

PACKAGED: Final = "/usr/share/"
"""libvirt names the firmware files that packages bring; of others it says nothing."""


@dataclass(frozen=True)
class HostOffer:
    """What a host has at this moment. Empty or None where it was not asked or does not say."""

    runs_its_kind: bool = True
    """Whether it can run guests of this architecture under `kvm`, or `qemu`, as this one is."""
    has_emulator: bool = True
    free_memory_mib: int | None = None
    """What is free or could be freed: never less than a new guest could get."""
    free_pages: Mapping[int, int] = field(default_factory=dict)
    """Free huge pages by their size in KiB."""
    cpus: frozenset[int] = frozenset()
    cells: frozenset[int] = frozenset()
    links: frozenset[str] | None = None
    firmwares: frozenset[str] | None = None
    tpm_backends: frozenset[str] | None = None
    secrets: frozenset[str] = frozenset()
    """Those of the guest's secrets that the host keeps."""


def unmet_needs(instance: Instance, host: HostName, offer: HostOffer) -> tuple[Reason, ...]:
    """Every reason why the host cannot give the guest what its definition takes."""
    platform = instance.platform or Platform()
    return (
        *_memory(instance.memory_mib, platform, host, offer),
        *_places(platform, host, offer),
        *_machine(platform, host, offer),
    )


def _memory(
    needed_mib: int, platform: Platform, host: HostName, offer: HostOffer
) -> Iterator[Reason]:
    sizes = platform.huge_pages_kib
    if sizes:
        free_mib = sum(offer.free_pages.get(size, 0) * size for size in sizes) // 1024
        if free_mib < needed_mib:
            yield reason(
                Code.HUGE_PAGES_SHORT,
                host=host,
                free_mib=free_mib,
                size=" or ".join(f"{size} KiB" for size in sizes),
                needed_mib=needed_mib,
            )
    elif offer.free_memory_mib is not None and offer.free_memory_mib < needed_mib:
        yield reason(
            Code.HOST_MEMORY_SHORT,
            host=host,
            free_mib=offer.free_memory_mib,
            needed_mib=needed_mib,
        )


def _places(platform: Platform, host: HostName, offer: HostOffer) -> Iterator[Reason]:
    """The CPUs, cells and network devices that the guest names must be there by these names."""
    cpus = sorted(set(platform.pinned_cpus) - offer.cpus) if offer.cpus else []
    if cpus:
        yield reason(Code.PINNED_CPUS_MISSING, host=host, cpus=_listed(cpus))
    cells = sorted(set(platform.memory_cells) - offer.cells) if offer.cells else []
    if cells:
        yield reason(Code.NUMA_CELLS_MISSING, host=host, cells=_listed(cells))
    links = sorted(set(platform.links) - offer.links) if offer.links is not None else []
    for link in links:
        yield reason(Code.LINK_MISSING, host=host, link=link)


def _machine(platform: Platform, host: HostName, offer: HostOffer) -> Iterator[Reason]:
    if not offer.runs_its_kind:
        kind = f"{platform.architecture} under {platform.virtualisation}"
        yield reason(Code.VIRTUALISATION_MISSING, host=host, kind=kind)
    if not offer.has_emulator:
        yield reason(Code.EMULATOR_MISSING, host=host, path=platform.emulator)
    firmware = platform.firmware
    known = firmware.startswith(PACKAGED) and offer.firmwares is not None
    if known and firmware not in (offer.firmwares or ()):
        yield reason(Code.FIRMWARE_MISSING, host=host, path=firmware)
    backends = offer.tpm_backends
    if platform.tpm and backends is not None and platform.tpm not in backends:
        yield reason(Code.TPM_UNSUPPORTED, host=host, backend=platform.tpm)
    for uuid in sorted(set(platform.secrets) - offer.secrets):
        yield reason(Code.SECRET_MISSING, host=host, uuid=uuid)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
