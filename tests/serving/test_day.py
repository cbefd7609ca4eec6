"""A day's use squeezed into minutes: what may not grow, does not. REWEIGHT_LOAD_SECONDS, REWEIGHT_DAY_PICTURE set it."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from calling import QUICK, Caller, new_session
from server import Server

pytestmark = pytest.mark.full
SECONDS = float(os.environ.get("REWEIGHT_LOAD_SECONDS", "120"))
CLIENTS, SAMPLES = 32, 60
PROMPTS = [f"a {colour} {thing} in the {place}" for colour in ("red", "blue", "green") for thing in ("apple", "cat", "house")
           for place in ("snow", "rain", "desert")]  # fmt: skip


class Visitor:
    """Somebody who does one thing after another: by the page, by scripts, badly."""

    def __init__(self, server: Server, number: int, answers: Counter[str]) -> None:
        self.chance, self.answers = random.Random(number), answers
        self.caller = Caller(server, f"5.{number}.{number}.7", new_session())

    def act(self) -> None:
        """One thing."""
        acts = {
            self.looks: 30,
            self.asks: 30,
            self.probes: 6,
            self.leaves: 10,
            self.uploads: 8,
            self.errs: 10,
            self.reads: 6,
        }
        try:
            self.chance.choices(list(acts), list(acts.values()))[0]()
        except (httpx.HTTPError, LookupError, ValueError) as error:
            self.answers[type(error).__name__] += 1

    def looks(self) -> None:
        """Opens the page, draws, moves a slider, looks again."""
        self.count(self.caller.http.get(""))
        visit = self.caller.http.post("reweight/begin", json={"query": ""}).json()
        for _ in range(self.chance.randrange(1, 4)):
            settings = visit["settings"] | {
                "high": round(self.chance.uniform(1, 1.5), 2),
                "seed": self.chance.randrange(99),
            }
            body = {"session": visit["session"], "settings": settings, "given": {}}
            self.streamed("reweight/compare/draw", body)

    def asks(self) -> None:
        """A script's comparison."""
        self.listened("compare", (self.chance.choice(PROMPTS), *QUICK[1:5], self.chance.randrange(10**6), *QUICK[6:]))

    def probes(self) -> None:
        """A short probe."""
        self.listened("importance", ("paper-text", 1, self.chance.choice(PROMPTS), *QUICK[1:]))

    def leaves(self) -> None:
        """Asks, and goes."""
        answer = self.caller.join("importance", ("paper-code", 50, *QUICK))
        self.count(answer)
        if answer.status_code == 200 and self.chance.random() < 0.7:
            with self.caller.http.stream("GET", f"gradio_api/call/importance/{answer.json()['event_id']}"):
                time.sleep(self.chance.random())

    def uploads(self) -> None:
        """A file that nobody needs."""
        self.count(self.caller.http.post("gradio_api/upload", files={"files": ("a.png", b"\0" * 30_000)}))

    def errs(self) -> None:
        """Something that cannot be."""
        self.listened("reweight", ("", *QUICK[1:]))
        self.count(self.caller.http.get(f"gradio_api/file=/etc/{self.chance.random()}"))

    def reads(self) -> None:
        """The health, and the description of the API."""
        self.count(self.caller.http.get("healthz"))
        self.count(self.caller.http.get("gradio_api/info"))

    def listened(self, name: str, data: tuple[Any, ...]) -> None:
        answer = self.caller.join(name, data)
        self.count(answer)
        if answer.status_code == 200:
            self.answers[self.caller.listen(name, answer.json()["event_id"])[0]] += 1

    def streamed(self, path: str, body: dict[str, Any]) -> None:
        answer = self.caller.http.post(path, json=body)
        self.count(answer)
        if answer.status_code == 200:
            self.answers[json.loads(answer.text.splitlines()[-1])["kind"]] += 1

    def count(self, answer: httpx.Response) -> None:
        self.answers[str(answer.status_code)] += 1


def test_a_days_use_in_minutes(public: Server, caller: Caller, tmp_path: Path):
    process, answers, begun = psutil.Process(public.process.pid), Counter(), time.monotonic()
    visitors, over, rows = [Visitor(public, number, answers) for number in range(CLIENTS)], threading.Event(), []

    def use(visitor: Visitor) -> None:
        while not over.is_set():
            visitor.act()

    with ThreadPoolExecutor(CLIENTS) as pool:
        for visitor in visitors:
            pool.submit(use, visitor)
        while time.monotonic() - begun < SECONDS:
            over.wait(SECONDS / SAMPLES)
            disk = sum(path.stat().st_size for path in public.temporary.rglob("*") if path.is_file())
            health = caller.health()
            rows.append((
                time.monotonic() - begun, process.memory_info().rss / 1e6, process.num_threads(), process.num_fds(),
                disk / 1e6, health["visits"], health["ended"], sum(answers.values()), os.getloadavg()[0],
                health["remembered_megabytes"],
            ))  # fmt: skip
        over.set()
    picture = Path(os.environ.get("REWEIGHT_DAY_PICTURE", tmp_path / "day.png"))
    draw(rows, dict(answers), picture)
    settled, last = rows[len(rows) // 3 : len(rows) // 2], rows[-len(rows) // 6 :]
    change = [max(row[n] for row in last) - max(row[n] for row in settled) for n in range(len(rows[0]))]
    print(
        f"{SECONDS:.0f} s, {rows[-1][6]} jobs, {rows[-1][7]} answers {dict(answers)}; from the second third to the end "
        f"{change[1]:+.0f} MB, of which {change[9]:+.0f} are pictures remembered, {change[2]:+d} threads, {change[3]:+d} files, {change[4]:+.0f} MB of disk; load {rows[-1][8]:.0f}"
    )
    assert not [name for name in answers if name.startswith("5") and name != "503"]
    assert change[1] - change[9] < 40, "what is remembered has a limit, and the rest may not grow"
    assert change[2] < 24 and change[3] < 60 and rows[-1][4] < 560
    assert public.process.poll() is None


def draw(rows: list[tuple[float, ...]], answers: dict[str, int], file: Path) -> None:
    """The picture: what was held over time, and how much was done meanwhile."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True)
    minutes = [row[0] / 60 for row in rows]
    for (n, title), ax in zip(
        ((1, "memory (MB)"), (2, "threads"), (3, "open files, connections"), (4, "temporary files (MB)"),
         (5, "visits remembered"), (6, "jobs done")), axes.flat, strict=True,
    ):  # fmt: skip
        ax.plot(minutes, [row[n] for row in rows], color="#a8430a")
        ax.set_title(title, fontsize=10, loc="left")
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
    for ax in axes[1]:
        ax.set_xlabel("minutes")
    done = ", ".join(f"{count} {name}" for name, count in sorted(answers.items(), key=lambda item: -item[1])[:6])
    figure.suptitle(f"{CLIENTS} clients at once ({done})", fontsize=10)
    figure.savefig(file, dpi=110)
