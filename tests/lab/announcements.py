"""Whose address is announced where: the RARP frames that come out of one host's guest network.

QEMU sends them for each card of a guest that begins to run, so that switches learn its new place.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.lab.asking import now_s

from godwit.lab.host import LabHost
from godwit.lab.layout import Network

ALL_PROTOCOLS: Final = 3
RARP: Final = bytes.fromhex("8035")
LOOK_S: Final = 0.2


class Announcements:
    """When each card was announced, as seen at the switch's port of that host."""

    def __init__(self) -> None:
        self._heard: list[tuple[float, str]] = []

    def of(self, mac: str) -> list[float]:
        """When that card was announced."""
        return [at_s for at_s, who in self._heard if who == mac.lower()]

    def hear(self, frame: bytes) -> None:
        """One frame at the port."""
        if frame[12:14] == RARP:
            self._heard.append((now_s(), frame[6:12].hex(":")))


@contextmanager
def announced_by(host: LabHost) -> Iterator[Announcements]:
    """Listen at the switch's port of this host; what the switch sends to the host is left out."""
    heard, stop = Announcements(), threading.Event()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as port:
        port.bind((host.layout.switch_port(Network.GUESTS), ALL_PROTOCOLS))
        port.settimeout(LOOK_S)

        def listen() -> None:
            while not stop.is_set():
                try:
                    frame, address = port.recvfrom(2048)
                except TimeoutError:
                    continue
                if address[2] != socket.PACKET_OUTGOING:
                    heard.hear(frame)

        thread = threading.Thread(target=listen, name=f"listening to {host.name}")
        thread.start()
        try:
            yield heard
        finally:
            stop.set()
            thread.join()
