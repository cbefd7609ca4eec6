"""Fixes for Gradio's MCP server: several outputs become several parts, JSON stays JSON, disconnecting stops the job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.to_thread import run_sync

JOINED = 10.0  # seconds until a job must have an id in the queue


def mend(server: Any) -> None:
    """Patch a `GradioMCPServer` before it starts.

    Unpatched, without a progress token it treats an endpoint's outputs as one, so that a client gets a description of a
    file instead of the picture; it formats JSON outputs as Python; and it continues the job of a disconnected client.
    """
    plain, reporting = server.postprocess_output_data, server._execute_tool_with_progress

    async def outputs(job: Any) -> list[Any]:
        async with stopped_when_left(server.blocks, job):
            result = await run_sync(job.result, abandon_on_cancel=True)
        return list(result) if isinstance(result, tuple) else [result]

    async def outputs_with_progress(job: Any, token: str | int) -> Any:
        async with stopped_when_left(server.blocks, job):
            return await reporting(job, token)

    def parts(data: Sequence[Any], root_url: str) -> list[Any]:
        return plain([json.dumps(one) if _is_json(one) else one for one in data], root_url)

    server._execute_tool_without_progress = outputs
    server._execute_tool_with_progress = outputs_with_progress
    server.postprocess_output_data = parts


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
