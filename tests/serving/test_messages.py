"""What callers are told."""

from __future__ import annotations

import json

import pytest

from reweight.serving.messages import ended, told

EVENT = "0123456789abcdef" * 2


def completed(output: dict, success: bool = False) -> bytes:
    message = {"msg": "process_completed", "event_id": EVENT, "output": output, "success": success, "title": "Error"}
    return b"data: " + json.dumps(message, separators=(",", ":")).encode() + b"\n\n"


def read(chunk: bytes) -> dict:
    return json.loads(chunk.partition(b"data: ")[2])


@pytest.mark.parametrize(
    "error", ["<img src=//evil.example/x onerror=alert(1)>", "<style>*{display:none}</style>", "a & b < c"]
)
def test_an_error_and_a_notice_carry_no_markup_and_are_escaped_once(error):
    once = told(completed({"error": error}), str)
    assert "<" not in read(once)["output"]["error"] and told(once, str) == once
    notice = b'data: {"msg":"log","log":"<b>","event_id":null}\n\n'
    assert read(told(notice, str))["log"] == "&lt;b&gt;"
    script = b'event: error\ndata: {"error": "<b>"}\n\n'
    assert read(told(script, str))["error"] == "&lt;b&gt;" and told(script, str).startswith(b"event: error\ndata: ")


def test_an_error_without_a_text_gets_a_sentence():
    for chunk in (completed({"error": None}), b'event: error\ndata: {"error": null}\n\n'):
        message = read(told(chunk, lambda: "The disk is full."))
        assert (message.get("output") or message)["error"] == "The disk is full."


def test_everything_else_passes_as_it_is():
    for chunk in (
        completed({"data": ["<b>"]}, True),
        b'data: {"msg":"heartbeat"}\n\n',
        b"data: nonsense",
        b"\x89PNG",
        b"",
    ):
        assert told(chunk, str) == chunk


def test_the_end_of_an_event_is_seen():
    assert ended(completed({"error": None})) == [EVENT]
    assert ended(completed({"data": []}, True)) == [EVENT]
    assert ended(b'data: {"msg":"process_generating","event_id":"' + EVENT.encode() + b'"}\n\n') == []
