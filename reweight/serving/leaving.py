"""Stops a job that nobody listens to: Gradio stops a job when its listener disconnects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .rules import API


def leaving(app: Any, scope: MutableMapping[str, Any], session: str) -> Callable[[], Awaitable[None]]:
    """Listen to a session's messages and disconnect at once, which makes Gradio stop the job."""
    listening = dict(scope) | {
        "method": "GET", "path": f"{API}/queue/data", "raw_path": f"{API}/queue/data".encode(),
        "query_string": f"session_hash={session}".encode(), "headers": [(b"host", b"localhost")],
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }  # fmt: skip

    async def gone() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def nowhere(message: MutableMapping[str, Any]) -> None:
        return

    async def leave() -> None:
        await app(dict(listening), gone, nowhere)

    return leave
