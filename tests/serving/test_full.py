"""Load over minutes: `pytest -m full -n 0 tests/serving`. Each test prints the figure that it reached."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from calling import QUICK, Caller, address, asked, memory_of, new_session, until
from server import Server

pytestmark = pytest.mark.full
SECONDS = float(os.environ.get("REWEIGHT_LOAD_SECONDS", "120"))


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
    assert grown < 100 and p95 < 0.5


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
        remembered = caller.health()["remembered_megabytes"]
        figures.append((round(memory_of(public) - remembered), process.num_threads(), process.num_fds()))
    print(f"MB beside pictures remembered, threads, files after each 200 visits: {figures}")
    assert figures[-1][0] - figures[1][0] < 40 and figures[-1][2] - figures[1][2] < 30


def test_five_hundred_pictures_and_twenty_changes_of_model_leave_nothing_behind(public: Server, caller: Caller):
    """Beside what is remembered of them, which has a limit of its own."""
    process = psutil.Process(public.process.pid)

    def held() -> tuple[float, int, int]:
        remembered = caller.health()["remembered_megabytes"]
        return memory_of(public) - remembered, process.num_threads(), process.num_fds()

    def draw(number: int) -> None:
        model = "toy" if number % 25 == 24 else "toy-turbo"
        assert caller.ask("reweight", (QUICK[0], model, *QUICK[2:5], 50_000 + number, *QUICK[6:]))[0] == "complete"

    figures = []
    for start in range(0, 600, 100):  # the first hundred are the warm-up
        for number in range(start, start + 100):
            draw(number)
        figures.append(tuple(round(one) for one in held()))
    change = [last - first for first, last in zip(figures[0], figures[-1], strict=True)]
    print(f"MB beside pictures remembered, threads, files after each 100 pictures: {figures}")
    assert change[0] < 20 and abs(change[1]) < 8 and abs(change[2]) < 8
