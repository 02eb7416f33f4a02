"""What hangs is killed in time, and a busy machine is not taken for a host that hangs."""

import pytest

from godwit.virt.libvirt.first_try import can_be_opened, ends_in_time

LIMIT_S = 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "in_time"), [("sleep 1.5; echo", True), ("echo; exec sleep 60", False)]
)
def test_only_the_time_after_its_first_word_counts(program: str, in_time: bool) -> None:
    assert ends_in_time(["sh", "-c", program], LIMIT_S) is in_time


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["test:///default", "qemu+unix:///system?socket=/nowhere/socket"])
def test_an_answer_of_either_kind_is_an_answer(uri: str) -> None:
    assert can_be_opened(uri, 60.0)
