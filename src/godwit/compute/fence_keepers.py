"""Where a host's fence records are kept: in its state folder, or in memory for simulated hosts."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from godwit.compute.disk import Disk, write_whole
from godwit.compute.fence import FenceRecord
from godwit.model.ids import HostName, MigrationUuid
from godwit.runtime.clock import Clock

KEPT_S = 7 * 86_400.0
"""So long the record of a migration that is over here is kept; no message is that late."""
MEMORY_MAX = 10_000
"""At most so many migrations are remembered in memory; the oldest go first."""
SWEEP_MAX = 1_000
"""At most so many old records are removed at once."""


_records: Final = msgspec.json.Decoder(FenceRecord)
"""Made here, by one thread: msgspec crashes where two learn a kind at the same time."""


class MemoryFenceKeeper:
    """For hosts whose hypervisor itself is in memory: what it forgets, it forgets with the host."""

    def __init__(self) -> None:
        self._records: dict[MigrationUuid, FenceRecord] = {}

    async def read(self, uuid: MigrationUuid) -> FenceRecord:
        """See `FenceKeeper`."""
        return self._records.get(uuid, FenceRecord())

    async def write(self, uuid: MigrationUuid, record: FenceRecord) -> None:
        """See `FenceKeeper`."""
        self._records.pop(uuid, None)
        self._records[uuid] = record
        if len(self._records) > MEMORY_MAX:
            del self._records[next(iter(self._records))]

    async def forget_old(self) -> None:
        """See `FenceKeeper`. The bound is kept at every write."""


class DiskFenceKeeper:
    """One small file per migration in `folder`."""

    def __init__(self, folder: Path, *, host: HostName, disk: Disk, clock: Clock) -> None:
        self._folder = folder
        self._host = host
        self._disk = disk
        self._clock = clock

    async def read(self, uuid: MigrationUuid) -> FenceRecord:
        """See `FenceKeeper`."""
        return await self._disk.run(self._host, "read the fence", partial(self._read, uuid))

    async def write(self, uuid: MigrationUuid, record: FenceRecord) -> None:
        """See `FenceKeeper`."""
        await self._disk.run(self._host, "write the fence", partial(self._write, uuid, record))

    async def forget_old(self) -> None:
        """See `FenceKeeper`."""
        before_s = self._clock.now_s() - KEPT_S
        await self._disk.run(self._host, "tidy the fence", partial(self._forget, before_s))

    def _read(self, uuid: MigrationUuid) -> FenceRecord:
        try:
            return _records.decode(self._path(uuid).read_bytes())
        except FileNotFoundError:
            return FenceRecord()

    def _write(self, uuid: MigrationUuid, record: FenceRecord) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(uuid), msgspec.json.encode(record), durable=True)

    def _forget(self, before_s: float) -> None:
        if not self._folder.is_dir():
            return
        old = (path for path in sorted(self._folder.iterdir()) if path.stat().st_mtime < before_s)
        for path in islice(filter(_is_over, old), SWEEP_MAX):
            path.unlink(missing_ok=True)

    def _path(self, uuid: MigrationUuid) -> Path:
        return self._folder / f"{uuid}.json"


def _is_over(path: Path) -> bool:
    return _records.decode(path.read_bytes()).over
