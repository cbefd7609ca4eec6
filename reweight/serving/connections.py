"""Connections on which nothing is asked: the web server would keep them for ever."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

SILENT = 20.0  # seconds that a connection may be open before its first request is whole
MOST = 400  # connections on which nothing has been asked yet


class Connections:
    """Closes connections whose first request does not come. server: uvicorn's, once it runs."""

    def __init__(self, silent: float = SILENT, most: int = MOST) -> None:
        self.silent, self.most = silent, most
        self.server: Any = None
        self._since: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()

    def sweep(self, now: float) -> int:
        """Close those that have been silent for too long, and of too many the oldest; how many. On the server's loop."""
        state = getattr(self.server, "server_state", None)
        found: Iterable[Any] = () if state is None else list(state.connections)
        waiting = sorted((self._since.setdefault(one, now), n, one) for n, one in enumerate(found) if _unasked(one))
        spare = len(waiting) - self.most
        gone = [one for n, (since, _, one) in enumerate(waiting) if now - since >= self.silent or n < spare]
        for one in gone:
            one.transport.close()
        return len(gone)


def _unasked(connection: Any) -> bool:
    """Whether no request has come on it yet. Those that have been answered, uvicorn closes after a while itself."""
    return getattr(connection, "cycle", False) is None and not connection.transport.is_closing()


def room_for_files() -> None:
    """Let this process have as many open files, connections among them, as the system allows it, up to 65536."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
