import pytest

from godwit.conductor.tasks.find_destination import described
from godwit.model.errors import Refused
from godwit.model.ids import HostName
from godwit.model.reasons import Code


def test_a_host_that_is_known_no_more_is_refused_and_is_no_defect() -> None:
    with pytest.raises(Refused) as raised:
        described((), HostName("host-b"))
    assert raised.value.reason.code is Code.HOST_UNKNOWN
