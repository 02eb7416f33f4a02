"""A guest with an emulated TPM: what the TPM keeps goes where the guest goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.libvirt_moves import a_move, driver_of, run

from godwit.lab.guest import GuestSpec
from godwit.lab.host import LabHost
from godwit.lab.lab import Lab
from godwit.model.reasons import Code

SPEC = GuestSpec(
    "vm1", devices=("<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",)
)
PROGRAM = "/usr/bin/swtpm"


def test_what_a_tpm_keeps_moves_with_its_guest_and_not_to_where_no_tpm_can_be(lab: Lab) -> None:
    async def test() -> None:
        with without_swtpm(lab.hosts[2]):
            async with a_move(lab, SPEC) as move, driver_of(lab.hosts[2]) as without:
                refused = await without.check_can_live_migrate_destination(await move.request())
                assert [refusal.code for refusal in refused.refusals] == [Code.TPM_UNSUPPORTED]
                kept = kept_at(move.here)
                assert len(kept) > 1000, "its keys, at least"
                await move.prepare()
                assert (await move.transfer_and_let_run()).error == ""
                await move.finish()
                await move.wait_for_beat(move.there)
                move.assert_ran_once()
                assert (kept_at(move.here), kept_at(move.there)) == (b"", kept)

    run(test())


def kept_at(host: LabHost) -> bytes:
    """What the TPM has written down at this host; nothing if there is none."""
    folder = host.layout.folder / "var/lib/libvirt/swtpm" / str(SPEC.uuid)
    return b"".join(file.read_bytes() for file in folder.rglob("*.permall"))


@contextmanager
def without_swtpm(host: LabHost) -> Iterator[None]:
    """A host on which it is not installed; libvirt looks whenever it is asked."""
    host.run("mount", "--bind", "/dev/null", PROGRAM)
    try:
        yield
    finally:
        host.run("umount", PROGRAM)
