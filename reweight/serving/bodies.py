"""Request bodies: size limits while they arrive, before anything parses them; replaying and draining."""

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
DRAINED = 32_000_000  # bytes of a refused body that are read and dropped, so that the sender reads the answer


def counted(receive: Receive, most: int, what: str, seconds: float) -> Receive:
    """A receive function that raises Refused as soon as a body is too large, and TimeoutError if it is too slow.

    seconds: the time it may take, plus one second for each SLOWEST bytes.
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
    """The whole body. Refused if it ends early."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request ended early.")
        body.extend(message.get("body", b""))
        if not message.get("more_body"):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A receive function that gives the body again, then the following messages."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def elsewhere(value: Any, names: Sequence[str] = ("path",)) -> bool:
    """Whether received JSON names a file by a URL, from which Gradio would download it."""
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
    """Read and drop a body, within limits of time and size."""
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
