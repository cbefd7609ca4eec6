"""The server's messages: plain answers, and messages in an event stream."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

ENDED = re.compile(rb'"event_id":"([0-9a-f]{32})"')
FAILED = "Something went wrong on the server, and it has been noted: try again, or reload the page."
FULL = "The server's disk is full, so the result cannot be shown: try again later, or tell whoever runs this demo."


LOST = "This request has ended, or was stopped because nobody listened: ask again."


def lost_event() -> bytes:
    """LOST as a message of an event stream."""
    return b"event: error\ndata: " + orjson.dumps({"error": LOST}) + b"\n\n"


class Refused(Exception):
    """A refused request, answered by a status and a sentence. drain: read the rest of its body first."""

    def __init__(self, status: int, sentence: str, drain: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.drain = status, sentence, drain


def answer(status: int, sentence: str, **headers: str) -> list[dict[str, Any]]:
    """The ASGI messages of a JSON answer with one sentence."""
    body = orjson.dumps({"detail": sentence, "error": sentence, "kind": "error", "text": sentence})
    named = {"content-type": "application/json", "content-length": str(len(body))} | headers
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    return [
        {"type": "http.response.start", "status": status, "headers": pairs},
        {"type": "http.response.body", "body": body, "more_body": False},
    ]


def ended(chunk: bytes) -> list[str]:
    """The events that have ended according to a chunk of a stream."""
    return [match.decode() for match in ENDED.findall(chunk)] if b'"process_completed"' in chunk else []


def told(chunk: bytes, instead: Callable[[], str]) -> bytes:
    """The chunk with a sentence for errors without text, and with markup in errors and notices removed.

    Gradio's page renders these as HTML, and they may quote a stranger's file.
    """
    if chunk.startswith(b"event: error\ndata: "):
        return _mended(chunk, b"event: error\ndata: ", instead)
    if not chunk.startswith(b"data: "):
        return chunk
    failed = b'"process_completed"' in chunk and b'"success":false' in chunk
    return _mended(chunk, b"data: ", instead) if failed or b'"msg":"log"' in chunk else chunk


def _mended(chunk: bytes, head: bytes, instead: Callable[[], str]) -> bytes:
    try:
        message = orjson.loads(chunk[len(head) :])
    except ValueError:
        return chunk
    if not isinstance(message, dict):
        return chunk
    for part in (message, message.get("output")):
        if not isinstance(part, dict):
            continue
        if "error" in part and not part["error"]:
            part |= {"error": instead(), "visible": True}
        for key in ("error", "log", "title"):
            if isinstance(part.get(key), str):
                part[key] = part[key].replace("<", "&lt;").replace(">", "&gt;")
    return head + orjson.dumps(message) + b"\n\n"
