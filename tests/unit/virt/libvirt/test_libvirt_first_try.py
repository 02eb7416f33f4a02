"""What hangs is killed in time, and a busy machine is not taken for a host that hangs."""

import pytest

from godwit.virt.libvirt.first_try import can_be_opened, ends_in_time


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "limit_s", "in_time"),
    [("sleep 2.5; echo", 2.0, True), ("echo; exec sleep 60", 0.2, False)],
)
def test_only_the_time_after_its_first_word_counts(
    program: str, limit_s: float, in_time: bool
) -> None:
    assert ends_in_time(["sh", "-c", program], limit_s) is in_time


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["test:///default", "qemu+unix:///system?socket=/nowhere/socket"])
def test_an_answer_of_either_kind_is_an_answer(uri: str) -> None:
    assert can_be_opened(uri, 60.0)
