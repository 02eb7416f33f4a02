from godwit.model.ids import HostName
from godwit.rpc import bus_users
from godwit.rpc.bus_users import server_part

RESPONSES = "allow_responses"


def test_a_host_answers_whom_it_was_asked_by_and_nobody_else() -> None:
    host = bus_users.of_host(HostName("host-a"), "KEY")
    assert RESPONSES in server_part([host])
    assert not any(subject.startswith("_INBOX") for subject in host.publish)


def test_the_server_need_not_remember_who_has_asked_a_conductor() -> None:
    conductors = bus_users.of_conductors("KEY")
    assert RESPONSES not in server_part([conductors])
    assert "_INBOX.>" in conductors.publish
