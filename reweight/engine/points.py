"""Sweeps: pictures that differ only in weights, seed or prompt are drawn in batches, all others one by one."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ..methods.base import Drawing
from ..methods.columns import parts
from ..models.loading import LoadedModel
from ..models.registry import ModelCard
from ..patching.blocks import TargetBlock
from .axes import Axis, changed
from .drawing import check_blocks, draw, drawing_of, overlong, picture_of, stepping, with_tables
from .events import Batch, Notice
from .job import Job
from .pictures import Made, Pictures
from .request import REWEIGHTED, Request, RequestError
from .resolving import Chosen

MOST_CELLS = 100
MOST_PUBLIC = 64  # cells of a sweep on a public page
PIXELS = {"cpu": 8 * 128**2, "cuda": 8 * 512**2}  # of a batch


@dataclass(frozen=True)
class Point:
    """A requested picture: a request, a column, and the scores behind its weights. place: any value of the caller's."""

    place: Any
    request: Request
    column: str
    chosen: Chosen


@dataclass(frozen=True)
class Cell:
    """A point and its picture. together: it was drawn in a batch, so its last bits may differ from the single drawing."""

    point: Point
    made: Made
    drawing: Drawing
    together: bool


@dataclass(frozen=True)
class Done:
    """Progress: `step` of the `steps` denoising steps of all pictures that are not cached."""

    step: int
    steps: int


def grid(
    request: Request,
    card: ModelCard,
    blocks: Sequence[TargetBlock],
    across: Axis,
    down: Axis | None,
    *,
    public: bool = False,
) -> dict[tuple[int, int], tuple[Request, str] | str]:
    """The request and column of each (row, column) of a sweep, or a sentence that says why it cannot be drawn.

    RequestError for more than MOST_CELLS cells (public: MOST_PUBLIC), or if both axes are the same.
    """
    n = len(across.values) * (len(down.values) if down else 1)
    if public and n > MOST_PUBLIC:
        raise RequestError(
            f"A sweep on this public page has at most {MOST_PUBLIC} pictures, not {n}: give fewer values, or run the demo on "
            "a machine of your own."
        )
    if n > MOST_CELLS:
        raise RequestError(f"A sweep has at most {MOST_CELLS} pictures, not {n}: give fewer values.")
    if down and down.name == across.name:
        raise RequestError("Both axes are the same setting: choose another for one of them.")
    found: dict[tuple[int, int], tuple[Request, str] | str] = {}
    for (i, y), (j, x) in product(enumerate(down.values if down else (None,)), enumerate(across.values)):
        changes = {across.name: x} | ({down.name: y} if down and y is not None else {})
        try:
            found[i, j] = changed(request, card, changes, blocks)
        except RequestError as error:
            found[i, j] = str(error)
    return found


def cost(loaded: LoadedModel, points: Iterable[Point], pictures: Pictures) -> tuple[int, int]:
    """How many denoising steps a sweep takes, and how many of its pictures are cached."""
    steps, there = 0, 0
    seen = set()
    for point in points:
        key = Pictures.key(loaded, point.request, point.column, drawing_of(point.request, point.chosen, loaded))
        if key in seen or pictures.found(key):
            there += key not in seen
        else:
            steps += point.request.steps
        seen.add(key)
    return steps, there


