"""A real MCP client on every public endpoint; closed unless it is asked for."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import httpx
import pytest
from calling import Caller, finished, until
from PIL import Image
from server import Server, no_insides, program, serving
from test_guard import SMALL, App, ask

from reweight.serving.arriving import CALLER, INSIDE
from reweight.serving.guard import Guard
from reweight.serving.house import House
from reweight.serving.mcp_answers import LONGEST, error_text
from reweight.serving.messages import FAILED
from reweight.serving.rules import MCP, Rules
from reweight.serving.server import rules_for

PATH = "gradio_api/mcp/"
QUICK = {"prompt": "a photo of a castle at sunset", "steps": 1}
needed = pytest.mark.skipif(find_spec("mcp") is None, reason="the mcp package is not installed: requirements-mcp.txt")


def test_it_is_closed_unless_asked_for():
    assert not Rules().mcp and not rules_for(False, "127.0.0.1", {}).mcp
    assert rules_for(False, "127.0.0.1", {}, mcp=True).mcp
    assert all(MCP.fullmatch(f"/{path}") for path in (PATH, "gradio_api/mcp", "gradio_api/mcp/http"))
    assert not any(MCP.fullmatch(f"/{PATH}{path}") for path in ("sse", "messages/", "schema", "../upload"))


def test_calls_take_places_and_no_file_of_this_machine_is_named():
    rules = replace(SMALL, mcp=True, live_bytes=500)
    app, call = App(), {"content": b'{"method": "tools/call"}'}
    file = {"content": b'{"a": [{"_type": "\\u0067radio.FileData"}]}'}
    good, read, named, large = ask(
        app, ("POST", f"/{PATH}", call), ("GET", f"/{PATH}", {}), ("POST", f"/{PATH}", file),
        ("POST", f"/{PATH}", {"content": b"x" * 600}), rules=rules,
    )  # fmt: skip
    assert [one.status_code for one in (good, read, named, large)] == [200, 405, 400, 413] and len(app.seen) == 1
    assert ask(App(), ("POST", f"/{PATH}", call), rules=replace(rules, stateless=0))[0].status_code == 429
    assert ask(App(), ("POST", f"/{PATH}", call))[0].status_code == 404


def test_jobs_of_mcp_clients_share_a_session_that_is_nobody_elses():
    async def run() -> list[int]:
        house = House(replace(SMALL, behind_proxy=True))
        transport = httpx.ASGITransport(Guard(App(), house), client=("127.0.0.1", 1))

        async def join(client: httpx.AsyncClient, secret: str, **named: str) -> int:
            headers = {INSIDE.decode(): secret, **{name.replace("_", "-"): value for name, value in named.items()}}
            body = {"data": [], "session_hash": "shared"}
            answer = await client.post("/gradio_api/queue/join", json=body, headers=headers)
            assert house.sessions.belongs("shared", "inside") and not house.places.held
            return answer.status_code

        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            inside = house.inside.decode()
            callers = [await join(client, inside, **{CALLER.decode(): f"8.8.8.{n}"}) for n in range(20)]
            return [*callers, await join(client, "0" * len(inside), x_forwarded_for="8.8.8.1")]

    assert finished(run()) == [200] * 20 + [403]


def test_a_message_that_the_library_would_stumble_over_is_refused():
    app, rules = App(), replace(SMALL, mcp=True, live_bytes=50_000)
    deep = b'{"a": ' + b"[" * 990 + b"]" * 990 + b"}"
    odd = [
        b"",
        b"[]",
        b"null",
        deep,
        b'{"id": ' + b"9" * 5000 + b"}",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
    ]
    answers = ask(app, *(("POST", f"/{PATH}", {"content": one}) for one in odd), rules=rules)
    assert [one.status_code for one in answers] == [400] * len(odd) and app.seen == []


def test_an_error_is_a_line_without_addresses():
    assert error_text("") == error_text("Client error '500' for url 'http://127.0.0.1:7/x'\nFor more") == FAILED
    assert "large" in error_text("Client error '413' for url 'http://127.0.0.1:7/x'")
    assert "picture" in error_text("Incorrect padding")
    assert error_text("The low weight is above.") == "The low weight is above."
    assert len(error_text("x" * 10_000)) == LONGEST + 1


@pytest.mark.skipif(find_spec("mcp") is not None, reason="the mcp package is installed")
def test_without_the_package_it_is_said_what_to_install():
    running = program("--mcp", "--port", "0")
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 1 and "gradio[mcp]" in said and "Traceback" not in said


@pytest.fixture(scope="module")
def open_to_clients() -> Iterator[Server]:
    """The program as MCP clients may call it."""
    with serving(None, None, "--mcp", changes={"REWEIGHT_BEHIND_PROXY": "1"}) as server:
        yield server


@needed
def test_a_client_calls_every_public_endpoint(open_to_clients):
    server = open_to_clients
    told = finished(called(server.url))
    refused = post(server.url, {"settings": {"meta": {"_type": "gradio.FileData"}, "path": "/etc/hostname"}})
    assert refused.status_code == 400 and "data: URL" in refused.text
    assert httpx.get(server.url + PATH, trust_env=False).status_code == 405
    assert httpx.get(server.url + PATH + "sse", trust_env=False).status_code == 404
    assert set(told["tools"]) == {"compare", "reweight", "importance", "ablate", "sweep", "score"}
    for tool in told["tools"].values():
        assert all(one["description"] for one in tool["properties"].values())
    assert [part.type for part in told["compare"].content].count("image") == 3
    with Image.open(io.BytesIO(base64.b64decode(told["reweight"].content[0].data))) as image:
        assert image.size == (128, 128)
    assert {name: told[name].isError for name in told["tools"]} == dict.fromkeys(told["tools"], False)
    facts = json.loads(told["reweight"].content[-1].text)
    assert len(facts["weights"]) == 1 and len(json.loads(told["sweep"].content[0].text)["cells"]) == 2
    assert told["bad"].isError and "high" in told["bad"].content[0].text and no_insides(told["bad"].content[0].text)


@needed
def test_clients_of_several_addresses_behind_a_proxy_are_served(open_to_clients):
    for address in ("8.8.8.1", "8.8.8.2"):
        answer = post(open_to_clients.url, {}, **{"x-forwarded-for": address})
        assert '"isError":false' in answer.text and '"image"' in answer.text, answer.text[:300]


@needed
@pytest.mark.parametrize("reported", [False, True], ids=["plain", "with progress"])
def test_the_job_of_a_client_that_leaves_is_stopped_and_no_other(open_to_clients, reported):
    caller = Caller(open_to_clients)
    other = finished(left(open_to_clients.url, caller, reported))
    assert not other.isError and "scores" in json.loads(other.content[0].text)
    until(lambda: caller.health()["places_held"] == 0, 20)
    assert not caller.health()["running"]


def post(url: str, arguments: dict[str, Any], **headers: str) -> httpx.Response:
    """Call a tool as it would be done by hand."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "reweight", "arguments": QUICK | arguments},
    }
    accept = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    body = json.dumps(message).replace("gradio", "\\u0067radio")
    return httpx.post(url + PATH, content=body, headers=accept | headers, trust_env=False, timeout=60)


