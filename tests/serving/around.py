"""The middleware around a small app, and what it answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from calling import finished

from reweight.serving.guard import Guard
from reweight.serving.house import House
from reweight.serving.rules import Rules

SMALL = Rules(json_bytes=1000, upload_bytes=5000, hourly_bytes=8000, grace=1.0)


class App:
    """An app that counts the bytes it is given and answers as it is told; a job's messages never come."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.seen, self.headers, self.left = error, [], [], asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()
        self.headers = scope["headers"]
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append((scope["path"], bytes(body)))
        if self.error:
            raise self.error
        answer = json.dumps({"event_id": "f" * 32}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})


def ask(app: App, *requests: tuple[str, str, dict[str, Any]], rules: Rules = SMALL) -> list[httpx.Response]:
    """Answers to requests (method, path, options), one after another, then what the house has to do."""

    async def run() -> list[httpx.Response]:
        guard = Guard(app, House(rules, health=lambda: {"waiting": 0}))
        transport = httpx.ASGITransport(guard, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.request(method, path, **options) for method, path, options in requests]

    return finished(run())


def sentence(answer: httpx.Response) -> str:
    text = answer.json()["detail"]
    assert text.endswith(".") and "\n" not in text and "/" not in text
    return text
