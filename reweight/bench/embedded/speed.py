"""Speed of the embedded model on this machine, and the size of the shipped files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...engine.engine import Engine, Picture
from ...engine.request import Request, validate
from ...engine.resolving import EXAMPLES, Chosen
from ...models.registry import ASSETS
from ..stats.figure import Figure
from ..stats.intervals import bootstrap

PICTURE_GOAL, METHODS_GOAL, LOAD_GOAL = 0.080, 0.260, 1.5  # seconds on two cores; the first two for a few-step model
MEGABYTES = {"largest file": 10.0, "all assets": 35.0}


def timing(model: str, *, hurried: bool, repeats: int = 15) -> list[Figure]:
    """Seconds on this machine under its current load: medians with bootstrap intervals over the repetitions.

    hurried: whether it is a few-step model, which has goals at two steps.
    """

    def figure(name: str, seconds: list[float], goal: float | None) -> Figure:
        rows = np.array(seconds)
        return Figure(name, float(np.median(rows)), *bootstrap(np.median, rows), unit="s", goal=goal, less=True)

    loads = [_loading(model) for _ in range(3)]
    engine = Engine((model,), device="cpu")
    try:
        card = engine.card(model)
        drawn, whole = [], []
        for seed in range(repeats):
            request = validate(card, prompt=EXAMPLES[0], model=model, steps=2, seed=seed)
            chosen = engine.chosen(request)
            pictures: list[Picture] = []
            whole.append(_seconds(lambda r=request, c=chosen, p=pictures: p.extend(_pictures(engine, r, c))))
            drawn.append(pictures[0].seconds)
    finally:
        engine.close()
    return [
        figure("a picture at 2 steps", drawn[1:], PICTURE_GOAL if hurried else None),
        figure("the three methods at 2 steps", whole[1:], METHODS_GOAL if hurried else None),
        figure("loading", loads, LOAD_GOAL),
    ]


def _loading(model: str) -> float:
    engine = Engine((model,), device="cpu")
    try:
        return _seconds(lambda: engine.opened(model))
    finally:
        engine.close()


def sizes(model: str) -> list[Figure]:
    """Megabytes of the shipped files."""
    files = [path for path in (ASSETS / model).rglob("*") if path.is_file()]
    every = sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) / 1e6
    measured = {"largest file": max(path.stat().st_size for path in files) / 1e6, "all assets": every}
    return [
        Figure(name, value, value, value, unit="MB", goal=MEGABYTES[name], less=True)
        for name, value in measured.items()
    ]


def _pictures(engine: Engine, request: Request, chosen: Chosen) -> Iterator[Picture]:
    return (event for event in engine.compare(request, chosen) if isinstance(event, Picture))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
