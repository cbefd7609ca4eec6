"""Many callers, and callers who go: the real program in public mode."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from calling import LONG, QUICK, Caller, memory_of, new_session, until
from server import Server

SECONDS = 60  # for what takes a few on a quiet machine


@pytest.mark.thorough
def test_eighty_requests_without_a_session_do_not_close_it(public: Server, caller: Caller):
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda n: caller.join("importance", LONG).status_code, range(80)))
    assert codes.count(200) <= 4 and set(codes) == {200, 429}
    other = Caller(public, "7.7.7.7", new_session())
    began = time.monotonic()
    answer = other.join("reweight", QUICK)
    admitted = time.monotonic() - began
    assert answer.status_code == 200
    kind, data = other.listen("reweight", answer.json()["event_id"])
    served = time.monotonic() - began
    assert kind == "complete" and data[0]["path"]
    stopped = until(lambda: other.health()["places_held"] == 0, SECONDS)
    idle = until(lambda: not other.health()["running"], SECONDS)
    print(
        f"admitted after {admitted:.2f} s, served after {served:.2f} s, the flood stopped {stopped + idle:.1f} s later"
    )


@pytest.mark.thorough
def test_names_made_up_at_one_address_do_not_keep_another_out(public: Server, caller: Caller):
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda n: caller.join("importance", LONG, new_session()).status_code, range(70)))
    assert codes.count(200) <= 48 and set(codes) == {200, 429}
    other = Caller(public, "7.7.7.8", new_session())
    began = time.monotonic()
    kind, _ = other.ask("reweight", QUICK)
    print(f"{codes.count(200)} of 70 were let in; another visitor had a picture after {time.monotonic() - began:.1f} s")
    assert kind == "complete"
    until(lambda: other.health()["places_held"] == 0, SECONDS)
    until(lambda: not other.health()["running"], SECONDS)


def test_who_leaves_while_it_draws_stops_the_work(public: Server, caller: Caller):
    event = caller.join("importance", LONG).json()["event_id"]
    with caller.http.stream("GET", f"gradio_api/call/importance/{event}"):
        until(lambda: caller.health()["running"], SECONDS)
    took = until(lambda: not caller.health()["running"], SECONDS)
    assert caller.health()["places_held"] == 0
    print(f"stopped after {took:.2f} s")


def test_refused_calls_leave_no_visit_behind(public: Server, caller: Caller):
    bad = ("", *QUICK[1:])
    caller.ask("reweight", bad)
    before, visits = memory_of(public), caller.health()["visits"]
    for _ in range(60):
        kind, error = caller.ask("reweight", bad)
        assert kind == "error" and "prompt is empty" in error["error"]
    grown = memory_of(public) - before
    print(f"{grown * 1000 / 60:.0f} kB for each refused call")
    assert caller.health()["visits"] <= visits and grown < 8
