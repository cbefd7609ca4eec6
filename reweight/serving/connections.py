"""Connections on which nothing is asked, or that take nothing: the web server would keep them for ever."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

SILENT = 20.0  # seconds that a connection may be open before its first request, or the next one, is whole
MOST = 400  # connections on which nothing is asked
FILES = 65536  # open files, connections among them, that are asked of the system


class Connections:
    """Closes connections whose request does not come, or whose answer is not taken. server: uvicorn's, once it runs.

    open: how many streams each address listens to. files: that the system lets be open, of which idle connections have
    a quarter and streams half at most, so that some are left for those who ask.
    """

    def __init__(self, silent: float = SILENT, most: int = MOST, files: int = FILES) -> None:
        self.silent, self.most, self.files = silent, min(most, files // 4), files
        self.server: Any = None
        self.open: Counter[str] = Counter()
        self._since: weakref.WeakKeyDictionary[Any, tuple[int, float]] = weakref.WeakKeyDictionary()

    def refusal(self, address: str, each: int, most: int) -> str | None:
        """Why an address may not listen to another stream, in a sentence; None where it may."""
        if self.open[address] >= each or self.open.total() >= min(most, self.files // 2):
            return f"Too many pages are open: {self.open[address]} of yours, close some and reload this one."
        return None

    def listens(self, address: str, change: int) -> None:
        """An address has begun (+1) or ended (-1) to listen to a stream."""
        self.open[address] += change
        if self.open[address] <= 0:
            del self.open[address]

    def sweep(self, now: float) -> int:
        """Close those that have been silent for too long, and of too many the oldest; how many. On the server's loop."""
        waiting = []
        for number, one in enumerate(self._found()):
            cycle = one.cycle
            if one.transport.is_closing() or (cycle is not None and not cycle.response_complete):
                self._since.pop(one, None)
                continue
            requests, since = self._since.get(one, (id(cycle), now))
            since = since if requests == id(cycle) else now
            self._since[one] = id(cycle), since
            waiting.append((since, number, one))
        spare = len(waiting) - self.most
        gone = [one for n, (since, _, one) in enumerate(sorted(waiting)) if now - since >= self.silent or n < spare]
        for one in gone:
            one.transport.close()
        return len(gone)

    def abort(self, scope: Any) -> None:
        """Drop the connection of a request whose answer nobody takes."""
        for one in self._found():
            if getattr(one, "scope", None) is scope:
                one.transport.abort()

    def _found(self) -> list[Any]:
        state = getattr(self.server, "server_state", None)
        return [one for one in getattr(state, "connections", ()) if hasattr(one, "cycle")]


def room_for_files() -> int:
    """Let this process have as many open files, connections among them, as the system allows it, up to FILES; how many."""
    try:
        import resource
    except ImportError:
        return FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
