"""What Gradio remembers of each visit, and forgetting it: the only place that reaches into its stores."""

from __future__ import annotations

from typing import Any

from .places import Places

LINGER = 120.0  # seconds after which a page that was closed is forgotten; a reload makes a new visit anyway
IDLE = 1800.0  # the same for a caller that keeps no connection open, such as a script
MOST = 128  # visits that are remembered


class Sessions:
    """The visits, with their open connections; `sweep` forgets those that nobody comes back to.

    An address that makes many visits loses its own oldest first, so that nobody's is pushed out by another's.
    """

    def __init__(self, places: Places, linger: float = LINGER, idle: float = IDLE, most: int = MOST) -> None:
        self.places, self.linger, self.idle, self.most = places, linger, idle, most
        self.demo: Any = None
        self._open: dict[str, int] = {}
        self._seen: dict[str, tuple[float, str, bool]] = {}  # the time, the address, and whether a page kept it open

    def seen(self, session: str, address: str, now: float, page: bool = False) -> None:
        """A visit was heard from; page: by the connection that a page keeps open as long as it is shown."""
        before = self._seen.pop(session, (0.0, address, False))
        self._seen[session] = (now, before[1], before[2] or page)

    def belongs(self, session: str, address: str) -> bool:
        """Whether a visit may be an address's: nobody else's, as far as is known."""
        known = self._seen.get(session)
        return known is None or known[1] == address

    def opened(self, session: str) -> None:
        """A connection of a visit has opened."""
        self._open[session] = self._open.get(session, 0) + 1

    def closed(self, session: str) -> None:
        """A connection of a visit has closed."""
        left = self._open.pop(session, 1) - 1
        if left > 0:
            self._open[session] = left

    def is_open(self, session: str) -> bool:
        """Whether a visit has a connection."""
        return session in self._open

    def sweep(self, now: float) -> int:
        """Forget visits that have ended, and of too many those of the address that has most; how many."""
        gone = [
            session
            for session, (when, _, page) in self._seen.items()
            if not self.is_open(session)
            and not self.places.of_session(session)
            and now - when > (self.linger if page else self.idle)
        ]
        for session in gone:
            self.forget(session)
        while len(self._seen) > self.most:
            counts: dict[str, int] = {}
            for _, address, _ in self._seen.values():
                counts[address] = counts.get(address, 0) + 1
            largest = max(counts, key=lambda address: counts[address])
            mine = [session for session, (_, address, _) in self._seen.items() if address == largest]
            session = next((session for session in mine if not self.is_open(session)), mine[0])
            self.forget(session)
            gone.append(session)
        return len(gone)

    def forget(self, session: str) -> None:
        """Forget a visit: its state, and the messages that it has not fetched."""
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
