"""The page's own streams: the real program in public mode."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx
from calling import Caller, until
from server import Server

PROBE = {"preset": "paper-code", "runs": 30}


def begun(caller: Caller) -> dict[str, Any]:
    """A new visit: its id and its first settings."""
    return caller.http.post("reweight/begin", json={"query": ""}).json()


def body(visit: dict[str, Any], given: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"session": visit["session"], "settings": visit["settings"] | changes, "given": given}


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_visitor_who_leaves_stops_the_work_and_frees_the_place(caller: Caller):
    visit = begun(caller)
    with caller.http.stream("POST", "reweight/importance/probe", json=body(visit, PROBE)) as stream:
        lines = stream.iter_lines()  # dropped, it would close the connection
        next(lines)
        until(lambda: caller.health()["running"])
        assert caller.health()["places_held"] == 1
    took = until(lambda: not caller.health()["running"] and caller.health()["places_held"] == 0)
    print(f"stopped {took:.2f} s after the visitor had left")


def test_a_flood_of_acts_leaves_room_for_another_visitor(public: Server, caller: Caller):
    visits = [begun(caller) for _ in range(60)]
    refused, done = [], threading.Event()

    def probe(number: int) -> None:
        visit = visits[number]
        with caller.http.stream("POST", "reweight/importance/probe", json=body(visit, PROBE, seed=number)) as stream:
            if stream.status_code == 429:
                stream.read()
                refused.append(json.loads(stream.text))
            else:
                lines = stream.iter_lines()  # dropped, it would close the connection
                next(lines)
                done.wait(60)

    threads = [threading.Thread(target=probe, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    other = Caller(public, "7.7.7.9")
    until(lambda: len(refused) >= 12)
    began = time.monotonic()
    answer = other.http.post("reweight/compare/draw", json=body(begun(other), {}, steps=1, last_step=1))
    took = time.monotonic() - began
    done.set()
    for thread in threads:
        thread.join(60)
    kinds = {event["kind"] for event in events(answer)}
    print(f"{len(refused)} of 60 refused; another visitor was drawn for within {took:.1f} s")
    assert "error" not in kinds and "done" in kinds
    assert len(refused) >= 12 and all(one["kind"] == "error" and "busy" in one["text"] for one in refused)
    until(lambda: not other.health()["running"] and other.health()["places_held"] == 0)


def test_large_and_odd_messages_get_a_sentence(caller: Caller):
    for content in (
        b"x" * 3_000_000,
        b"[]",
        b"nonsense",
        b'{"session": 5}',
        b'{"session":"x","settings":[],"given":{}}',
    ):
        for path in ("compare/draw", "nothing/x", "begin", "stop", "compare/nothing"):
            answer = caller.http.post(f"reweight/{path}", content=content, headers={"content-type": "application/json"})
            assert 400 <= answer.status_code < 500 or (path in ("begin", "stop") and answer.status_code == 200), (
                path,
                content[:9],
            )
            assert "Traceback" not in answer.text
