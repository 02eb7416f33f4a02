"""`python -m godwit.lab.delay_line NUMBER DELAY_MS LOSS_PERCENT`: holds back or loses every packet
that a firewall rule puts into its queue. Runs on a lab host and ends with it; started by `host`.

It stands in for the kernel's netem, which not every kernel has: NFQUEUE asks what is to become of
each packet, and the answer comes late, or is that it be dropped. The packets themselves stay in the
kernel. Should this process die, they pass at once (`--queue-bypass`).
"""

from __future__ import annotations

import random
import select
import socket
import struct
import sys
import time
from collections import deque
from typing import Final

AF_NETLINK, NETLINK_NETFILTER, SO_RCVBUFFORCE = 16, 12, 33
PACKET, VERDICT, CONFIG = ((3 << 8) | message for message in (0, 1, 2))
REQUEST, ACK, ERROR = 1, 4, 2
BIND, COPY_META, LET_LARGE_PASS = 1, 1, 1 << 2
DROP, ACCEPT = 0, 1
QUEUE_MAX, BUFFER_BYTES = 100_000, 32 * 2**20
READY: Final = "ready"


def main(number: int, delay_s: float, loss: float) -> None:
    """Answer for every packet of the queue, for ever. Says that it is ready once it is."""
    with socket.socket(AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as queue:
        queue.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        queue.bind((0, 0))
        for attribute in (
            _attribute(1, struct.pack(">BxH", BIND, 0)),
            _attribute(2, struct.pack(">IB", 0, COPY_META)),
            _attribute(3, struct.pack(">I", QUEUE_MAX)),
            _attribute(4, struct.pack(">I", LET_LARGE_PASS))
            + _attribute(5, struct.pack(">I", LET_LARGE_PASS)),
        ):
            queue.send(_message(CONFIG, REQUEST | ACK, number, attribute))
            _check(queue.recv(4096))
        print(READY, flush=True)
        _answer_for_ever(queue, number, delay_s, loss)


def _answer_for_ever(queue: socket.socket, number: int, delay_s: float, loss: float) -> None:
    chance = random.Random(0)
    held: deque[tuple[float, int]] = deque()
    while True:
        wait_s = max(0.0, held[0][0] - time.monotonic()) if held else None
        if select.select([queue], [], [], wait_s)[0]:
            for packet in _packets(queue.recv(BUFFER_BYTES)):
                if chance.random() < loss:
                    queue.send(_verdict(number, packet, DROP))
                else:
                    held.append((time.monotonic() + delay_s, packet))
        while held and held[0][0] <= time.monotonic():
            queue.send(_verdict(number, held.popleft()[1], ACCEPT))


def _packets(answer: bytes) -> list[int]:
    """The ids of the packets that the kernel tells of."""
    found, offset = [], 0
    while offset + 16 <= len(answer):
        length, kind = struct.unpack_from("=IH", answer, offset)
        if kind == PACKET:
            found += _ids(answer[offset + 20 : offset + length])
        offset += max(16, (length + 3) & ~3)
    return found


def _ids(attributes: bytes) -> list[int]:
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        if kind & 0x3FFF == 1:
            return [struct.unpack_from(">I", attributes, offset + 4)[0]]
        offset += max(4, (length + 3) & ~3)
    return []


def _verdict(number: int, packet: int, verdict: int) -> bytes:
    return _message(VERDICT, REQUEST, number, _attribute(2, struct.pack(">II", verdict, packet)))


def _message(kind: int, flags: int, number: int, attributes: bytes) -> bytes:
    body = struct.pack(">BBH", socket.AF_UNSPEC, 0, number) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding


def _check(answer: bytes) -> None:
    kind = struct.unpack_from("=H", answer, 4)[0]
    code = struct.unpack_from("=i", answer, 16)[0] if kind == ERROR else 0
    if code:
        raise OSError(-code, "the kernel takes no answers for this queue")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3]) / 100)
