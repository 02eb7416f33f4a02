"""The memory of a process and of all that it has started."""

from pathlib import Path


def pss_mib(pid: int) -> float:
    """Proportional set size of the process and all its descendants."""
    return sum(_pss_kib(each) for each in [pid, *descendants(pid)]) / 1024


def descendants(pid: int) -> list[int]:
    """Everything below it, as far as it still runs."""
    below: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = [int(child) for child in (task / "children").read_text().split()]
        below += [each for child in children for each in (child, *descendants(child))]
    return below


def _pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    [pss_kib] = [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
    return pss_kib