def draw_points(
    loaded: LoadedModel, points: Sequence[Point], pictures: Pictures, job: Job
) -> Generator[None, None, None]:
    """Emit a `Cell` for each point, and `Done` in between; yields where other jobs may have a turn.

    Cached pictures come first, then a single picture, so that the first result is quick, then batches.
    """
    for text in {text: None for point in points for text in overlong(loaded, point.request)}:
        job.emit(Notice(text))
    drawings = {
        id(point): with_tables(drawing_of(point.request, point.chosen, loaded), point.request) for point in points
    }
    same: dict[Any, list[Point]] = {}
    for point in points:
        same.setdefault(Pictures.key(loaded, point.request, point.column, drawings[id(point)]), []).append(point)
    missing: dict[Any, list[Any]] = {}
    for key, wanted in same.items():
        if made := pictures.found(key):
            for point in wanted:
                job.emit(Cell(point, made, drawings[id(point)], False))
        else:
            missing.setdefault(_together(wanted[0]), []).append(key)
    total = sum(same[key][0].request.steps for keys in missing.values() for key in keys)
    done = 0
    first = True
    for keys in missing.values():
        pixels = PIXELS.get(loaded.device.partition(":")[0], PIXELS["cpu"])
        size = max(1, pixels // same[keys[0]][0].request.size ** 2)
        while keys:
            job.check()
            if not first:
                yield
            some, keys = (keys[:1], keys[1:]) if first else (keys[:size], keys[size:])
            first = False
            wanted = [same[key][0] for key in some]

            def on_step(step: int, done: int = done, n: int = len(some)) -> None:
                job.step()
                job.emit(Done(done + step * n, total))

            for key, made in zip(some, _drawn(loaded, wanted, drawings, pictures, on_step), strict=True):
                if len(some) > 1:
                    pictures.keep_together(key, made)
                for point in same[key]:
                    job.emit(Cell(point, made, drawings[id(point)], len(some) > 1))
            done += sum(point.request.steps for point in wanted)


def draw_tables(
    loaded: LoadedModel, request: Request, weights: np.ndarray, bypass: np.ndarray | None, job: Job, *,
    together: int = 0, seeds: Sequence[int] | None = None,
) -> Generator[None, None, None]:  # fmt: skip
    """Emit the pictures of one request with n weight tables as `Batch` events, see `Engine.batches`; yields between
    batches."""
    check_blocks(loaded, weights[0])
    count = together or max(1, 24 * 128**2 // request.size**2)
    on_step = stepping(job, REWEIGHTED, request.steps)
    for first in range(0, len(weights), count):
        if first:
            yield
        part = slice(first, first + count)
        drawing = Drawing(
            request.steps, request.guidance, loaded.card.family, weights=weights[part],
            bypass=None if bypass is None or not bypass[part].any() else bypass[part],
        )  # fmt: skip
        start = time.perf_counter()
        own = None if seeds is None else seeds[part]
        drawn = draw(loaded, request, REWEIGHTED, drawing, seeds=own, on_step=on_step)
        job.emit(Batch(first, drawn.images, time.perf_counter() - start))


def _drawn(
    loaded: LoadedModel, points: Sequence[Point], drawings: dict[int, Drawing], pictures: Pictures, on_step: Any
) -> list[Made]:
    """The pictures of points that fit into one batch."""
    own = [drawings[id(point)] for point in points]
    request, column = points[0].request, points[0].column
    if len(points) == 1:
        return [picture_of(pictures, loaded, request, column, own[0], on_step)]
    off = [drawing.bypass for drawing in own]
    tables = [drawing.weights for drawing in own]
    bypass = np.stack([np.zeros_like(w, bool) if o is None else o for w, o in zip(tables, off, strict=True)])
    drawing = replace(own[0], weights=np.stack(tables), bypass=bypass if bypass.any() else None)
    start = time.perf_counter()
    drawn = draw(
        loaded, request, column, drawing, prompts=[point.request.prompt for point in points],
        seeds=[point.request.seed for point in points], on_step=on_step,
    )  # fmt: skip
    seconds = (time.perf_counter() - start) / len(points)
    return [Made(image, seconds, reports=drawn.reports) for image in drawn.images]


def _together(point: Point) -> Any:
    """Equal for points that can share a batch: everything but weights, seed and prompt."""
    request = point.request
    others = tuple(
        (method.key, repr(request.methods[method.key])) for method in parts(point.column) if method.key != REWEIGHTED
    )
    per = point.chosen.weight_table and point.chosen.weight_table.per
    return (
        point.column,
        request.model,
        request.steps,
        request.guidance,
        request.size,
        request.negative_prompt,
        per,
        others,
    )
