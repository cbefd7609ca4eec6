"""What Gradio's MCP server answers, mended: several outputs are several parts, and JSON is JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from anyio.to_thread import run_sync


def mend(server: Any) -> None:
    """Mend a `GradioMCPServer` before it serves.

    Without a progress token it takes an endpoint's outputs for one, so that a client gets a description of a file in
    the place of the picture; and it writes a JSON output as Python would.
    """
    plain = server.postprocess_output_data

    async def outputs(job: Any) -> list[Any]:
        result = await run_sync(job.result)
        return list(result) if isinstance(result, tuple) else [result]

    def parts(data: Sequence[Any], root_url: str) -> list[Any]:
        return plain([json.dumps(one) if _is_json(one) else one for one in data], root_url)

    server._execute_tool_without_progress = outputs
    server.postprocess_output_data = parts


def _is_json(output: Any) -> bool:
    is_file = isinstance(output, dict) and "meta" in output
    return isinstance(output, (dict, list)) and not is_file
