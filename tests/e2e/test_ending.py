"""The tests of this folder, ended in their middle, leave no `godwit serve` behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.serving import END_LIMIT_S, START_LIMIT_S, until

CLAIM = "test_a_migration_tells_its_story_and_can_be_shown_afterwards"
"""Any that has a `godwit serve` for some time."""


def test_tests_that_are_told_to_end_end_what_they_started(tmp_path: Path) -> None:
    here = Path(__file__).parent / "test_readme.py"
    words = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'its'}", f"{here}::{CLAIM}"]
    with subprocess.Popen([sys.executable, "-m", "pytest", *words], text=True) as tests:
        door = tmp_path / "its/godwit0/api"
        until("godwit serve to listen", door.exists, timeout_s=START_LIMIT_S)
        for _ in range(2):  # as when a whole group is told, and its first process tells the others
            tests.send_signal(signal.SIGTERM)
        assert tests.wait(timeout=END_LIMIT_S) == pytest.ExitCode.INTERRUPTED
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(str(door))
