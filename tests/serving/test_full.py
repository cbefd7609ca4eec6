"""Load, soak and hostile input over minutes: `pytest -m full -n 0 tests/serving`. Each prints the figure that it reached."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from calling import LONG, QUICK, Caller, memory_of, new_session, until, whole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import Server, no_insides

JSON = {"content-type": "application/json"}
pytestmark = pytest.mark.full
SECONDS = float(os.environ.get("REWEIGHT_LOAD_SECONDS", "120"))


def address(number: int) -> str:
    return f"5.{number // 250}.{number % 250}.7"


def asked(seed: int, prompt: str = QUICK[0]) -> tuple[Any, ...]:
    return (prompt, *QUICK[1:5], seed, *QUICK[6:])


def picture(data: list[dict[str, Any]]) -> str:
    return hashlib.sha256(Path(data[0]["path"]).read_bytes()).hexdigest()


def test_load_of_32_clients(public: Server, caller: Caller):
    end, codes, ended, slow = time.monotonic() + SECONDS, Counter(), Counter(), []
    process = psutil.Process(public.process.pid)
    before = memory_of(public)

    def client(number: int) -> None:
        chance = random.Random(number)
        mine = Caller(public, address(number), new_session() if number % 8 < 5 else None)
        while time.monotonic() < end:
            kind = chance.choices(("compare", "importance", "upload", "status"), (60, 15, 15, 10))[0]
            if kind == "status":
                began = time.monotonic()
                codes[mine.http.get("healthz").status_code] += 1
                slow.append(time.monotonic() - began)
            elif kind == "upload":
                codes[mine.http.post("gradio_api/upload", files={"files": ("a.png", b"\0" * 50_000)}).status_code] += 1
            else:
                data = asked(chance.randrange(10**6))
                data = data if kind == "compare" else ("paper-text", 1, *data)
                answer = mine.join(kind, data)
                codes[answer.status_code] += 1
                if answer.status_code == 200:
                    ended[mine.listen(kind, answer.json()["event_id"])[0]] += 1

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(client, range(32)))
    grown, p95 = memory_of(public) - before, sorted(slow)[int(len(slow) * 0.95)]
    print(
        f"answers {dict(codes)}, jobs {dict(ended)}, status p95 {p95:.2f} s, {grown:+.0f} MB, {process.num_threads()} threads"
    )
    assert not [code for code in codes if code >= 500] and set(ended) == {"complete"}
    assert grown < 100


def test_throughput_with_24_clients_is_that_of_one(public: Server, caller: Caller):
    """By the clock, and by processor time, which does not depend on what else the machine does."""
    process = psutil.Process(public.process.pid)

    def rate(clients: int, each: int, start: int) -> tuple[float, float]:
        def client(number: int) -> None:
            mine = Caller(public, address(number + start), new_session())
            for n in range(each):
                assert mine.ask("compare", asked(10**6 * (number + start) + n))[0] == "complete"

        began, cpu = time.monotonic(), sum(process.cpu_times()[:2])
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(client, range(clients)))
        took, cpu = time.monotonic() - began, sum(process.cpu_times()[:2]) - cpu
        return clients * each / took, cpu / (clients * each)

    rate(1, 8, 900)
    one, many, again = rate(1, 12, 100), rate(24, 4, 200), rate(1, 12, 300)
    wall, cpu = 2 * many[0] / (one[0] + again[0]), (one[1] + again[1]) / 2 / many[1]
    print(
        f"one client {one[0]:.2f} and {again[0]:.2f} comparisons a second at {one[1]:.2f} and {again[1]:.2f} CPU seconds each, "
        f"24 clients {many[0]:.2f} at {many[1]:.2f}: {wall:.2f} of it by the clock, {cpu:.2f} by CPU time; load {os.getloadavg()[0]:.0f}"
    )
    assert max(wall, cpu) > 0.9


def test_a_long_picture_keeps_a_short_one_waiting_for_a_step(public: Server, caller: Caller):
    long = ("a photo of a fox in the snow", "toy", 0.9, 1.2, "importance", 7, 50, 3, "")

    def took(mine: Caller, name: str, data: tuple[Any, ...]) -> float:
        began = time.monotonic()
        assert mine.ask(name, data)[0] == "complete"
        return time.monotonic() - began

    other = Caller(public, "7.7.7.6", new_session())
    whole, alone = took(caller, "reweight", long), min(took(other, "reweight", asked(n)) for n in range(3))
    with ThreadPoolExecutor(1) as pool:
        drawing = pool.submit(took, caller, "reweight", (*long[:5], 8, *long[6:]))
        until(lambda: caller.health()["running"])
        beside = [took(other, "reweight", asked(n)) for n in range(10, 13) if not drawing.done()]
        total = drawing.result()
    print(
        f"a short picture takes {alone:.2f} s alone and {', '.join(f'{s:.2f}' for s in beside)} s beside a long one, which "
        f"takes {whole:.2f} s alone and {total:.2f} s beside them"
    )
    assert beside and beside[0] < alone + whole / 2


def test_visits_leave_nothing_behind(public: Server, caller: Caller):
    process = psutil.Process(public.process.pid)

    def visit(number: int) -> None:
        mine = Caller(public, address(number), new_session())
        mine.http.get("")
        visit = mine.http.post("reweight/begin", json={"query": ""}).json()["session"]
        mine.http.post("reweight/stop", json={"session": visit})
        with mine.http.stream("GET", f"gradio_api/heartbeat/{mine.session}") as stream:
            lines = stream.iter_lines()  # dropped, it would close the connection
            next(lines)
            if number % 5 == 0:
                mine.ask("reweight", asked(number))
        mine.http.close()

    figures = []
    for start in range(0, 1000, 200):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(visit, range(start, start + 200)))
        figures.append((round(memory_of(public)), process.num_threads(), process.num_fds()))
    print(f"MB, threads, files after each 200 visits: {figures}")
    assert figures[-1][0] - figures[1][0] < 40 and figures[-1][2] - figures[1][2] < 30


def test_pictures_do_not_depend_on_who_else_draws(public: Server, caller: Caller):
    seeds = range(40_000, 40_020)
    alone = {seed: picture(caller.ask("reweight", asked(seed))[1]) for seed in seeds}

    def client(number: int) -> int:
        mine = Caller(public, address(number), new_session())
        order = random.Random(number).sample(seeds, len(seeds))
        return sum(picture(mine.ask("reweight", asked(seed))[1]) == alone[seed] for seed in order)

    with ThreadPoolExecutor(8) as pool:
        same = sum(pool.map(client, range(8)))
    print(f"{same} of 160 the same")
    assert same == 160 and len(set(alone.values())) == 20


def test_nobody_sees_anothers_words(public: Server, caller: Caller):
    def client(number: int) -> tuple[str, str]:
        mine, marker = Caller(public, address(number), new_session()), f"marker{number:03d}x"
        event = mine.join("compare", asked(number, f"a cat {marker}")).json()["event_id"]
        said = mine.http.get(f"gradio_api/call/compare/{event}").text
        assert "event: complete" in said
        return marker, said + mine.http.get("config").text

    with ThreadPoolExecutor(10) as pool:
        seen = list(pool.map(client, range(20)))
    foreign = sum(other in text for marker, text in seen for other, _ in seen if other != marker)
    print(f"{foreign} foreign markers")
    assert foreign == 0


def test_a_hundred_who_leave(public: Server, caller: Caller):
    expected, took = picture(caller.ask("reweight", asked(77))[1]), []
    for number in range(100):
        mine = Caller(public, address(number), new_session())
        event = mine.join("importance", LONG).json()["event_id"]
        if number % 3:
            with mine.http.stream("GET", f"gradio_api/call/importance/{event}") as stream:
                if number % 3 == 2:
                    lines = stream.iter_lines()  # dropped, it would close the connection
                    next(lines)
            took.append(until(lambda: caller.health()["places_held"] == 0))
        mine.http.close()
        if number % 20 == 0:
            assert picture(caller.ask("reweight", asked(77))[1]) == expected
    print(f"stopped within {max(took):.1f} s, {sorted(took)[len(took) // 2]:.2f} s as a rule")
    until(lambda: caller.health()["places_held"] == 0)


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


def test_httpx_is_not_needed_to_be_polite(public: Server):
    """Connections that say nothing, or half of something, cost others nothing."""
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
