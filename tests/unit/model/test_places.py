"""Where a disk stands there: on the same storage, on one of the same name, at the same path."""

from pathlib import PurePosixPath

import pytest

from godwit.model.host import Storage
from godwit.model.ids import StorageId
from godwit.model.instance import Disk
from godwit.model.places import is_inside, is_seen_there, path_there


def storage(identity: str, name: str, path: str) -> Storage:
    shared = identity.startswith("shared:")
    return Storage(
        id=StorageId(identity), name=name, path=path, shared=shared, total_mib=1, free_mib=1
    )


HERE = (storage("shared:s", "s", "/srv/s"), storage("local:a:vm", "vm", "/srv/vm"))
THERE = (storage("shared:s", "s", "/mnt/s"), storage("local:b:vm", "vm", "/data"))
NAMESAKES = (storage("shared:vm", "vm", "/data"), storage("local:b:s", "s", "/elsewhere"))


def disk(path: str, on: str | None, *, network: bool = False) -> Disk:
    identity = StorageId(on) if on else None
    return Disk(device="vda", path=path, format="raw", storage=identity, network=network)


@pytest.mark.parametrize(
    ("file", "there", "path"),
    [
        (disk("/srv/s/x/a", "shared:s"), THERE, "/mnt/s/x/a"),
        (disk("/srv/vm/a", "local:a:vm"), THERE, "/data/a"),
        (disk("/srv/vm/a", "local:a:vm"), (), "/srv/vm/a"),
        (disk("/srv/vm/a", "local:a:vm"), NAMESAKES, "/srv/vm/a"),
        (disk("/srv/s/a", "shared:s"), NAMESAKES, "/srv/s/a"),
        (disk("/opt/a", None), THERE, "/opt/a"),
        (disk("rbd:pool/a", None, network=True), THERE, "rbd:pool/a"),
    ],
    ids=[
        "the same storage at another path",
        "the local pool of the same name",
        "nothing like it there",
        "a shared storage that has only the name",
        "a local pool that has only the name",
        "on no storage",
        "a network volume",
    ],
)
def test_a_disk_stands_there_on_the_same_storage_or_on_its_namesake(
    file: Disk, there: tuple[Storage, ...], path: str
) -> None:
    assert path_there(file, HERE, there) == path


def test_a_file_is_seen_by_identity_and_never_because_its_path_exists_there() -> None:
    same_path = (storage("local:b:s", "s", "/srv/s"),)
    assert is_seen_there(disk("/srv/s/a", "shared:s"), THERE)
    assert not is_seen_there(disk("/srv/s/a", "shared:s"), same_path)
    assert not is_seen_there(disk("/srv/vm/a", "local:a:vm"), HERE)


PATHS = ("/srv/a", "/srv/a/", "/srv//a/b", "/srv/ab", "/srv/./a/b", "//srv/a", "/srv", "/", "a")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("folder", PATHS)
def test_a_path_is_inside_what_pathlib_finds_it_relative_to(path: str, folder: str) -> None:
    assert is_inside(path, folder) == PurePosixPath(path).is_relative_to(folder)


def test_nothing_is_inside_a_folder_without_a_name() -> None:
    assert not is_inside("/srv/a", "")
