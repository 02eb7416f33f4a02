"""The last request of a migration, which the destination's libvirtd has received and not yet read:
it stands still, for whoever wants the answer to be lost.
"""

from __future__ import annotations

from typing import Final

from godwit.lab.host import LabHost
from godwit.lab.layout import TLS_PORT
from godwit.lab.processes import tcp_connections

REQUEST_BYTES_MIN: Final = 1000
"""It has some 4500 bytes; each "are you there?" before it has 50, and there are only a few."""


def last_requests(here: LabHost, there: LabHost) -> int:
    """How many migrations from `here` have sent all, and told so to the libvirtd of `there`."""
    pid = there.init_pid
    return sum(
        each.port == TLS_PORT
        and each.peer_address == here.management_address
        and each.unread_bytes >= REQUEST_BYTES_MIN
        for each in (tcp_connections(pid) if pid is not None else [])
    )
