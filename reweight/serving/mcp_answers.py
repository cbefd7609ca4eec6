"""Fixes for Gradio's MCP server: its jobs belong to whom they are for, several outputs become several parts, JSON stays
JSON, errors are sentences, disconnecting stops the job."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.to_thread import run_sync

from .arriving import CALLER, INSIDE
from .messages import FAILED

log = logging.getLogger(__name__)
LONGEST = 300  # letters of an error, which may repeat what was sent
PASSED = ("x-ip-token",)  # headers of the client that its job needs: on whose account a GPU is lent
JOINED = 10.0  # seconds until a job must have an id in the queue


def mend(server: Any, inside: bytes) -> None:
    """Patch a `GradioMCPServer` before it starts. inside: by which the middleware knows the program's own requests.

    It asks for jobs by requests to the same program, all in one session. Unpatched, they come with all headers of the
    MCP client, so that behind a proxy the first client's address owns that session, and every other one is refused;
    without a progress token it treats an endpoint's outputs as one, so that a client gets a description of a file instead
    of the picture; it formats JSON outputs as Python; it continues the job of a disconnected client; and its errors name
    addresses inside, repeat what was sent, or are empty.
    """
    plain, reporting = server.postprocess_output_data, server._execute_tool_with_progress
    connected = server._get_or_create_client

    def client() -> Any:
        asking = connected()
        if INSIDE.decode() not in asking.headers:
            asking.headers[INSIDE.decode()] = inside.decode()
            asking.submit = _for_its_caller(server.mcp_server, asking.submit)
        return asking

    async def outputs(job: Any) -> list[Any]:
        async with stopped_when_left(server.blocks, job):
            result = await run_sync(job.result, abandon_on_cancel=True)
        return list(result) if isinstance(result, tuple) else [result]

    async def outputs_with_progress(job: Any, token: str | int) -> Any:
        async with stopped_when_left(server.blocks, job):
            return await reporting(job, token)

    def parts(data: Sequence[Any], root_url: str) -> list[Any]:
        return plain([json.dumps(one) if _is_json(one) else one for one in data], root_url)

    server._get_or_create_client = client
    _tell_in_sentences(server.mcp_server)
    server._execute_tool_without_progress = outputs
    server._execute_tool_with_progress = outputs_with_progress
    server.postprocess_output_data = parts


def _for_its_caller(mcp_server: Any, submit: Callable[..., Any]) -> Callable[..., Any]:
    """`submit` with the address of the MCP client that a job is for, and none of its headers but PASSED."""

    def submitted(*values: Any, api_name: str, headers: dict[str, str]) -> Any:
        caller = mcp_server.request_context.request.client.host
        named = {name: headers[name] for name in PASSED if name in headers}
        return submit(*values, api_name=api_name, headers=named | {CALLER.decode(): caller})

    return submitted


def _tell_in_sentences(mcp_server: Any) -> None:
    """Make errors of tools one line of at most LONGEST letters, and never empty."""
    from mcp.types import CallToolRequest

    handler = mcp_server.request_handlers[CallToolRequest]

    async def told(request: Any) -> Any:
        answer = await handler(request)
        if answer.root.isError:
            for part in answer.root.content:
                part.text = error_text(part.text)
        return answer

    mcp_server.request_handlers[CallToolRequest] = told


def error_text(text: str) -> str:
    """What an MCP client is told of an error."""
    if "413" in text and "://" in text:
        return "The request is too large: at most 1 MB are taken."
    if "padding" in text or "base64" in text:
        return "The picture cannot be read: give a PNG or a JPEG as a data: URL."
    if not text.strip() or "://" in text or text == "Error!":
        log.warning("a call of an MCP client failed", extra={"fields": {"error": text[:LONGEST]}})
        return FAILED
    line = text.strip().splitlines()[0]
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


@asynccontextmanager
async def stopped_when_left(blocks: Any, job: Any) -> AsyncIterator[None]:
    """Stop a job, at its next yield, when the call that waits for it is cancelled because its client disconnected.

    It stops only this job: Gradio's own cancelling stops every job of the same session and endpoint, and all MCP
    clients share one session.
    """
    try:
        yield
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await _stop(blocks, job)
        raise


async def _stop(blocks: Any, job: Any) -> None:
    from gradio.server_messages import ProcessCompletedMessage

    if job.future.cancel():  # has not been asked for yet
        return
    with anyio.move_on_after(JOINED):
        while job.communicator.event_id is None and not job.future.done():
            await anyio.sleep(0.05)
    queue, name = blocks._queue, job.communicator.event_id
    event = queue.event_ids_to_events.get(name)
    if event is not None:
        queue.send_message(event, ProcessCompletedMessage(output={"error": "Nobody waits for it."}, success=False))
        await queue.clean_events(event_id=name)


def _is_json(output: Any) -> bool:
    is_file = isinstance(output, dict) and "meta" in output
    return isinstance(output, (dict, list)) and not is_file
