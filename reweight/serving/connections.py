"""Closes idle and stalled connections, which the web server would keep open indefinitely."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

SILENT = 20.0  # seconds until a connection's first request, or its next one, must be complete
MOST = 400  # idle connections
FILES = 65536  # requested limit of open files, which include connections


class Connections:
    """Closes connections without a request, or whose client does not read. server: uvicorn's, once it runs.

    open: the number of open streams of each address. files: the system's limit of open files; idle connections may use
    a quarter of it, streams half.
    """

    def __init__(self, silent: float = SILENT, most: int = MOST, files: int = FILES) -> None:
        self.silent, self.most, self.files = silent, min(most, files // 4), files
        self.server: Any = None
        self.open: Counter[str] = Counter()
        self._since: weakref.WeakKeyDictionary[Any, tuple[int, float]] = weakref.WeakKeyDictionary()

    def watch(self, server: Any) -> None:
        """Look after a server's connections. Their requests are read by h11, which takes 64 kB of headers at most: what
        uvicorn prefers where it is installed, httptools, takes them without end."""
        from uvicorn.protocols.http.h11_impl import H11Protocol

        self.server = server
        server.config.http_protocol_class = H11Protocol

    def refusal(self, address: str, each: int, most: int) -> str | None:
        """Why an address may not open another stream, as a sentence; None if it may."""
        if self.open[address] >= each or self.open.total() >= min(most, self.files // 2):
            return f"Too many pages are open: {self.open[address]} of yours, close some and reload this one."
        return None

    def listens(self, address: str, change: int) -> None:
        """Count an opened (+1) or closed (-1) stream of an address."""
        self.open[address] += change
        if self.open[address] <= 0:
            del self.open[address]

    def sweep(self, now: float) -> int:
        """Close connections that were idle for too long, and the oldest beyond the limit; returns how many. Runs on the
        server's event loop."""
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
        """Drop the connection of a request whose client does not read the answer."""
        for one in self._found():
            if getattr(one, "scope", None) is scope:
                one.transport.abort()

    def _found(self) -> list[Any]:
        state = getattr(self.server, "server_state", None)
        return [one for one in getattr(state, "connections", ()) if hasattr(one, "cycle")]


def room_for_files() -> int:
    """Raise this process's limit of open files, which include connections, up to FILES; returns the limit."""
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
