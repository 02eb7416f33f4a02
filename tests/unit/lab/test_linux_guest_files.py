"""The Linux guest's initramfs is an archive as the kernel, and cpio(1), reads it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from godwit.lab.debian_packages import sources_text
from godwit.lab.linux_guest import CpioEntry, cpio

HEADER_BYTES = 110
NAMES = st.text("abc/", min_size=1, max_size=9)
ENTRIES = st.lists(st.builds(CpioEntry, NAMES, st.binary(max_size=40)), max_size=5)


def unpacked(archive: bytes) -> list[tuple[str, bytes, int]]:
    """What a reader of the "newc" format finds, up to the trailer."""
    found: list[tuple[str, bytes, int]] = []
    while True:
        assert archive.startswith(b"070701")
        fields = [int(archive[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)]
        mode, content_bytes, name_bytes = fields[1], fields[6], fields[11]
        name = archive[HEADER_BYTES : HEADER_BYTES + name_bytes - 1].decode()
        start = HEADER_BYTES + name_bytes + (-(HEADER_BYTES + name_bytes) % 4)
        content = archive[start : start + content_bytes]
        if name == "TRAILER!!!":
            return found
        found.append((name, content, mode))
        archive = archive[start + content_bytes + (-content_bytes % 4) :]


@given(ENTRIES)
def test_what_is_packed_is_found_again(entries: list[CpioEntry]) -> None:
    wanted = [(entry.name, entry.content, entry.mode) for entry in entries]
    assert unpacked(cpio(entries)) == wanted


def test_packages_come_from_the_boxs_own_mirror_and_are_checked_against_debians_keys() -> None:
    lines = sources_text("http://mirror/debian/", ["bookworm", "bookworm-backports"]).splitlines()
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror/debian/ bookworm main",
        "http://mirror/debian/ bookworm-backports main",
    ]
    assert all("signed-by=/usr/share/keyrings/debian-archive-keyring.gpg" in line for line in lines)
