"""What the page posts: read without keeping others waiting."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request

from reweight.ui.live import BEGUN_AT_ONCE, Live, _body
from reweight.ui.session import Sessions

POSTED = {"type": "http", "headers": [(b"content-type", b"application/json")]}


def test_a_message_of_many_values_keeps_nobody_waiting():
    content = json.dumps({"settings": [0] * 300_000}).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def run() -> int:
        request = Request(POSTED, receive)
        reading, rounds = asyncio.create_task(_body(request)), 0
        while not reading.done():
            await asyncio.sleep(0.001)
            rounds += 1
        assert len((await reading)["settings"]) == 300_000
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


def test_pages_that_begin_at_once_are_made_a_few_at_a_time():
    counting, at_once, most = threading.Lock(), 0, 0

    def start(query: str) -> dict[str, Any]:
        nonlocal at_once, most
        with counting:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with counting:
            at_once -= 1
        return {"query": query}

    async def run() -> list[int]:
        live = Live(None, Sessions(), start, lambda screen: {})

        async def begin() -> int:
            body = iter([{"type": "http.request", "body": b"{}", "more_body": False}])

            async def receive() -> dict[str, Any]:
                return next(body)

            return (await live.begin(Request(POSTED, receive))).status_code

        return await asyncio.gather(*(begin() for _ in range(20)))

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, run()).result() == [200] * 20
    assert 1 < most <= BEGUN_AT_ONCE // 2, "an address has half of the turns"
