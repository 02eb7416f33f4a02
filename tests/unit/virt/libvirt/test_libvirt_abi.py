"""The numbers written down in `abi` are libvirt's own."""

from enum import IntEnum, IntFlag

import pytest

libvirt = pytest.importorskip("libvirt")

from godwit.virt.libvirt import abi  # noqa: E402 - only where libvirt is installed

FAMILIES: list[tuple[type[IntEnum] | type[IntFlag], str]] = [
    (abi.State, "VIR_DOMAIN_"),
    (abi.Running, "VIR_DOMAIN_RUNNING_"),
    (abi.Paused, "VIR_DOMAIN_PAUSED_"),
    (abi.Shutoff, "VIR_DOMAIN_SHUTOFF_"),
    (abi.Event, "VIR_DOMAIN_EVENT_"),
    (abi.JobType, "VIR_DOMAIN_JOB_"),
    (abi.Migrate, "VIR_MIGRATE_"),
    (abi.DomainXml, "VIR_DOMAIN_XML_"),
    (abi.Domains, "VIR_CONNECT_LIST_DOMAINS_"),
    (abi.Start, "VIR_DOMAIN_START_"),
    (abi.Trouble, "VIR_ERR_"),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [(f"{prefix}{member.name}", member.value) for family, prefix in FAMILIES for member in family],
)
def test_the_number_is_libvirts(name: str, value: int) -> None:
    assert getattr(libvirt, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIR_DOMAIN_JOB_STATS_COMPLETED", abi.JobStats.COMPLETED),
        ("VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED", abi.JobStats.KEEP_COMPLETED),
        ("VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT", abi.MIGRATION_OUT),
        *((f"VIR_DOMAIN_EVENT_STOPPED_{each.name}", each) for each in abi.Stopped),
        ("VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED", abi.SUSPENDED_MIGRATED),
        ("VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE", abi.FAIL_INCOMPATIBLE),
        ("VIR_FROM_RPC", abi.FROM_RPC),
        ("VIR_STORAGE_POOL_RUNNING", abi.POOL_RUNNING),
        ("VIR_MIGRATE_PARAM_URI", abi.PARAM_URI),
        ("VIR_MIGRATE_PARAM_MIGRATE_DISKS", abi.PARAM_DISKS),
        ("VIR_MIGRATE_PARAM_BANDWIDTH", abi.PARAM_BANDWIDTH),
        ("VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS", abi.PARAM_CONNECTIONS),
    ],
)
def test_the_single_constant_is_libvirts(name: str, value: object) -> None:
    assert getattr(libvirt, name) == value


def test_leftovers_of_an_undefined_domain_are_its_metadata_never_its_storage() -> None:
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
        | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    )
    assert flags == abi.UNDEFINE_LEFTOVERS
