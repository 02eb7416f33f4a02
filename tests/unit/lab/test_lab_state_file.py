"""The note a background lab leaves: found while the lab lives, known as stale after it died."""

from __future__ import annotations

from pathlib import Path

import pytest

from godwit.lab.errors import LabUsageError
from godwit.lab.settings import LabSettings
from godwit.lab.state_file import Note, StateFile, forget, noted_names, read_note

NOTE = Note(outer_pid=4711, settings=LabSettings())


def test_the_note_of_a_living_lab_is_found(tmp_path: Path) -> None:
    state = StateFile.take("lab", tmp_path)
    state.write(NOTE)
    assert read_note("lab", tmp_path) == NOTE
    assert noted_names(tmp_path) == ["lab"]
    state.release()


def test_a_second_lab_of_the_same_name_is_refused(tmp_path: Path) -> None:
    state = StateFile.take("lab", tmp_path)
    with pytest.raises(LabUsageError, match="is up already"):
        StateFile.take("lab", tmp_path)
    state.release()


def test_labs_of_different_names_do_not_disturb_each_other(tmp_path: Path) -> None:
    first, second = StateFile.take("one", tmp_path), StateFile.take("two", tmp_path)
    assert noted_names(tmp_path) == ["one", "two"]
    first.release()
    second.release()


def test_a_lab_that_is_half_up_is_not_mistaken_for_one_that_is_gone(tmp_path: Path) -> None:
    state = StateFile.take("lab", tmp_path)
    with pytest.raises(LabUsageError, match="coming up"):
        read_note("lab", tmp_path)
    state.release()


def test_the_note_of_a_lab_that_died_is_removed_by_whoever_looks(tmp_path: Path) -> None:
    folder = tmp_path / "labs"
    state = StateFile.take("lab", folder)
    state.write(NOTE)
    state.release()  # As the kernel does when the last process that holds it dies.
    assert read_note("lab", folder) is None
    assert not folder.exists()


def test_a_name_is_free_again_after_its_lab_died(tmp_path: Path) -> None:
    state = StateFile.take("lab", tmp_path)
    state.write(NOTE)
    state.release()
    again = StateFile.take("lab", tmp_path)
    with pytest.raises(LabUsageError, match="coming up"):
        read_note("lab", tmp_path)
    again.discard()


def test_forgetting_twice_does_no_harm(tmp_path: Path) -> None:
    forget("lab", tmp_path)
    forget("lab", tmp_path)
