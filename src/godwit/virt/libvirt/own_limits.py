"""The limits that a guest's transfers had before ours. libvirt and QEMU keep them with the guest:
what is set for one move would hold for the next, whoever begins that. Used by `migration`.
"""

import contextlib
from typing import Final

from godwit.model.errors import Unreachable
from godwit.model.ids import InstanceUuid
from godwit.model.steering import TransferLimits
from godwit.virt.libvirt import acts, reads
from godwit.virt.libvirt.abi import Libvirt
from godwit.virt.libvirt.connection import Connection, unless_refused
from godwit.virt.libvirt.errors import LibvirtError

PUT_BACK_S: Final = 2.0


class OwnLimits:
    """Of one guest at its source, in one move."""

    def __init__(self, source: Connection, uuid: InstanceUuid) -> None:
        self._source = source
        self._uuid = uuid
        self._own: TransferLimits | None = None
        """As they were before the first of ours."""
        self._paced = self._paused = False
        """Which of the two we have replaced."""

    async def limit(self, limits: TransferLimits) -> None:
        """Hold the transfer within `limits`. Raises `Unreachable` or `LibvirtError`."""
        if limits == TransferLimits():
            return
        self._paced |= limits.bandwidth_mib_per_s is not None
        self._paused |= limits.max_downtime_ms is not None
        await self._source.call("limiting the transfer", lambda libvirt: self._set(libvirt, limits))

    async def put_back(self) -> None:
        """As they were, of those that we have replaced. A guest that has left is not there any
        more, and a source that does not answer soon is not waited for.
        """
        own = self._own
        if own is None:
            return
        limits = TransferLimits(
            bandwidth_mib_per_s=own.bandwidth_mib_per_s if self._paced else None,
            max_downtime_ms=own.max_downtime_ms if self._paused else None,
        )
        with contextlib.suppress(Unreachable, LibvirtError):
            await self._source.call(
                "putting the guest's own limits back",
                lambda libvirt: acts.limit_transfer(libvirt, self._uuid, limits),
                timeout_s=PUT_BACK_S,
            )

    def leave(self) -> None:
        """Put nothing back: the source does not answer, and the guest may be waiting."""
        self._own = None

    def _set(self, libvirt: Libvirt, limits: TransferLimits) -> None:
        """In a thread. Noted before it is replaced: the answer to this call may be lost. Where the
        guest's own cannot be had, ours stay behind.
        """
        if self._own is None:
            self._own = unless_refused(lambda: self._found(libvirt))
        acts.limit_transfer(libvirt, self._uuid, limits)

    def _found(self, libvirt: Libvirt) -> TransferLimits | None:
        """In a thread. What is there while the guest moves is not its own, but was set for that."""
        if reads.is_moving_out(libvirt, self._uuid):
            return None
        return reads.limits_of(libvirt, self._uuid)
