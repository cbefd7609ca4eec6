"""Answers on their way out: headers, sentences, and nobody who takes them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from around import App, ask, sentence
from calling import finished

from reweight.serving.guard import Guard
from reweight.serving.house import House
from reweight.serving.rules import Rules


def test_every_answer_has_the_headers_and_the_apps_own_stay():
    plain, refused = ask(App(), ("GET", "/", {}), ("POST", "/gradio_api/call/x", {"content": b"x" * 2000}))
    for answer in (plain, refused):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "https://huggingface.co" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyError("secret"), 404),
        (ValueError("secret"), 400),
        (RuntimeError("secret /root/x.py"), 500),
        (OSError("secret"), 500),
    ],
)
def test_what_the_app_raises_is_a_sentence(error, status):
    (answer,) = ask(App(error), ("GET", "/config", {}))
    assert answer.status_code == status and "secret" not in sentence(answer)


def test_an_answer_that_nobody_takes_is_given_up_and_its_connection_dropped():
    class Taken:
        """As uvicorn's connection of a caller who does not read."""

        def __init__(self, scope: Any) -> None:
            self.scope, self.cycle, self.transport, self.aborted = scope, None, self, False

        def abort(self) -> None:
            self.aborted = True

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})

    async def run() -> bool:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")], "query_string": b"",
                 "client": ("127.0.0.1", 1)}  # fmt: skip
        house, connection = House(Rules(taken_seconds=0.1)), Taken(scope)
        house.connections.server = SimpleNamespace(server_state=SimpleNamespace(connections={connection}))
        sent = 0

        async def send(message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent > 5:
                await asyncio.Event().wait()

        await asyncio.wait_for(Guard(endless, house)(scope, None, send), 20)
        return connection.aborted

    assert finished(run())
