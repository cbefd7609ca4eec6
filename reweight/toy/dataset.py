"""Render the world once, in parallel, into a memory-mapped array that training reads."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from .paint import SIDE, World, read_art
from .world import Scene, draw_scene

CHUNK = 500


def scene_at(seed: int, index: int, pairs: float = 0.25, held_out: bool = False) -> Scene:
    """Scene number `index` of a set: the first draw of its own stream on the asked side of the held-out split."""
    rng = np.random.default_rng([seed, index])
    while True:
        scene = draw_scene(rng, pairs)
        if scene.held_out == held_out:
            return scene


def _render_chunk(start: int, stop: int, *, art: Path, seed: int, pairs: float, held_out: bool) -> np.ndarray:
    world = World(read_art(art))
    return np.stack(
        [
            world.render(scene_at(seed, i, pairs, held_out), np.random.default_rng([seed, i, 1]))
            for i in range(start, stop)
        ]
    )


def render(path: Path, count: int, *, art: Path, seed: int, workers: int, pairs=0.25, held_out=False, on_progress=None):
    """Write pictures 0..count-1 of a set to `path`, uint8 (count, 128, 128, 3), resuming after the last whole chunk."""
    done = path.with_suffix(".done")
    start = int(done.read_text()) if done.exists() and path.exists() else 0
    mode = "r+" if start else "w+"
    pictures = np.lib.format.open_memmap(path, mode=mode, dtype=np.uint8, shape=(count, SIDE, SIDE, 3))
    starts = range(start, count, CHUNK)
    stops = [min(s + CHUNK, count) for s in starts]
    work = partial(_render_chunk, art=art, seed=seed, pairs=pairs, held_out=held_out)
    with ProcessPoolExecutor(workers) as pool:
        for s, e, chunk in zip(starts, stops, pool.map(work, starts, stops), strict=True):
            pictures[s:e] = chunk
            pictures.flush()
            done.write_text(str(e))
            if on_progress:
                on_progress(e, count)
    return pictures
