"""`python -m reweight bench live`: the time from a slider event to the painted picture, in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run")
SPIN = "while True: pass"
MOVE = """
async (value) => {
  const column = reweight.settings.columns.find((one) => one.split('+').includes('reweighted'));
  const image = document.querySelector(`figure[data-column="${column}"] img`);
  const slider = document.querySelector('#low input[type=range]');
  const channel = new MessageChannel();
  const changed = new Promise((done) => new MutationObserver(done).observe(image, { attributeFilter: ['src'] }));
  const painted = async () => { // a message from within a frame's callback arrives after that frame was painted
    await image.decode();
    await new Promise(requestAnimationFrame);
    await new Promise((done) => { channel.port1.onmessage = done; channel.port2.postMessage(0); });
  };
  const begun = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  await Promise.race([changed, new Promise((_, fail) => setTimeout(() => fail(new Error('no picture')), 60000))]);
  await painted();
  const first = performance.now() - begun;
  if (!reweight.coarse?.()) return [first, first];
  while (reweight.coarse()) await new Promise(requestAnimationFrame);
  await painted();
  return [first, performance.now() - begun];
}
"""


def command(
    model: Annotated[str, typer.Option(help="A model that the page serves.")] = "toy-turbo",
    moves: Annotated[int, typer.Option(help="Moves of the slider, each to a new value.")] = 14,
    busy: Annotated[int, typer.Option(help="Processes that each keep a core busy meanwhile.")] = 0,
    port: Annotated[int, typer.Option(help="The port of a running page; by default one is started.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A JSON file to which the figures are added.")] = None,
) -> None:
    """Median milliseconds from a slider event to the painted picture, for a new value and for a cached one."""
    from rich.console import Console

    from ..stats.result_file import write_text

    with served(model, port) as url, spinning(busy):
        found = measure(url, model, moves)
    found |= {"model": model, "busy": busy, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    if busy == 0:
        found |= bare(model)
    console = Console()
    for name, value in found.items():
        console.print(f"{name:>18}  {value}", highlight=False)
    if out is not None:
        told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps([*told, found], indent=1) + "\n")


def measure(url: str, model: str, moves: int) -> dict[str, Any]:
    """Medians over the moves, in ms."""
    with opened(f"{url}?model={model}") as page:
        page.wait_for_function(
            "() => { const all = [...document.querySelectorAll('#pictures img')]; return all.length > 2 && all.every((one) => one.naturalWidth)"
            " && !document.querySelector('.rw-stale') && !document.querySelector('#status .rw-bar'); }"
        )
        values = [round(0.85 - 0.025 * i, 3) for i in range(moves)]
        fresh, again = [], []
        for times in (fresh, again):
            for value in values:
                times.append(page.evaluate(MOVE, value))
                page.wait_for_timeout(150)
    return {
        "new_ms": round(statistics.median(whole for _, whole in fresh)),
        "first_picture_ms": round(statistics.median(first for first, _ in fresh)),
        "cached_ms": round(statistics.median(whole for _, whole in again)),
        "moves": moves,
    }


def bare(model: str) -> dict[str, Any]:
    """Milliseconds of the server for a picture, and of a plain pipeline call; medians of 9."""
    from ...engine.engine import Engine
    from ...engine.request import validate

    engine = Engine((model,))
    loaded = engine.opened(model)
    request = validate(loaded.card, prompt="a photo of a boat on a beach", model=model)
    chosen = engine.chosen(request)
    ours, plain = [], []
    for i in range(10):
        low = validate(loaded.card, prompt=request.prompt, model=model, low=0.5 + 0.01 * i)
        start = time.perf_counter()
        list(engine.compare(low, chosen, ("reweighted",)))
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        loaded.pipe(
            request.prompt, num_inference_steps=request.steps, guidance_scale=request.guidance,
            negative_prompt=request.negative_prompt or None, height=request.size, width=request.size,
        )  # fmt: skip
        plain.append(time.perf_counter() - start)
    engine.close()
    server, pipeline = (1000 * statistics.median(times[1:]) for times in (ours, plain))
    return {"server_ms": round(server), "pipeline_ms": round(pipeline), "server_share": round(server / pipeline, 2)}


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """A page of its own Chromium, of 1280 x 800, at an address."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(180_000)
        page.goto(url)
        yield page
        browser.close()


@contextmanager
def served(model: str, port: int) -> Iterator[str]:
    """The page's address; without a port, the program is started first."""
    if port:
        yield f"http://127.0.0.1:{port}/"
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = (sys.executable, "-m", "reweight", "demo") if not Path("app.py").is_file() else (sys.executable, "app.py")
    process = subprocess.Popen(
        [*program, "--model", model, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(600):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Processes that each keep a core busy."""
    processes = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
