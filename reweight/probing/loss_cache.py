"""The errors that a probe has measured: each once, and in a file that survives the process."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..storage.atomic import write_whole
from .search import Candidates
from .surrogate import Surrogate
from .teacher import Teacher


class StateError(ValueError):
    """A file that is not the state of this probe, in one sentence."""


class Ledger:
    """Measures the errors of candidates, and remembers them.

    A candidate that was measured before, in this run or another, is not measured again. With a file, everything is
    written down after each iteration, whole or not at all; a later ledger of the same file and the same probe answers
    from it, so that a search started anew from its seed comes to where the earlier one was and goes on.

    Args:
        teacher: measures.
        batch_size: the most U-Net samples in one call, or None for the teacher's choice.
        about: what makes this probe this probe, in JSON's types.
        shape: (runs, iterations, T, C).
        file: where to keep the errors, or None.
        surrogate: foresees errors, which are then measured only where it is not sure; or None.

    Raises:
        StateError: the file is something else, or another probe's.
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        teacher: Teacher,
        batch_size: int | None,
        about: dict[str, Any],
        shape: tuple[int, int, int, int],
        file: Path | None = None,
        surrogate: Surrogate | None = None,
    ):
        self.teacher, self.batch_size, self.file, self.surrogate = teacher, batch_size, file, surrogate
        self._about = json.dumps(about, sort_keys=True)
        self._losses = np.full(shape, np.nan)  # infinite where there was nothing to measure
        self._known: dict[tuple[int, bytes, bytes], float] = {}
        self._first_run: dict[tuple[int, bytes, bytes], int] = {}
        if file is not None and file.exists():
            self._read(file)

    def losses(self, run: int, iteration: int, candidates: Candidates) -> np.ndarray:
        """(R, T, C) errors of the candidates of runs `run` and following, infinite for those not worth measuring."""
        worth = candidates.worth
        runs, step, _ = np.nonzero(worth)
        w, bypass = candidates.w[worth], candidates.bypass[worth]
        keys = [(int(t), *(a.tobytes() for a in rest)) for t, *rest in zip(step, w, bypass, strict=True)]
        losses = self._losses[run : run + len(worth), iteration]
        foreseen = self._foreseen(step, w, bypass)
        for key, n, loss, error in zip(keys, run + runs, losses[worth], foreseen, strict=True):
            if not np.isnan(error):
                self._known[key] = error
                continue
            self._first_run[key] = min(int(n), self._first_run.get(key, int(n)))
            if not np.isnan(loss):
                self._known[key] = loss
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            i = np.array([*new.values()])
            self._known.update(zip(new, self.teacher.losses(step[i], w[i], bypass[i], self.batch_size), strict=True))
        unrecorded = np.isnan(losses).any()
        losses[~worth] = np.inf
        losses[worth] = [self._known[key] for key in keys]
        if unrecorded and self.file is not None:
            self._write(self.file)
        return losses.copy()

    def measured(self, runs: int) -> int:
        """How many students the first so many runs had to have measured, those of the surrogate included."""
        return sum(first < runs for first in self._first_run.values()) + (
            self.surrogate.students if self.surrogate else 0
        )

    def _foreseen(self, step: np.ndarray, w: np.ndarray, bypass: np.ndarray) -> np.ndarray:
        """(n,) errors, NaN for those that have to be measured."""
        if self.surrogate is None:
            return np.full(len(step), np.nan)
        sure, errors = self.surrogate.sure(step, w, bypass)
        return np.where(sure, errors, np.nan)

    def _read(self, file: Path) -> None:
        try:
            with np.load(file, allow_pickle=False) as state:
                about, losses = str(state["about"]), state["losses"]
            theirs = json.loads(about)
        except (BadZipFile, KeyError, EOFError, ValueError, TypeError, AttributeError) as error:
            raise StateError(f"{file} is not the state of a probe: name another file, or delete it.") from error
        mine = json.loads(self._about)
        if about != self._about:
            name = next(
                (key for key in mine if not isinstance(theirs, dict) or theirs.get(key) != mine[key]), "request"
            )
            raise StateError(f"{file} is the state of another probe, whose {name} differs: name another file.")
        if losses.shape != self._losses.shape or losses.dtype != self._losses.dtype:
            raise StateError(f"{file} is not the state of a probe: name another file, or delete it.")
        self._losses[:] = losses

    def _write(self, file: Path) -> None:
        state = BytesIO()
        np.savez(state, about=np.array(self._about), losses=self._losses)
        write_whole(file, state.getvalue())
