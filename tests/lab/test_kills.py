"""A few cells of the table of kills, on a whole cluster: `make test-faults` plays all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import postgres_server
from tests.kills.play import SHARED_BOX, Player
from tests.kills.results import Outcome
from tests.kills.scene import Scene
from tests.kills.table import CELLS, SHORT
from tests.nats_server import needs_nats_server

from godwit.lab.lab import Lab

pytestmark = needs_nats_server
TRIES = 3
BY_NAME = {cell.name: cell for cell in CELLS}


@pytest.fixture(scope="module")
def player(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    """PostgreSQL, NATS, an API, two conductors, and an agent on each host."""
    with postgres_server.running() as postgres:
        scene = Scene(lab, tmp_path_factory.mktemp("faults") / "scene", postgres)
        try:
            scene.start()
            yield Player(scene, SHARED_BOX)
        finally:
            scene.plane.stop()


@pytest.mark.parametrize("name", SHORT)
def test_a_cell_of_the_table_ends_as_it_says(player: Player, name: str) -> None:
    result = player.play(BY_NAME[name])
    for _ in range(TRIES - 1):
        if result.outcome is Outcome.MISSED:
            result = player.play(BY_NAME[name])
    assert result.outcome is Outcome.PASSED, result
