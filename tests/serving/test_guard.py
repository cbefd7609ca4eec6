"""The middleware by itself, around small apps: what is served at all."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from around import SMALL, App, ask, sentence
from calling import finished

from reweight.serving.guard import Guard
from reweight.serving.house import House
from reweight.serving.rules import Rules


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://169.254.169.254/", "/gradio_api/proxy=http://127.1/", "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/file=a%00b", "/%0d%0aset-cookie:x", "/?page=%00", "/monitoring/x", "/gradio_api/file=ftp://x",
        "/gradio_api/stream/x", "/gradio_api/custom_component/a/client/b/c", "/svelte/x", "/gradio_api/process_recording",
        "/gradio_api/upload_progress", "/gradio_api/run/compare", "/gradio_api/api/compare", "/gradio_api/vibe-edit/",
        "/gradio_api/whatever/comes/next", "/gradio_api/token", "/gradio_api",
    ],
)  # fmt: skip
def test_what_the_page_does_not_use_is_closed(path):
    app = App()
    (answer,) = ask(app, ("GET", path, {}))
    assert answer.status_code == 404 and app.seen == []


def test_another_sites_name_for_this_machine_is_refused_and_health_is_told():
    rules = Rules(hosts=frozenset({"localhost"}))
    rebound, health = ask(
        App(), ("GET", "/", {"headers": {"host": "evil.example"}}), ("GET", "/healthz", {"headers": {"host": "10.0.0.1"}}),
        rules=rules,
    )  # fmt: skip
    assert rebound.status_code == 403 and "REWEIGHT_HOSTS" in sentence(rebound)
    assert health.status_code == 200 and health.json()["status"] == "ok" and health.json()["waiting"] == 0


def test_a_web_socket_is_closed():
    said: list[Any] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            said.append(message["type"])

        await Guard(App(), House(SMALL))({"type": "websocket", "path": "/gradio_api/queue/join"}, None, send)

    finished(run())
    assert said == ["websocket.close"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/reweight/begin")])
def test_an_address_may_have_so_many_pages_made_at_a_time(method, path):
    release, rules = asyncio.Event(), Rules(pages_each=3, behind_proxy=True)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> list[int]:
        house = House(rules)
        transport = httpx.ASGITransport(Guard(slow, house), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

            def opened(address: str) -> Any:
                return asyncio.create_task(
                    client.request(method, path, headers={"x-forwarded-for": address}, content=b"{}")
                )

            tasks = [opened("8.8.8.8") for _ in range(3)]
            while house.opening["8.8.8.8"] < 3:
                await asyncio.sleep(0)
            refused = await opened("8.8.8.8")
            assert "opened from your address" in sentence(refused)
            tasks.append(opened("9.9.9.9"))
            release.set()
            codes = [(await task).status_code for task in tasks]
            assert not house.opening
            return [refused.status_code, *codes]

    assert finished(run()) == [429, 200, 200, 200, 200]


def test_a_proxy_is_told_not_to_keep_streams_back():
    (answer,) = ask(App(), ("GET", "/", {}))
    assert answer.headers["x-accel-buffering"] == "no"
