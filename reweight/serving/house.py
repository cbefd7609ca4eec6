"""The middleware's state that all requests share, and its periodic cleanup."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Container
from typing import Any

import anyio.to_thread

from .connections import FILES, Connections
from .files import Scratch
from .places import Places, Quota
from .rules import Rules
from .sessions import Sessions

log = logging.getLogger(__name__)
SWEEP = 5.0  # seconds


class House:
    """The state shared by all requests; it belongs to the server's event loop."""

    def __init__(
        self,
        rules: Rules,
        scratch: Scratch | None = None,
        health: Callable[[], dict[str, Any]] = dict,
        files: int = FILES,
    ) -> None:
        self.rules, self.scratch, self.health = rules, scratch, health
        self.places = Places(rules.places, rules.each, rules.stateless)
        self.uploads = Quota(rules.hourly_bytes)
        self.sessions = Sessions(self.places, rules.linger, rules.idle, rules.sessions)
        self.connections = Connections(files=files)
        self.opening: Counter[str] = Counter()  # pages that are being made, by address
        self.listeners: dict[str, set[asyncio.Task[Any]]] = {}  # the streams of each visit
        self.given_up: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._lost: set[str] = set()
        self.inside = secrets.token_hex(16).encode()  # by which requests of this program to itself are known
        self.closing = False
        self.streams: set[asyncio.Task[Any]] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.recent: OrderedDict[str, None] = OrderedDict()  # events that have ended
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the periodic cleanup on the running event loop."""
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
            limiter = (
                anyio.to_thread.current_default_thread_limiter()
            )  # for the acts that stream, which take one thread each
            limiter.total_tokens = max(limiter.total_tokens, self.rules.places + 32)
            self._keeper = self.loop.create_task(self._keep())

    def close(self) -> None:
        """Close open streams and refuse new requests; may be called from any thread."""
        self.closing = True
        if self.loop is not None and self.loop.is_running():
            self.loop.call_soon_threadsafe(lambda: [task.cancel() for task in list(self.streams)])

    def release(self, event: str) -> None:
        """Free the place of an event that has ended."""
        self.places.held.pop(event, None)
        self.recent[event] = None
        while len(self.recent) > 1000:
            self.recent.popitem(last=False)

    def sweep(self) -> None:
        """Remove visits and places that have expired."""
        self.sessions.sweep(time.monotonic())
        self.connections.sweep(time.monotonic())
        known = getattr(getattr(self.sessions.demo, "_queue", None), "event_ids_to_events", None)
        if known is not None:
            self._let_go_of_lost(known)

    def _let_go_of_lost(self, known: Container[str]) -> None:
        """Free the places of events that Gradio dropped without a message, such as when another event of the same visit
        lost its listener, and end streams that would wait for them forever. Events that have just ended get one more
        round."""
        lost = {
            event
            for event, place in self.places.held.items()
            if event not in known
            and self.sessions.is_open(place.session)
            and not event.startswith(("joining ", "mcp "))
        }
        for event in lost & self._lost:
            session = self.places.held[event].session
            self.release(event)
            if not any(other in known for other in self.places.of_session(session)):
                for task in self.listeners.get(session, ()):
                    self.given_up.add(task)
                    task.cancel()
        self._lost = lost

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            try:
                self.sweep()
                if self.scratch is not None:
                    await asyncio.to_thread(self.scratch.sweep, time.monotonic())
            except Exception:
                log.exception("housekeeping failed")
