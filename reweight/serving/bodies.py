"""Bodies of requests: limited as they arrive, before anything parses them; given again; dropped."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from .messages import Refused

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
SLOWEST = 20_000  # bytes a second
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
DRAINED = 32_000_000  # bytes of a refused body that are read and dropped, so that its sender gets to the answer


def counted(receive: Receive, most: int, what: str, seconds: float) -> Receive:
    """The same, but Refused as soon as a body is too large, and TimeoutError where it does not arrive in time.

    seconds: that it may take, and one more for each SLOWEST bytes of it.
    """
    seen, began = 0, time.monotonic()

    async def next_part() -> MutableMapping[str, Any]:
        nonlocal seen
        left = began + seconds + seen / SLOWEST - time.monotonic()
        message = await asyncio.wait_for(receive(), max(0.0, left))
        seen += len(message.get("body", b""))
        if seen > most:
            raise too_large(what, most, drain=bool(message.get("more_body")))
        return message

    return next_part


async def whole(receive: Receive) -> bytes:
    """All of a body. Refused where it ends early."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request ended early.")
        body.extend(message.get("body", b""))
        if not message.get("more_body"):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """The body again, then whatever comes after it."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def elsewhere(value: Any, names: Sequence[str] = ("path",)) -> bool:
    """Whether JSON that was sent names a file by an address, which Gradio would fetch it from."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if any(isinstance(one.get(name), str) and ADDRESS.match(one[name]) for name in names):
                return True
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


async def drain(receive: Receive) -> None:
    """Read a body and drop it, for so long and so much."""
    dropped = 0
    try:
        async with asyncio.timeout(5):
            while dropped < DRAINED:
                message = await receive()
                dropped += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return


def too_large(what: str, most: int, drain: bool = True) -> Refused:
    """The refusal of a body."""
    return Refused(413, f"The {what} is too large: at most {most / 1e6:g} MB are taken.", drain)
