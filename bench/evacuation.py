"""Eight guests off one host: one `godwit migrate --from` against virsh, one by one."""

import time
from statistics import median

from bench.real_hosts import RealHosts
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.heartbeat import Heartbeats

ROUNDS = 1
"""Two ratios each."""
GUESTS = tuple(
    GuestSpec(
        f"evacuee-{n}",
        memory_mib=64,
        working_set_mib=16,
        disks=(GuestDisk(f"evacuee-{n}.qcow2", DiskPlace.SHARED),),
    )
    for n in range(8)
)
ENDS = ("host-c", "host-d")


def evacuate8_ratio(hosts: RealHosts) -> float:
    """The median of godwit's total by virsh's, each of the same guests between the same hosts."""
    names = [spec.name for spec in GUESTS]
    ratios = []
    with (
        Heartbeats(hosts.lab, names) as beats,
        hosts.guests(ENDS[0], GUESTS, beats),
    ):
        for _ in range(ROUNDS):
            ours_s = [by_godwit(hosts, *ENDS), by_godwit(hosts, *reversed(ENDS))]
            hosts.plane.stop()  # it need not wonder who else moves its guests
            theirs_s = [by_virsh(hosts, names, *ENDS), by_virsh(hosts, names, *reversed(ENDS))]
            hosts.plane.start()
            hosts.until_known(dict.fromkeys(names, ENDS[0]))
            print(f"  godwit {in_s(ours_s)}, virsh {in_s(theirs_s)}", flush=True)
            ratios += [ours / theirs for ours, theirs in zip(ours_s, theirs_s, strict=True)]
    return median(ratios)


def in_s(times: list[float]) -> str:
    """Both ways, for people."""
    return " and ".join(f"{each:.1f} s" for each in times)


def by_godwit(hosts: RealHosts, source: str, to: str) -> float:
    """In one command."""
    began_s = time.monotonic()
    done = hosts.plane.typed("migrate", "--from", source, "--to", to)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    return time.monotonic() - began_s


def by_virsh(hosts: RealHosts, names: list[str], source: str, to: str) -> float:
    """One after the other."""
    began_s = time.monotonic()
    for name in names:
        hosts.virsh(name, source, to)
    return time.monotonic() - began_s
