"""One host as its checks see it: what seldom changes is read now and then, not for every guest.
Used by `driver`, for one event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from godwit.virt.libvirt.reads import HostLook
from godwit.virt.libvirt.shared_look import SharedLook

KEPT_S: Final = 5.0
"""As often as a host is reported. To read it whole costs its libvirtd more than all else that a
check asks; most of that are its bridges and capabilities."""


@dataclass(frozen=True)
class _Kept:
    look: HostLook
    until_s: float
    losses: int


class HostView:
    """Both methods raise what the look does."""

    def __init__(self, look: Callable[[], Awaitable[HostLook]], losses: Callable[[], int]) -> None:
        """`look` reads the host whole; `losses` counts how often its libvirtd was lost so far."""
        self._look = look
        self._losses = losses
        self._whole = SharedLook(self._read)
        self._kept: _Kept | None = None

    async def now(self) -> HostLook:
        """Read whole, after this was called."""
        return await self._whole.now()

    async def lately(self) -> HostLook:
        """Read whole at most `KEPT_S` ago, of a libvirtd that has not been away since. What a
        check rests on and what may have changed is read anew: `reads.look_again_at_host`.
        """
        kept, now_s = self._kept, asyncio.get_running_loop().time()
        if kept is None or now_s >= kept.until_s or kept.losses != self._losses():
            return await self._whole.now()
        return kept.look

    async def _read(self) -> HostLook:
        losses, until_s = self._losses(), asyncio.get_running_loop().time() + KEPT_S
        look = await self._look()
        self._kept = _Kept(look, until_s, losses)
        return look
