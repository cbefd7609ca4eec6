"""The server's limits and headers: paths, sizes, places, times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .places import EACH, STATELESS, TOTAL
from .sessions import IDLE, LINGER, MOST

API, LIVE = "/gradio_api", "/reweight"
OPEN = re.compile(  # used by the page and clients; Gradio's other routes, such as passing recordings to ffmpeg, are closed
    rf"{API}/(?:(?:info|openapi\.json|app_id|startup-events|theme\.css|user|login_check|upload|cancel|reset|component_server"
    r"|queue/join|queue/data)/?|(?:call|heartbeat)/.+|file=(?!\w+:).+|file/.+)"
)
CLOSED = re.compile(r"/(?:monitoring|svelte/|login|logout)")
MCP = re.compile(rf"{API}/mcp(?:/http)?/?")  # used by MCP clients, if allowed
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "private",
    "x-accel-buffering": "no",  # else proxies such as nginx keep streams back until they end
    "content-security-policy": "; ".join((
        "default-src 'self'", "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:", "media-src 'self' data: blob:",
        "font-src 'self' data:", "connect-src 'self' data: blob:", "worker-src 'self' blob:", "object-src 'none'",
        "base-uri 'self'", "form-action 'self'",
        "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space",
    )),
}  # fmt: skip


def served(path: str) -> bool:
    """Whether a path is used by the page or a client."""
    gradio = path == API or path.startswith(f"{API}/")
    return OPEN.fullmatch(path) is not None if gradio else CLOSED.match(path) is None


@dataclass(frozen=True)
class Rules:
    """The server's limits.

    hosts: accepted Host names, None for any. behind_proxy: whether to trust a proxy's headers about the caller.
    json_bytes, upload_bytes: largest bodies. hourly_bytes: uploads per address and hour. mcp: whether MCP clients may
    call the public endpoints. grace: seconds that a job continues without a listener. body_seconds: time for a body to
    arrive. taken_seconds: time for the client to read a part of an answer. streams_each: open pages and streams per
    address; streams: of all addresses. pages_each: pages that are being made for an address at a time.
    """

    hosts: frozenset[str] | None = None
    behind_proxy: bool = False
    mcp: bool = False
    json_bytes: int = 1_000_000
    live_bytes: int = 2_000_000
    upload_bytes: int = 4_500_000
    hourly_bytes: float = 40e6
    grace: float = 8.0
    body_seconds: float = 30.0
    taken_seconds: float = 30.0
    streams_each: int = 160
    streams: int = 640
    pages_each: int = 100
    places: int = TOTAL
    each: int = EACH
    stateless: int = STATELESS
    linger: float = LINGER
    idle: float = IDLE
    sessions: int = MOST
    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)
