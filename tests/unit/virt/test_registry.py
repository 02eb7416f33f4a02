"""Which driver a host gets, and that nobody needs libvirt who has no libvirt host."""

import subprocess
import sys

import pytest
from tests.unit.transfer_orders import A, B, an_order

from godwit.model.errors import Refused
from godwit.model.migrate_data import (
    LibvirtLiveMigrateData,
    LiveMigrateData,
    SimulatedLiveMigrateData,
)
from godwit.runtime.settings import (
    HostSettings,
    LibvirtHostSettings,
    Settings,
    SimulatedHostSettings,
)
from godwit.virt.registry import (
    compute_driver,
    simulated_fleet,
    transfer_driver,
)
from godwit.virt.simulated.driver import SimulatedDriver

LIBVIRT = LibvirtHostSettings(uri="qemu+tcp://127.0.0.1:1/system")
SIMULATED = SimulatedHostSettings(guests=1)


def test_a_simulated_host_gets_the_simulated_driver_and_only_those_are_in_the_fleet() -> None:
    settings = Settings(hosts={A: SIMULATED, B: LIBVIRT})
    fleet = simulated_fleet(settings)
    assert fleet.hosts() == (A,)
    assert isinstance(compute_driver(A, settings, fleet), SimulatedDriver)


@pytest.mark.parametrize(
    ("settings", "migrate_data"),
    [
        (SIMULATED, SimulatedLiveMigrateData()),
        (SIMULATED, LibvirtLiveMigrateData()),
        (LIBVIRT, SimulatedLiveMigrateData()),
    ],
)
def test_an_order_that_no_process_can_carry_out_is_refused(
    settings: HostSettings, migrate_data: LiveMigrateData
) -> None:
    with pytest.raises(Refused, match="was given to the transfer process of host-a"):
        transfer_driver(an_order(settings, migrate_data))


@pytest.mark.slow
def test_libvirt_is_not_imported_before_a_host_needs_it() -> None:
    program = "import sys, godwit.compute.managers; sys.exit('libvirt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
