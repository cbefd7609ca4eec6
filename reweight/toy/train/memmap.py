"""Memory-mapped arrays that are computed once, in parts, and resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np


def fill(path: Path, shape: tuple[int, ...], dtype: type, made: Callable[[int], Iterable[np.ndarray]]) -> np.ndarray:
    """A memory-mapped array at `path`, written in parts; after a kill it resumes after the last complete part.

    made: called with the index of the first missing row, yields the rows from there in parts. A complete array with more
    rows than `shape` is returned unchanged. ValueError for one with fewer rows, or rows of another shape.
    """
    done = path.with_suffix(".done")
    row = int(done.read_text(encoding="utf-8")) if done.exists() and path.exists() else 0
    array = np.lib.format.open_memmap(path, mode="r+" if row else "w+", dtype=dtype, shape=shape)
    if len(array) < shape[0] or array.shape[1:] != shape[1:]:
        raise ValueError(
            f"{path} was started with shape {array.shape}, not {shape}: delete it, or ask for as many rows."
        )
    for part in made(row) if row < len(array) else ():
        array[row : row + len(part)] = part
        row += len(part)
        array.flush()
        done.write_text(str(row), encoding="utf-8")
    return array
