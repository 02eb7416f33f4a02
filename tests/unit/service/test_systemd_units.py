"""The units that `docs/operating/deploy.md` hands out."""

from configparser import ConfigParser
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[3] / "examples/systemd").glob("*.service"))


def read(unit: Path) -> ConfigParser:
    """What systemd reads; a unit here names no key twice."""
    parsed = ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # keys as they are
    parsed.read_string(unit.read_text(encoding="utf-8"))
    return parsed


def test_there_is_a_unit_for_each_kind_of_process() -> None:
    kinds = ("api", "compute", "conductor")
    assert [unit.name for unit in UNITS] == [f"godwit-{kind}.service" for kind in kinds]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_process_whose_database_or_bus_is_away_is_started_until_it_is_back(unit: Path) -> None:
    parsed = read(unit)
    assert parsed["Service"]["Restart"] == "always"
    assert parsed["Unit"].get("StartLimitIntervalSec") == "0"


def test_what_the_agent_has_begun_outlives_it() -> None:
    agent = read(next(unit for unit in UNITS if unit.stem == "godwit-compute"))
    assert agent["Service"]["KillMode"] == "process"
