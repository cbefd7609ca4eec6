"""The answer to a request: adds our headers, and replaces errors and missing answers by a sentence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from .arriving import NOTHING, Scope
from .house import House
from .messages import FAILED, FULL, LOST, answer, ended, lost_event, told

log = logging.getLogger(__name__)
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Answering:
    """The answer to one request. started, done: its progress; stalled: the client does not read it."""

    def __init__(self, scope: Scope, send: Send, house: House) -> None:
        self.scope, self.house, self.rules, self._send = scope, house, house.rules, send
        self.started = self.done = self.stalled = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass an answer on, with our headers, and with a sentence for an error without text."""
        if message["type"] == "http.response.start":
            self.started = True
            present = {name.lower() for name, _ in message.get("headers", ())}
            ours = [(name.encode(), value.encode()) for name, value in self.rules.headers.items()]
            added = [pair for pair in ours if pair[0] not in present]
            message = dict(message) | {"headers": [*message.get("headers", ()), *added]}
        elif message.get("body", b"").startswith((b"data: ", b"event: error")):
            for event in ended(message["body"]):
                self.house.release(event)
            message = dict(message) | {"body": told(message["body"], self._instead)}
        self.done = message["type"] == "http.response.body" and not message.get("more_body")
        try:
            async with asyncio.timeout(self.rules.taken_seconds):
                await self._send(message)
        except TimeoutError:
            self.stalled = True
            self.house.connections.abort(self.scope)
            raise OSError("nobody takes the answer") from None

    async def say(self, status: int, sentence: str) -> None:
        """Answer with a sentence, if no answer has started."""
        if self.started:
            await self.finish()
            return
        for message in answer(status, sentence, **({"retry_after": "30"} if status in (429, 503) else {})):
            await self.send(message)

    async def health(self) -> None:
        """The answer of `/healthz`."""
        house = self.house
        facts = {"status": "closing" if house.closing else "ok", "places_held": len(house.places.held)}
        facts |= {"places": house.places.total, "visits": len(house.sessions)} | house.health()
        self.started = True
        body = orjson.dumps(facts)
        status = 200 if facts["status"] == "ok" else 503
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body if self.scope["method"] != "HEAD" else b""})

    async def lost(self) -> None:
        """Tell a listener that its job was lost."""
        if not self.started:
            await self.say(410, LOST)
        elif not self.done:
            self.done = True
            await self._send({"type": "http.response.body", "body": lost_event(), "more_body": False})

    async def finish(self) -> None:
        """End an answer that has started."""
        if self.started and not self.done:
            self.done = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def failed(self, error: Exception) -> None:
        """Turn an exception of the app into a sentence for the caller and a record in the log."""
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & {"LookupError", "FnIndexInferError", "AssertionError"}:
            status, sentence = 404, NOTHING
        elif names & {"ValueError", "TypeError", "UnicodeError"}:
            status, sentence = 400, "This cannot be read: send what the page or the API's description says."
        elif names & {"TimeoutError"}:
            status, sentence = 408, "The request took too long to arrive: try again."
        else:
            status, sentence = 500, self._instead()
        level = logging.ERROR if status == 500 else logging.INFO
        log.log(level, "a request failed", exc_info=error, extra={"fields": {"status": status}})
        await self.say(status, sentence)

    def _instead(self) -> str:
        scratch = self.house.scratch
        return FULL if scratch is not None and scratch.full() else FAILED
