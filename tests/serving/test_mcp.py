"""A real MCP client on every public endpoint; closed unless it is asked for."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import httpx
import pytest
from calling import finished
from PIL import Image
from server import no_insides, program, serving
from test_guard import SMALL, App, ask

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


@pytest.mark.skipif(find_spec("mcp") is not None, reason="the mcp package is installed")
def test_without_the_package_it_is_said_what_to_install():
    running = program("--mcp", "--port", "0")
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 1 and "gradio[mcp]" in said and "Traceback" not in said


@needed
def test_a_client_calls_every_public_endpoint():
    with serving(None, None, "--mcp") as server:
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


def post(url: str, arguments: dict[str, Any]) -> httpx.Response:
    """Call a tool as it would be done by hand."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "reweight", "arguments": QUICK | arguments},
    }
    accept = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    body = json.dumps(message).replace("gradio", "\\u0067radio")
    return httpx.post(url + PATH, content=body, headers=accept, trust_env=False, timeout=60)


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
