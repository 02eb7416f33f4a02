"""The figures of real hosts: a lab is made for them, and `bench.inside` measures in it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.figures import Figure
from godwit.lab.errors import LabError
from godwit.lab.requirements import check_this_box

HOSTS = 8
LIMIT_S = 300

TARGETS = {
    "virsh_wall_ratio": 1.10,
    "virsh_outage_ratio": 1.15,
    "safe_outage_extra_ms": 260.0,
    "evacuate8_ratio": 0.6,
    "idle_pss_mib": 120.0,
}


def lab_figures() -> list[Figure]:
    """All that can be measured here; what cannot is said and left out."""
    try:
        check_this_box()
    except LabError as error:
        left_out(TARGETS, f"{error.message}; {error.remedy}")
        return []
    found = measured_inside()
    figures = [Figure(key, value, TARGETS.get(key)) for key, value in found.items()]
    missing = [key for key in TARGETS if key not in found]
    if missing:
        left_out(missing, "see above")
    return figures


def measured_inside() -> dict[str, Any]:
    """What `bench.inside` finds out in a lab of its own; nothing if it fails."""
    with tempfile.TemporaryDirectory(prefix="godwit-bench-") as name:
        answer = Path(name) / "figures.json"
        lab = [sys.executable, "-m", "godwit.lab", "run", "--hosts", str(HOSTS), "--"]
        command = [*lab, sys.executable, "-m", "bench.inside", str(answer)]
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
