"""What the page posts: read without keeping others waiting."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request

from reweight.ui.live import Live, _body
from reweight.ui.session import Sessions


def test_a_message_of_many_lists_keeps_nobody_waiting():
    content = json.dumps({"settings": [[]] * 200_000}).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def run() -> int:
        request = Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, receive)
        reading, rounds = asyncio.create_task(_body(request)), 0
        while not reading.done():
            await asyncio.sleep(0.001)
            rounds += 1
        assert len((await reading)["settings"]) == 200_000
        return rounds

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, run()).result() > 2  # 1 where the loop itself reads


def test_what_a_page_has_running_is_closed_with_its_connection():
    closed = []

    def act(call: Any) -> Iterator[dict[str, Any]]:
        try:
            while True:
                yield {"kind": "status"}
        finally:
            closed.append(True)

    sessions = Sessions()
    live = Live(None, sessions, dict, lambda screen: {"run": act})
    body = json.dumps({"session": sessions.begin().id, "settings": {}, "given": {}}).encode()

    async def run() -> None:
        begun, asked = asyncio.Event(), iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            if message := next(asked, None):
                return message
            await begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message.get("body"):
                begun.set()

        scope = {
            "type": "http", "method": "POST", "path": "/", "query_string": b"", "path_params": {"screen": "any", "act": "run"},
            "headers": [(b"content-type", b"application/json")],
        }  # fmt: skip
        await (await live.act(Request(scope, receive)))(scope, receive, send)
        assert closed, "it would run on for nobody until somebody collects it"

    gc.disable()
    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, run()).result()
    finally:
        gc.enable()
