"""What the page posts: read without keeping others waiting."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request

from reweight.ui.live import _body


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
