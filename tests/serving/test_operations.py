"""Starting, serving, logging and stopping: the real program."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from calling import AROUND, LONG, QUICK, Caller, new_session, until
from server import ROOT, Server, no_insides, serving

TOLD = 5.0  # seconds within which it ends


@pytest.mark.parametrize(
    "path", ["?page=nothing", "config?page=nothing", "gradio_api/file=%00", "gradio_api/file=/etc/passwd", "nothing/%00",
             "gradio_api/call/nothing/x", "gradio_api/info?page=%00", "gradio_api/queue/data?session_hash=nothing",
             "gradio_api/queue/data", "?deep_link=../../etc", "gradio_api/heartbeat/", "assets/..%2f..%2fetc/passwd"],
)  # fmt: skip
def test_unknown_names_are_not_a_fault_of_the_server(caller: Caller, path: str):
    answer = caller.http.get(path, timeout=30)
    assert answer.status_code < 500 and no_insides(answer.text.partition("window.gradio_config")[0])


def test_unknown_endpoints_and_components_are_not_a_fault_of_the_server(caller: Caller, public: Server):
    before = len(public.said())
    for body in ({"data": [], "fn_index": 10**6, "session_hash": "abc"}, {"data": [], "fn_index": 0, "session_hash": "../x"},
                 {"data": [], "component_id": 10**6, "session_hash": "abc", "fn_name": "x"}, {"event_id": "x"}):  # fmt: skip
        for path in (
            "queue/join",
            "component_server",
            "call/nothing",
            "call/v2/nothing",
            "cancel",
            "reset",
            "run/nothing",
        ):
            answer = caller.post(path, **body)
            assert answer.status_code < 500 and no_insides(answer.text), (path, body, answer.text)
    assert len(public.said()) - before < 20_000


def test_health_says_what_waits_and_when_the_last_job_ended(caller: Caller):
    caller.ask("reweight", QUICK)
    health = caller.health()
    assert health["status"] == "ok" and health["waiting"] == 0 and health["ended"] > 0
    assert 0 <= health["last_ended_seconds"] < 60 and health["places"] > health["places_held"]


def test_the_log_is_json_lines_without_what_was_typed(caller: Caller, public: Server):
    secret = "an unmistakable zebra"
    caller.ask("reweight", (secret, *QUICK[1:]))
    caller.ask("reweight", (f"{secret}\x00", *QUICK[1:]))
    caller.http.get(f"?prompt={secret}")
    caller.post("call/nothing", data=[secret])
    lines = [line for line in public.said().splitlines() if not line.startswith("Open http")]
    assert lines and all({"time", "level", "text"} <= set(json.loads(line)) for line in lines)
    assert "zebra" not in public.said() and caller.address not in public.said()


def test_pictures_are_where_they_are_swept(caller: Caller, public: Server):
    kind, data = caller.ask("reweight", QUICK)
    path = Path(data[0]["path"])
    assert (
        kind == "complete" and path.is_relative_to(public.temporary / "gradio") and path.parent.parent.name == "files"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="a new process namespace needs root")
def test_the_first_process_of_a_container_ends_too(tmp_path: Path):
    start = [sys.executable, "-c", (
        "import subprocess, sys, signal; from reweight.serving.server import Stop; stop = Stop(); stop.await_it();"
        "sys.stdout.write('ready\\n'); sys.stdout.flush(); stop.wait()"
    )]  # fmt: skip
    try:
        process = subprocess.Popen(
            ["unshare", "--fork", "--pid", "--mount-proc", *start],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        ready = process.stdout.readline()
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if ready != "ready\n":
        process.wait(30)
        pytest.skip("no process namespaces here")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    os.kill(int(children[0]), signal.SIGTERM)
    assert process.wait(30) == 0


def test_a_proxy_without_an_exception_for_this_machine_does_not_end_it(public: Server):
    environment = Path(f"/proc/{public.process.pid}/environ")
    assert not environment.exists() or b"http_proxy=http://127.0.0.1:9" in environment.read_bytes()
    assert httpx.get(f"{public.url}healthz", trust_env=False).json()["status"] == "ok"


def test_a_full_disk_is_a_sentence_and_serving_goes_on(public: Server, caller: Caller):
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits of another process can be set on Linux only")
    assert caller.ask("reweight", QUICK)[0] == "complete"
    _, hard = resource.prlimit(public.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        kind, error = caller.ask("reweight", ("the red apple", *QUICK[1:]))
        assert kind == "error" and "disk is full" in error["error"]
    finally:
        resource.prlimit(public.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    assert caller.ask("reweight", ("the red apple", *QUICK[1:]))[0] == "complete"
    pictures = [path for path in (public.temporary / "gradio").rglob("*.png") if path.stat().st_size == 0]
    print(f"{len(pictures)} empty pictures were left")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_gradios_own_settings_open_nothing(public: Server):
    assert httpx.get(f"{public.url}gradio_api/file=/etc/hostname", trust_env=False).status_code in (403, 404)


@pytest.mark.thorough
def test_without_a_proxy_no_forwarded_address_is_believed_and_ipv6_serves(tmp_path: Path):
    address, host = ("::1", "[::1]") if has_ipv6() else ("127.0.0.1", "127.0.0.1")
    with serving(None, tmp_path, "--model", "toy-turbo", "--host", address, host=host, changes=AROUND) as server:
        assert httpx.get(f"{server.url}healthz", trust_env=False).json()["status"] == "ok"
        for forwarded in ("8.8.8.8", "9.9.9.9"):  # one session's name serves one address
            assert Caller(server, forwarded, "given").ask("reweight", QUICK)[0] == "complete"


DRAWING = ("a photo of a fox in the snow", "toy", 0.9, 1.2, "importance", 7, 50, 3, "")


@pytest.mark.parametrize(
    ("signalled", "name", "asked"),
    [
        (signal.SIGTERM, "importance", LONG),
        pytest.param(signal.SIGINT, "importance", LONG, marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, "compare", DRAWING, marks=pytest.mark.thorough),
    ],
)
def test_it_ends_within_seconds_also_while_it_works(public: Server, signalled, name, asked):
    caller = Caller(public, session=new_session())
    event = caller.join(name, asked).json()["event_id"]
    with caller.http.stream("GET", f"gradio_api/call/{name}/{event}"):
        until(lambda: caller.health()["running"])
        public.process.send_signal(signalled)
        began = time.monotonic()
        assert public.process.wait(60) == 0
        took = time.monotonic() - began
    print(f"{signalled.name} during {name}: {took:.2f} s")
    assert took < TOLD
    assert not list((public.temporary / "gradio").glob("run-*"))
