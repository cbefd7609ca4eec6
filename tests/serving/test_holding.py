"""Jobs and streams, and the places that they hold."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from around import SMALL, App, ask, sentence
from calling import finished

from reweight.serving.guard import Guard
from reweight.serving.house import House
from reweight.serving.places import Place
from reweight.serving.rules import Rules


def test_a_sessions_name_serves_one_address():
    app, join = App(), ("POST", "/gradio_api/queue/join", {"json": {"data": [], "session_hash": "test"}})
    listen = ("GET", "/gradio_api/queue/data?session_hash=test", {})

    def by(request, address):
        method, path, options = request
        return method, path, options | {"headers": {"x-forwarded-for": address}}

    first, *others = ask(
        app, by(join, "8.8.8.8"), by(join, "9.9.9.9"), by(listen, "9.9.9.9"), rules=Rules(behind_proxy=True)
    )
    assert first.status_code == 200 and len(app.seen) == 1
    assert all(other.status_code == 403 and "another" in sentence(other).lower() for other in others)


def test_a_caller_without_a_session_holds_a_few_places_and_a_job_without_a_listener_is_stopped():
    async def run() -> tuple[list[int], bool, int, httpx.Response]:
        app, numbers = App(), iter(range(100))

        async def numbered(scope: Any, receive: Any, send: Any) -> None:
            async def renamed(message: Any) -> None:
                if message.get("body"):
                    message["body"] = json.dumps({"event_id": f"{next(numbers):032x}"}).encode()
                await send(message)

            await app(scope, receive, renamed)

        house = House(SMALL)
        transport = httpx.ASGITransport(Guard(numbered, house), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            codes = [(await client.post("/gradio_api/call/x", json={"data": []})).status_code for _ in range(6)]
            await asyncio.wait_for(app.left.wait(), 20)
            for _ in range(400):
                if not house.places.held:
                    break
                await asyncio.sleep(0.05)
            late = await client.get(f"/gradio_api/call/x/{0:032x}")
        return codes, app.left.is_set(), len(house.places.held), late

    codes, left, held, late = finished(run())
    assert codes == [200] * 4 + [429] * 2 and left and held == 0
    assert late.status_code == 410 and "nobody listened" in sentence(late)


def test_an_address_has_so_many_open_streams_and_another_still_gets_one():
    async def run() -> tuple[list[int], int, int]:
        house = House(Rules(streams_each=3, streams=5, behind_proxy=True))
        guard, codes = Guard(App(), house), []

        async def listen(address: str, left: asyncio.Event) -> None:
            async def receive() -> Any:
                await left.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    codes.append(message["status"])

            headers = [(b"x-forwarded-for", address.encode()), (b"host", b"localhost")]
            scope = {"type": "http", "method": "GET", "path": "/gradio_api/heartbeat/abc", "headers": headers,
                     "query_string": b"", "client": ("10.0.0.1", 1)}  # fmt: skip
            await guard(scope, receive, send)

        left = asyncio.Event()
        tasks = [asyncio.create_task(listen(address, left)) for address in ["8.8.8.8"] * 5 + ["9.9.9.9"] * 2]
        await asyncio.sleep(0)
        while len(codes) < 2:
            await asyncio.sleep(0.01)
        held = house.connections.open.total()
        left.set()
        await asyncio.gather(*tasks)
        return codes, held, house.connections.open.total()

    codes, held, after = finished(run())
    assert codes == [429, 429] and held == 5 and after == 0


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1/x.png", "HTTPS://example.org/x.png", " ftp://x/y", "file:///etc/passwd"]
)
def test_no_file_is_fetched_from_an_address(address):
    picture = {"path": address, "meta": {"_type": "gradio.FileData"}}
    app = App()
    for data in ([picture, "a red apple"], [{"deep": [picture]}]):
        for path in ("/gradio_api/call/score", "/gradio_api/queue/join", "/gradio_api/call/v2/score"):
            (answer,) = ask(app, ("POST", path, {"json": {"data": data, "session_hash": "abc"}}))
            assert answer.status_code == 400 and "upload" in sentence(answer)
    assert app.seen == []
    (good,) = ask(
        app, ("POST", "/gradio_api/call/score", {"json": {"data": ["http://a prompt", {"path": "/tmp/a.png"}]}})
    )
    assert good.status_code == 200


def test_a_listener_whose_job_was_dropped_without_a_word_is_told():
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def run() -> tuple[list[Any], int, int]:
        house, said = House(SMALL), []
        known = {"b" * 32: None}
        for event in ("a" * 32, "b" * 32):
            house.places.held[event] = Place("127.0.0.1", "", event)

        async def listen(event: str) -> None:
            async def send(message: Any) -> None:
                said.append((event[0], message))

            scope = {"type": "http", "method": "GET", "path": f"/gradio_api/call/x/{event}", "query_string": b"",
                     "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1)}  # fmt: skip
            await Guard(silent, house)(scope, None, send)

        tasks = [asyncio.create_task(listen(event)) for event in list(house.places.held)]
        while len(said) < 2:
            await asyncio.sleep(0.01)
        house._let_go_of_lost(known)
        await asyncio.sleep(0)
        before = sum(task.done() for task in tasks)
        house._let_go_of_lost(known)
        await asyncio.wait_for(tasks[0], 20)
        tasks[1].cancel()
        return said, before, len(house.places.held)

    said, before, held = finished(run())
    assert before == 0 and held == 1, "one that has only just ended gets a round more"
    assert said[-1][0] == "a" and b"nobody listened" in said[-1][1]["body"] and not said[-1][1]["more_body"]
