"""The simulator can fail: with any one safety check taken out of the code, some of the first 300
seeds finds it. Each runs the command itself on a copy of the program without that check.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "godwit"


@dataclass(frozen=True)
class Check:
    """Lines of one module, what stands there without the check, and what is found then."""

    module: str
    lines: str
    without: str
    found: str


CHECKS = {
    "the generation at the host": Check(
        "compute/fence.py",
        "if act.generation < record.generation or is_barred:",
        "if is_barred:",
        "a host obeyed an old generation",
    ),
    "the generation at the store": Check(
        "store/stories.py",
        '    stories.c.generation == bindparam("held"),\n    or_(',
        "    or_(",
        "the store obeyed an old generation",
    ),
    "the lease at a record": Check(
        "store/stories.py",
        '"abort", "lease_until_s"})',
        '"abort"})',
        "before its lease was over",
    ),
    "the sighting at the pivot": Check(
        "conductor/tasks/pivot.py",
        "    return await CARRY_OUT[verdict](context, seen)\n\n\nasync def _as_a",
        "    result = context.facts.result\n"
        "    believed = undo if result is None or result.error else forward\n"
        "    return await believed(context, seen)\n\n\nasync def _as_a",
        "FOUND guest",
    ),
    "the record before tidying": Check(
        "conductor/tasks/live_migrate.py",
        '        Forward("record_new_host", do=record_new_host),\n'
        "        Forward(\n"
        '            "post_live_migration_at_destination",\n'
        "            do=post_live_migration_at_destination,\n"
        "            where=at_destination,\n"
        "            told_later=True,\n"
        "        ),\n"
        "        Forward(\n"
        '            "post_live_migration_at_source",\n'
        "            do=post_live_migration_at_source,\n"
        "            where=at_source,\n"
        "            told_later=True,\n"
        "        ),\n",
        "        Forward(\n"
        '            "post_live_migration_at_source",\n'
        "            do=post_live_migration_at_source,\n"
        "            where=at_source,\n"
        "            told_later=True,\n"
        "        ),\n"
        '        Forward("record_new_host", do=record_new_host),\n'
        "        Forward(\n"
        '            "post_live_migration_at_destination",\n'
        "            do=post_live_migration_at_destination,\n"
        "            where=at_destination,\n"
        "            told_later=True,\n"
        "        ),\n",
        "tidied before it was on record",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_without_it_one_of_300_seeds_fails(check: Check, tmp_path: Path) -> None:
    package = shutil.copytree(SOURCE, tmp_path / "godwit")
    module = package / check.module
    text = module.read_text()
    assert text.count(check.lines) == 1, "the check has moved: say where it is now"
    module.write_text(text.replace(check.lines, check.without))
    ended = subprocess.run(
        [sys.executable, "-m", "godwit", "sim", "--runs", "300"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = ended.stdout.splitlines()
    assert ended.returncode == 1, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert said[0].startswith("seed ")
    assert said[-1].startswith(said[0].split(" FAILED")[0])
    assert check.found in ended.stdout
