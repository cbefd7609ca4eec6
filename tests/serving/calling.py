"""Small clients that speak to the program as a browser or a script does."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
from server import Server

QUICK = ("the blue cat in rain", "toy-turbo", 0.9, 1.2, "importance", 7, 1, 0, "")
LONG = ("paper-code", 100, "a photo of a fox in the snow", "toy", 0.9, 1.2, "importance", 7, 12, 3, "")
DEAD = "http://127.0.0.1:9"  # a proxy that does not answer, without an exception for this machine
GRADIOS = {
    "GRADIO_ALLOWED_PATHS": "/etc",
    "GRADIO_DEBUG": "1",
    "GRADIO_NUM_WORKERS": "x",
}  # would open folders, never end
AROUND = {"http_proxy": DEAD, "HTTP_PROXY": DEAD, "https_proxy": DEAD, "no_proxy": "", "NO_PROXY": ""} | GRADIOS


def finished(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns, run in a thread of its own: a browser's session may have a loop in this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def whole(name: str, data: tuple[Any, ...]) -> list[Any]:
    """An endpoint's values with the last ones, which are optional, left to it."""
    return [*data, *[None] * {"reweight": 2, "importance": 2, "score": 0}.get(name, 1)]


@dataclass
class Caller:
    """A script, or a page with a session of its own. address: what a proxy says that it has."""

    server: Server
    address: str = "8.8.8.8"
    session: str | None = None
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"x-forwarded-for": self.address}
        self.http = httpx.Client(base_url=self.server.url, headers=headers, timeout=120, trust_env=False)

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Send JSON."""
        return self.http.post(f"gradio_api/{path}", json=body)

    def join(self, name: str, data: tuple[Any, ...], session: str | None = None) -> httpx.Response:
        """Ask an endpoint, and do not listen."""
        session = session or self.session
        return self.post(f"call/{name}", data=whole(name, data), **({"session_hash": session} if session else {}))

    def listen(self, name: str, event: str) -> tuple[str, Any]:
        """The last message about a job: its kind, and what it holds."""
        lines = self.http.get(f"gradio_api/call/{name}/{event}").text.split("\n")
        pairs = [(a.removeprefix("event: "), b.removeprefix("data: ")) for a, b in itertools.pairwise(lines)
                 if a.startswith("event: ")]  # fmt: skip
        kind, data = [pair for pair in pairs if pair[0] != "heartbeat"][-1]
        return kind, json.loads(data)

    def ask(self, name: str, data: tuple[Any, ...]) -> tuple[str, Any]:
        """Ask an endpoint and listen to its end."""
        answer = self.join(name, data)
        answer.raise_for_status()
        return self.listen(name, answer.json()["event_id"])

    def health(self) -> dict[str, Any]:
        """What the server says of itself."""
        return self.http.get("healthz").json()


def new_session() -> str:
    return secrets.token_hex(6)


def until(condition: Any, seconds: float = 60.0) -> float:
    """Wait for an event, at most so long on a busy machine; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come"
        time.sleep(0.05)
    return time.monotonic() - began


def memory_of(server: Server) -> float:
    """Megabytes that the program holds."""
    return psutil.Process(server.process.pid).memory_info().rss / 1e6


def address(number: int) -> str:
    """An address of its own for each number."""
    return f"5.{number // 250}.{number % 250}.7"


def asked(seed: int, prompt: str = QUICK[0]) -> tuple[Any, ...]:
    """A quick picture of a seed."""
    return (prompt, *QUICK[1:5], seed, *QUICK[6:])
