"""Renders the training pictures once, in parallel, into a memory-mapped array."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np

from ..train.memmap import fill
from .backgrounds import SIDE
from .paint import World, read_art
from .scenes import Scene, draw_scene

CHUNK = 500


def scene_at(seed: int, index: int, pairs: float = 0.25, held_out: bool = False) -> Scene:
    """Scene number `index` of a set: the first one of its random stream on the requested side of the held-out split."""
    rng = np.random.default_rng([seed, index])
    while True:
        scene = draw_scene(rng, pairs)
        if scene.held_out == held_out:
            return scene


@cache
def _world(art: Path) -> World:
    return World(read_art(art))


def _render_chunk(start: int, stop: int, *, art: Path, seed: int, pairs: float, held_out: bool) -> np.ndarray:
    world = _world(art)
    return np.stack(
        [
            world.render(scene_at(seed, i, pairs, held_out), np.random.default_rng([seed, i, 1]))
            for i in range(start, stop)
        ]
    )


def render(path: Path, count: int, *, art: Path, seed: int, workers: int, pairs=0.25, held_out=False, on_progress=None):
    """Write pictures 0..count-1 of a set to `path`, uint8 (count, 128, 128, 3), resuming after the last complete chunk."""
    work = partial(_render_chunk, art=art, seed=seed, pairs=pairs, held_out=held_out)

    def made(start: int):
        starts = range(start, count, CHUNK)
        stops = [min(s + CHUNK, count) for s in starts]
        with ProcessPoolExecutor(workers) as pool:
            for stop, chunk in zip(stops, pool.map(work, starts, stops), strict=True):
                yield chunk
                if on_progress:
                    on_progress(stop, count)

    return fill(path, (count, SIDE, SIDE, 3), np.uint8, made)
