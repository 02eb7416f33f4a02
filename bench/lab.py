"""The figures of real hosts: labs are made, in which `bench.inside` and `bench.agents` measure."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.figures import Figure
from godwit.lab.errors import LabError
from godwit.lab.requirements import check_this_box

HOSTS = {"bench.inside": 8, "bench.agents": 2}
"""By what measures inside a lab: how many hosts it needs."""
LIMIT_S = 300

TARGETS = {
    "virsh_wall_ratio": 1.10,
    "virsh_outage_ratio": 1.15,
    "safe_outage_extra_ms": 260.0,
    "evacuate8_ratio": 0.6,
    "idle_pss_mib": 120.0,
    "agent_outage_extra_ms": 25.0,
}


def lab_figures() -> list[Figure]:
    """All that can be measured here; what cannot is said and left out."""
    return figures_by(*HOSTS)


def agent_figures() -> list[Figure]:
    """Of them, what is of agents on the hosts."""
    return figures_by("bench.agents")


def figures_by(*modules: str) -> list[Figure]:
    """What these find out, each in a lab of its own."""
    try:
        check_this_box()
    except LabError as error:
        left_out(TARGETS, f"{error.message}; {error.remedy}")
        return []
    found = {key: value for each in modules for key, value in measured_inside(each).items()}
    figures = [Figure(key, value, TARGETS.get(key)) for key, value in found.items()]
    missing = [key for key in TARGETS if key not in found]
    if missing:
        left_out(missing, "see above")
    return figures


def measured_inside(module: str) -> dict[str, Any]:
    """What it finds out in a lab of its own; nothing if it fails."""
    with tempfile.TemporaryDirectory(prefix="godwit-bench-") as name:
        answer = Path(name) / "figures.json"
        lab = [sys.executable, "-m", "godwit.lab", "run", "--hosts", str(HOSTS[module]), "--"]
        command = [*lab, sys.executable, "-m", module, str(answer)]
        try:
            subprocess.run(command, check=False, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            print(f"ended after {LIMIT_S} s, before all was measured", file=sys.stderr, flush=True)
        found: dict[str, Any] = json.loads(answer.read_text()) if answer.exists() else {}
        return found


def left_out(keys: object, why: str) -> None:
    """Say which keys will be missing."""
    names = ", ".join(keys) if isinstance(keys, list | dict) else str(keys)
    print(f"left out: {names}: {why}", file=sys.stderr, flush=True)
