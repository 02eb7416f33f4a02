"""What a transfer writes down reads back the same, in memory and on disk, and never half."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from godwit.compute.disk import Disk, write_whole
from godwit.compute.transfer_folder import DiskFolder, Mark, MemoryFolder, Sign, TransferFolder
from godwit.model.errors import HypervisorError
from godwit.model.ids import HostName
from godwit.model.progress import Progress
from godwit.model.reasons import Code, reason
from godwit.model.steering import Steering
from godwit.rpc.compute import TransferNews, TransferResult
from godwit.virt.driver import SeenEnd, TransferEvidence

MakeFolder = Callable[[Path], TransferFolder]
FOLDERS: list[MakeFolder] = [lambda _path: MemoryFolder(), DiskFolder]
RESULT = TransferResult(error="no", reason=reason(Code.TRANSFER_STALLED, stalled_s=30.0))


@pytest.mark.parametrize("make", FOLDERS, ids=["memory", "disk"])
@pytest.mark.parametrize("mark", Mark)
def test_a_mark_is_set_once_and_no_other_with_it(
    make: MakeFolder, mark: Mark, tmp_path: Path
) -> None:
    folder = make(tmp_path)
    assert not folder.has(mark)
    for _ in range(2):
        folder.set(mark)
    assert [each for each in Mark if folder.has(each)] == [mark]


def test_a_sign_and_a_result_read_back_as_they_were_written(tmp_path: Path) -> None:
    folder = DiskFolder(tmp_path)
    assert (folder.sign(), folder.result()) == (Sign(), None)
    sign = Sign(beat=3, sequence=2, progress=Progress(elapsed_s=1.5, memory_total_bytes=7))
    folder.show(sign)
    folder.end(RESULT)
    assert (folder.sign(), folder.result()) == (sign, RESULT)


def test_a_result_in_memory_is_news_only_once_the_transfer_has_ended() -> None:
    folder = MemoryFolder()
    folder.begin_life()
    folder.end(RESULT)
    assert folder.news() == TransferNews(started=True)
    folder.end_life()
    assert folder.news() == TransferNews(ended=True, started=True, result=RESULT)


@pytest.mark.parametrize(
    ("mark", "evidence"),
    [
        (Mark.BEGAN, TransferEvidence(began=True)),
        (Mark.STOPPED_AS_MIGRATED, TransferEvidence(stopped_as_migrated=True)),
        (Mark.SEEN_TO_END, TransferEvidence(seen_to_end=SeenEnd.WANTED)),
        (Mark.SEEN_TO_CRASH, TransferEvidence(seen_to_end=SeenEnd.CRASHED)),
        (Mark.ENDED_BY_US, TransferEvidence(ended_by_us=True)),
        (Mark.ABORT, TransferEvidence()),
        (Mark.CLOSED, TransferEvidence()),
    ],
)
def test_each_mark_is_evidence_of_its_own_fact_alone(
    mark: Mark, evidence: TransferEvidence, tmp_path: Path
) -> None:
    folder = DiskFolder(tmp_path)
    folder.set(mark)
    assert folder.evidence() == evidence


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole_and_leaves_no_draft(durable: bool, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    for content in (b"a long first content", b"short"):
        write_whole(path, content, durable=durable)
    assert path.read_bytes() == b"short"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_disk_that_fails_is_named_with_what_was_being_done(tmp_path: Path) -> None:
    disk = Disk()

    def fail() -> None:
        (tmp_path / "nowhere" / "file").write_text("")

    async def main() -> None:
        await disk.run(HostName("host-a"), "keep a promise", fail)

    with pytest.raises(HypervisorError, match=r"keep a promise failed: .*nowhere"):
        asyncio.run(main())
    disk.close()


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_an_older_steering_never_replaces_a_newer_one(kind: str, tmp_path: Path) -> None:
    folder = MemoryFolder() if kind == "memory" else DiskFolder(tmp_path)
    assert folder.steering() is None
    newer = Steering(bandwidth_mib_per_s=9, revision=2)
    folder.steer(newer)
    folder.steer(Steering(bandwidth_mib_per_s=1, revision=1))
    assert folder.steering() == newer
