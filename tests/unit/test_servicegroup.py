from godwit.model.host import Host
from godwit.model.ids import HostName
from godwit.servicegroup import is_up, silent_s

A_HOST = Host(name=HostName("host-a"), heard_at_s=1000.0)


def test_a_host_is_up_until_it_has_been_silent_for_longer_than_the_bound() -> None:
    assert is_up(A_HOST, now_s=1020.0, down_after_s=20.0)
    assert not is_up(A_HOST, now_s=1020.1, down_after_s=20.0)


def test_a_host_that_never_reported_is_down() -> None:
    assert not is_up(Host(name=HostName("host-a")), now_s=1000.0, down_after_s=20.0)


def test_silence_is_never_negative_when_clocks_differ() -> None:
    assert silent_s(A_HOST, now_s=990.0) == 0.0
    assert is_up(A_HOST, now_s=990.0, down_after_s=20.0)
