"""Removes Gradio's data of visits that have ended; the only code that accesses Gradio's internal stores."""

from __future__ import annotations

from collections import deque
from typing import Any

from .places import Places

LINGER = 120.0  # seconds until a closed page's visit is removed; a reload is a new visit anyway
IDLE = 1800.0  # the same for a caller without an open connection, such as a script
MOST = 128  # visits with data


class Sessions:
    """The visits and their open connections; `sweep` removes the ended ones.

    An address with many visits loses its own oldest first, so that it does not displace other addresses' visits.
    """

    def __init__(self, places: Places, linger: float = LINGER, idle: float = IDLE, most: int = MOST) -> None:
        self.places, self.linger, self.idle, self.most = places, linger, idle, most
        self.demo: Any = None
        self._open: dict[str, int] = {}
        self._seen: dict[str, tuple[float, str, bool]] = {}  # the time, the address, and whether a page kept it open

    def seen(self, session: str, address: str, now: float, page: bool = False) -> None:
        """Record activity of a visit; page: on the connection that a page keeps open while it is shown."""
        before = self._seen.pop(session, (0.0, address, False))
        self._seen[session] = (now, before[1], before[2] or page)

    def belongs(self, session: str, address: str) -> bool:
        """Whether a visit may belong to an address: it is not known to belong to another one."""
        known = self._seen.get(session)
        return known is None or known[1] == address

    def opened(self, session: str) -> None:
        """Count an opened connection of a visit."""
        self._open[session] = self._open.get(session, 0) + 1

    def closed(self, session: str) -> None:
        """Count a closed connection of a visit."""
        left = self._open.pop(session, 1) - 1
        if left > 0:
            self._open[session] = left

    def is_open(self, session: str) -> bool:
        """Whether a visit has an open connection."""
        return session in self._open

    def sweep(self, now: float) -> int:
        """Remove ended visits, and beyond the limit those of the address with the most; returns how many."""
        gone = [
            session
            for session, (when, _, page) in self._seen.items()
            if not self.is_open(session)
            and not self.places.of_session(session)
            and now - when > (self.linger if page else self.idle)
        ]
        for session in gone:
            self.forget(session)
        if len(self._seen) > self.most:
            gone += self._beyond()
        return len(gone)

    def _beyond(self) -> list[str]:
        """Remove visits beyond the limit, of the address with the most, those without a connection first; never one that
        waits for a job. Returns their names."""
        working = {place.session for place in self.places.held.values()}
        spare: dict[str, deque[str]] = {}
        for session in sorted(self._seen, key=self.is_open):
            if session not in working:
                spare.setdefault(self._seen[session][1], deque()).append(session)
        gone: list[str] = []
        while len(self._seen) > self.most and spare:
            largest = max(spare, key=lambda address: len(spare[address]))
            gone.append(spare[largest].popleft())
            self.forget(gone[-1])
            if not spare[largest]:
                del spare[largest]
        return gone

    def forget(self, session: str) -> None:
        """Remove a visit's state and unread messages."""
        self._seen.pop(session, None)
        if self.demo is None:
            return
        holder, queue = self.demo.app.state_holder, self.demo._queue
        for store in (holder.session_data, holder.time_last_used, queue.pending_event_ids_session):
            store.pop(session, None)
        if session in queue.pending_messages_per_session:
            del queue.pending_messages_per_session[session]

    def __len__(self) -> int:
        return len(self._seen)
