"""Hostile input, and a lot of it: `pytest -m full -n 0 tests/serving`. Each test prints the figure that it reached."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from calling import QUICK, Caller, whole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import Server, no_insides

JSON = {"content-type": "application/json"}
pytestmark = pytest.mark.full
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.sampled_from(
        ["<img src=x onerror=alert(1)>", "../../etc/passwd", "toy", "flat", "\x00", "\u202e", "http://127.0.0.1:9/", "x" * 5000]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6,
)  # fmt: skip


def test_any_values_at_any_endpoint(public: Server, caller: Caller):
    counts: Counter[str] = Counter()
    good = {"compare": QUICK, "reweight": QUICK, "importance": ("paper-text", 1, *QUICK)}

    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(good)), st.integers(0, 10), VALUES)
    def case(name: str, place: int, value: Any) -> None:
        data = whole(name, good[name])
        data[place % len(data)] = value
        answer = caller.http.post(f"gradio_api/call/{name}", content=_json({"data": data}), headers=JSON)
        said = answer.text
        if answer.status_code == 200:
            kind, message = caller.listen(name, answer.json()["event_id"])
            said = str(message.get("error")) if isinstance(message, dict) else ""
            counts[kind] += 1
        else:
            counts[str(answer.status_code)] += 1
        assert answer.status_code < 500 and no_insides(said) and "<img" not in said

    case()
    print(dict(counts))


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode("utf-8", "surrogatepass")


class _Canary(BaseHTTPRequestHandler):
    hits = 0

    def do_GET(self) -> None:
        type(self).hits += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        return


def test_no_path_and_no_address_leads_out(public: Server, caller: Caller):
    canary = ThreadingHTTPServer(("127.0.0.1", 0), _Canary)
    threading.Thread(target=canary.serve_forever, daemon=True).start()
    port = canary.server_port
    ups = ["../" * n + "etc/passwd" for n in range(1, 9)] + ["..%2f" * n + "etc%2fpasswd" for n in range(1, 9)]
    ups += ["/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "/proc/self/environ", "....//....//etc/passwd", "..\\..\\etc\\passwd",
            "/etc/passwd%00.png", "~/.ssh/id_rsa", "file:///etc/passwd", "/app/app.py"]  # fmt: skip
    hosts = [f"127.0.0.1:{port}", f"127.1:{port}", f"localhost:{port}", f"[::1]:{port}", f"2130706433:{port}", f"0x7f.1:{port}",
             f"0:{port}", f"127.0.0.1.nip.io:{port}", "169.254.169.254"]  # fmt: skip
    leaked = tried = 0
    root = base64.b64encode(b"root:x:0")
    for up in ups:
        for prefix in (
            "gradio_api/file=",
            "gradio_api/file/",
            "file=",
            "static/",
            "assets/",
            "svelte/",
            "gradio_api/custom_component/",
        ):
            with socket.create_connection(("127.0.0.1", public.port), 20) as raw:
                raw.sendall(f"GET /{prefix}{up} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                said = b"".join(iter(lambda raw=raw: raw.recv(65536), b""))
            tried += 1
            leaked += b"root:x:0" in said or root in said or b" 500 " in said[:40]
    for host in hosts:
        for path in (
            f"gradio_api/file=http://{host}/",
            f"gradio_api/proxy=http://{host}/",
            f"gradio_api/file=https://{host}/",
        ):
            tried += 1
            leaked += caller.http.get(path).status_code not in (400, 403, 404)
        for value in (f"http://{host}/x.png", {"path": f"http://{host}/x.png", "meta": {"_type": "gradio.FileData"}},
                      {"url": f"http://{host}/x.png", "path": "x", "meta": {"_type": "gradio.FileData"}}):  # fmt: skip
            tried += 1
            answer = caller.join("reweight", (value, *QUICK[1:]))
            if answer.status_code == 200:
                caller.listen("reweight", answer.json()["event_id"])
    canary.shutdown()
    print(f"{tried} tries, {leaked} leaks, {_Canary.hits} hits")
    assert leaked == 0 and _Canary.hits == 0


def test_connections_that_say_nothing_cost_others_nothing(public: Server):
    held = [socket.create_connection(("127.0.0.1", public.port), 20) for _ in range(200)]
    for number, raw in enumerate(held):
        raw.sendall(
            b"POST /gradio_api/call/compare HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
            if number % 2
            else b"GET / HT"
        )
    began = time.monotonic()
    assert httpx.get(f"{public.url}healthz", trust_env=False, timeout=60).status_code == 200
    print(f"answered within {time.monotonic() - began:.2f} s beside 200 silent connections")
    for raw in held:
        raw.close()
