"""Eight guests off one host: one `godwit migrate --from` against virsh, one by one; and what virsh
itself gains by two at a time, which is as many as Godwit's slots allow.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from bench.real_hosts import RealHosts
from godwit.lab.guest import DiskPlace, GuestDisk, GuestSpec
from godwit.lab.heartbeat import Heartbeats

ROUNDS = 1
"""Two ratios each: there and back."""
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


def evacuations(hosts: RealHosts) -> dict[str, float]:
    """The medians of Godwit's total, and of virsh's with two at a time, by that of virsh one by
    one: each time the same guests between the same hosts.
    """
    names = [spec.name for spec in GUESTS]
    ratios: dict[str, list[float]] = {"evacuate8_ratio": [], "virsh_two_at_a_time_ratio": []}
    with (
        Heartbeats(hosts.lab, names) as beats,
        hosts.guests(ENDS[0], GUESTS, beats),
    ):
        for _ in range(ROUNDS):
            ours_s = [by_godwit(hosts, *ENDS), by_godwit(hosts, *reversed(ENDS))]
            hosts.plane.stop()  # it need not wonder who else moves its guests
            theirs_s, pairs_s = (
                [by_virsh(hosts, names, at_once, *way) for way in (ENDS, ENDS[::-1])]
                for at_once in (1, 2)
            )
            hosts.plane.start()
            hosts.until_known(dict.fromkeys(names, ENDS[0]))
            print(
                f"  godwit {in_s(ours_s)}, virsh {in_s(theirs_s)},"
                f" virsh two at a time {in_s(pairs_s)}",
                flush=True,
            )
            for totals_s, found in zip((ours_s, pairs_s), ratios.values(), strict=True):
                found += [one / theirs for one, theirs in zip(totals_s, theirs_s, strict=True)]
    return {key: median(found) for key, found in ratios.items()}


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


def by_virsh(hosts: RealHosts, names: list[str], at_once: int, source: str, to: str) -> float:
    """So many at a time, the next as soon as one has ended."""
    began_s = time.monotonic()
    with ThreadPoolExecutor(at_once) as hands:
        list(hands.map(lambda name: hosts.virsh(name, source, to), names))
    return time.monotonic() - began_s
