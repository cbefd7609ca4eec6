"""`python -m reweight bench ablate`: seconds until the picture without each block is there, in the engine and on the page."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .page_latency import opened, served

FILLED = """() => { const cells = [...document.querySelectorAll('.rw-without')];
  return cells.length > 0 && cells.every((cell) => !cell.disabled && cell.querySelector('img').complete); }"""
ACT = """async () => {
  const begun = performance.now(), cells = () => [...document.querySelectorAll('.rw-without')];
  const frame = () => new Promise(requestAnimationFrame);
  document.querySelector('#ablate').click();
  await frame();
  let first = null;
  for (; cells().some((cell) => cell.disabled); await frame()) first ??= cells().some((cell) => !cell.disabled) ? performance.now() - begun : null;
  await Promise.all(cells().map((cell) => cell.querySelector('img').decode()));
  await frame();
  return [first ?? performance.now() - begun, performance.now() - begun];
}"""


def command(
    model: Annotated[str, typer.Option(help="A model that the page serves.")] = "toy-turbo",
    rounds: Annotated[int, typer.Option(help="Repetitions; medians are reported.")] = 5,
    port: Annotated[int, typer.Option(help="The port of a running page; by default one is started.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Seconds for the pictures without each block, at all steps and at each: drawn by the engine, and painted by the page."""
    from rich.console import Console

    from ...engine.provenance import current_versions
    from ..stats.result_file import write_json

    found = drawn(model, rounds)
    with served(model, port) as url:
        found |= painted(url, model, rounds)
    for name, value in found.items():
        Console().print(f"{name:>18}  {value}", highlight=False)
    if out is not None:
        write_json(out, {"model": model, "rounds": rounds, "versions": current_versions()} | found)


def drawn(model: str, rounds: int) -> dict[str, Any]:
    """Medians of the engine's wall-clock and processor seconds, after one round to warm up."""
    import numpy as np

    from ...engine.engine import Engine
    from ...engine.request import validate
    from ...engine.resolving import EXAMPLES
    from ...probing.ablation import without
    from ...ui.screens.ablate import BATCH

    engine = Engine((model,))
    request = validate(engine.card(model), prompt=EXAMPLES[0], model=model)
    off, _ = without(request.steps, len(engine.blocks(model)))
    took = []
    for _ in range(rounds + 1):
        wall, processor = time.perf_counter(), time.process_time()
        for _ in engine.batches(request, np.ones(off.shape), off, together=BATCH):
            pass
        took.append((time.perf_counter() - wall, time.process_time() - processor))
    engine.close()
    wall, processor = (round(statistics.median(times), 3) for times in zip(*took[1:], strict=True))
    return {"pictures": len(off), "engine_s": wall, "engine_cpu_s": processor}


def painted(url: str, model: str, rounds: int) -> dict[str, Any]:
    """Medians of the seconds from the press on the button to the first and to the last painted picture."""
    with opened(f"{url}?model={model}") as page:
        page.get_by_role("tab", name="Ablate").click()
        page.wait_for_function("() => document.querySelector('.rw-without')")
        page.wait_for_timeout(500)
        if page.locator("#ablate").is_enabled() and not page.evaluate(FILLED):
            page.locator("#ablate").click()
        page.wait_for_function(FILLED)
        took = []
        for _ in range(rounds):
            page.wait_for_function("() => !document.querySelector('#ablate').disabled")
            took.append(page.evaluate(ACT))
    first, last = (round(statistics.median(times) / 1000, 3) for times in zip(*took, strict=True))
    return {"page_first_s": first, "page_last_s": last}
