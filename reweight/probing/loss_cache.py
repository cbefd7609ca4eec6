"""The cache of the errors that a probe has measured, optionally in a file from which the probe resumes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from ..storage.sealed import DamagedFile, read_sealed, write_sealed
from .search import Candidates
from .surrogate import Surrogate
from .teacher import Teacher

log = logging.getLogger(__name__)
ERRORS = np.dtype("<f8")


class StateError(ValueError):
    """The checkpoint is not one of this probe; the message is one sentence."""


class Ledger:
    """Measures and caches the errors of candidates.

    A candidate that was measured before, in any run, is not measured again. With a file, the cache is written atomically
    after each iteration; a later ledger with the same file and probe reads it, so that the same search, restarted from
    its seed, repeats the earlier results without measuring and continues. If a later write fails, as on a full disk, the
    search continues, and the file is written again when that is possible.

    Args:
        teacher: measures the errors.
        batch_size: maximum number of U-Net samples in one call; None for the teacher's default.
        about: identifies the probe, as JSON values.
        shape: (runs, iterations, T, C).
        file: the file of the cache, or None.
        surrogate: estimates errors, so that only those near the tolerance are measured; or None.

    Raises:
        StateError: the file is damaged or belongs to something else.
        OSError: the file cannot be read or created.
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
        self._losses = np.full(shape, np.nan)  # infinite where nothing needed measuring
        self._saved = True
        self._known: dict[tuple[int, bytes, bytes], float] = {}
        self._first_run: dict[tuple[int, bytes, bytes], int] = {}
        if file is not None and file.exists():
            self._read(file)
        elif file is not None:
            write_sealed(file, self._about, self._payload())

    def losses(self, run: int, iteration: int, candidates: Candidates) -> np.ndarray:
        """(R, T, C) errors of the candidates of R runs, the first of which is `run`; infinite where not needed."""
        worth = candidates.worth
        runs, step, _ = np.nonzero(worth)
        w, bypass = candidates.w[worth], candidates.bypass[worth]
        keys = [(int(t), *(a.tobytes() for a in rest)) for t, *rest in zip(step, w, bypass, strict=True)]
        losses = self._losses[run : run + len(worth), iteration]
        estimates = self._estimates(step, w, bypass)
        for key, n, loss, error in zip(keys, run + runs, losses[worth], estimates, strict=True):
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
            self._save(self.file)
        return losses.copy()

    def measured(self, runs: int) -> int:
        """How many students were measured for the first `runs` runs, including the surrogate's."""
        return sum(first < runs for first in self._first_run.values()) + (
            self.surrogate.students if self.surrogate else 0
        )

    def _estimates(self, step: np.ndarray, w: np.ndarray, bypass: np.ndarray) -> np.ndarray:
        """(n,) estimated errors, NaN for those that must be measured."""
        if self.surrogate is None:
            return np.full(len(step), np.nan)
        decided, errors = self.surrogate.decided(step, w, bypass)
        return np.where(decided, errors, np.nan)

    def _read(self, file: Path) -> None:
        try:
            key, payload = read_sealed(file)
        except DamagedFile as error:
            raise StateError(f"{file} is not the state of a probe: name another file, or delete it.") from error
        if key != self._about:
            ours, theirs = json.loads(self._about), _object(key)
            name = next((name for name in ours if theirs.get(name) != ours[name]), "request")
            raise StateError(f"{file} is the state of another probe, whose {name} differs: name another file.")
        self._losses[:] = np.frombuffer(payload, ERRORS).reshape(self._losses.shape)

    def _payload(self) -> bytes:
        return self._losses.astype(ERRORS).tobytes()

    def _save(self, file: Path) -> None:
        """Write the file; log one warning when writing starts to fail."""
        try:
            write_sealed(file, self._about, self._payload())
        except OSError as error:
            if self._saved:
                log.warning("The probe continues without saving its state: %s.", error.strerror or error)
            self._saved = False
        else:
            self._saved = True


def _object(text: str) -> dict[str, Any]:
    """Text parsed as a JSON object, an empty one if it is not an object."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
