"""Turns at work that takes the processor for a moment, such as making a page."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """At most `total` at a time, and half of them for one address, so that a newcomer does not wait for all that another
    address has asked for. More at a time would keep the server's loop from its own turn."""

    def __init__(self, total: int) -> None:
        self.each, self._all = max(1, total // 2), asyncio.Semaphore(total)
        self._own: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()

    @asynccontextmanager
    async def of(self, address: str) -> AsyncIterator[None]:
        """A turn for an address, once there is one."""
        own = self._own.setdefault(address, asyncio.Semaphore(self.each))
        async with own, self._all:
            yield
