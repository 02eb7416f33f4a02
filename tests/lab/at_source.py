"""On the source host: start the one transfer of a folder as its agent does, and wait for its end.

`python -m tests.lab.at_source FOLDER`, in the host's namespaces; the order lies beside the folder.
"""

import os
import select
import sys
from pathlib import Path
from typing import Final

import msgspec

from godwit.compute import launch
from godwit.compute.nursery import Nursery
from godwit.compute.transfer_folder import DiskFolder
from godwit.virt.registry import TransferOrder

ORDERED: Final = "ordered.json"
LIMIT_S: Final = 120.0


def main(name: str) -> int:
    """0 once it has ended."""
    folder = DiskFolder(Path(name))
    order = msgspec.json.decode((folder.path.parent / ORDERED).read_bytes(), type=TransferOrder)
    nursery = Nursery()
    pid = launch.start(folder, order, nursery.fork)
    nursery.close()
    assert pid is not None
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return 0
    ended, _, _ = select.select([handle], [], [], LIMIT_S)
    return 0 if ended else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