async def left(url: str, caller: Caller, reported: bool) -> Any:
    """Ask for a probe of minutes and leave while it runs; what another client is told, who asked the same endpoint."""
    leave = asyncio.Event()
    probe = QUICK | {"preset": "paper-text", "runs": 1}
    going = asyncio.create_task(asking(url, probe | {"model": "toy", "runs": 100, "steps": 12}, reported, leave))
    await reaches(caller, "running")
    other = asyncio.create_task(asking(url, probe, False))
    await reaches(caller, "waiting")
    leave.set()
    await going
    return await other


async def asking(url: str, probe: dict[str, Any], reported: bool, leave: asyncio.Event | None = None) -> Any:
    """Call `importance` as a client of one's own, to the end, or until it is time to leave."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        return

    async with streamablehttp_client(url + PATH) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        asked = session.call_tool("importance", probe, progress_callback=heard if reported else None)
        if leave is None:
            return await asked
        task = asyncio.create_task(asked)
        await leave.wait()
        assert not task.done()
        task.cancel()


async def reaches(caller: Caller, state: str) -> None:
    """Wait until the server says that something is in a state."""
    while not (await asyncio.to_thread(caller.health))[state]:
        await asyncio.sleep(0.1)


async def called(url: str) -> dict[str, Any]:
    """The tools, and what each of them answers."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async with streamablehttp_client(url + PATH) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        told: dict[str, Any] = {"tools": {tool.name: tool.inputSchema for tool in (await session.list_tools()).tools}}
        told["reweight"] = await session.call_tool("reweight", QUICK | {"low": 0.8, "settings": {"size": 128}})
        told["compare"] = await session.call_tool("compare", QUICK)
        told["ablate"] = await session.call_tool("ablate", QUICK | {"pictures": False})
        told["sweep"] = await session.call_tool("sweep", QUICK | {"across": "low=0.8, 1", "down": ""})
        told["importance"] = await session.call_tool("importance", QUICK | {"preset": "paper-text", "runs": 1})
        picture = f"data:image/png;base64,{told['reweight'].content[0].data}"
        told["score"] = await session.call_tool("score", {"picture": picture, "prompt": QUICK["prompt"]})
        told["bad"] = await session.call_tool("reweight", QUICK | {"high": 9})
    return told
