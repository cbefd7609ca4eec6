"""Arrays on disk, made once and part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np


def fill(path: Path, shape: tuple[int, ...], dtype: type, made: Callable[[int], Iterable[np.ndarray]]) -> np.ndarray:
    """A memory-mapped array at `path`, written part by part; after a kill it goes on after the last whole part.

    made: called with the first row that is missing, gives the rows from there on in parts. A whole array with more rows
    than `shape` says comes back as it is. ValueError for one with fewer, or with rows of another shape.
    """
    done = path.with_suffix(".done")
    row = int(done.read_text(encoding="utf-8")) if done.exists() and path.exists() else 0
    array = np.lib.format.open_memmap(path, mode="r+" if row else "w+", dtype=dtype, shape=shape)
    if len(array) < shape[0] or array.shape[1:] != shape[1:]:
        raise ValueError(f"{path} was begun with shape {array.shape}, not {shape}: delete it, or ask for as many rows.")
    for part in made(row) if row < len(array) else ():
        array[row : row + len(part)] = part
        row += len(part)
        array.flush()
        done.write_text(str(row), encoding="utf-8")
    return array
