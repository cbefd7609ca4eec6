"""The importance scores for a prompt of a table; probed ones are stored on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...engine.fallbacks import sentences
from ...engine.request import REWEIGHTED, SEED, Request
from ...engine.resolving import choose
from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...probing.importance_probe import ProbeSnapshot, iter_probe
from ...probing.probe_request import ProbeRequest
from ...schedule import ImportanceTable

SOURCES = ("probe", "shipped", "empirical")


class Ranking:
    """The source of scores: "probe", each prompt's own with the paper's seed; "shipped", the tables that ship with the
    model; "empirical", the paper's strategy without a probe.

    folder: of probed tables, shared by all processes. runs: of a probe, by default as in the paper's code.
    """

    def __init__(self, source: str, folder: Path, runs: int | None = None) -> None:
        if source not in SOURCES:
            raise ValueError(f"There are no scores from {source!r}: choose one of {', '.join(SOURCES)}.")
        self.source, self.folder, self.runs = source, folder, runs

    def scores(self, loaded: LoadedModel, request: Request) -> np.ndarray:
        """Scores (T, m) for a request's prompt and steps."""
        if self.source == "probe":
            return self.table(loaded, request).scores
        schedule = "empirical" if self.source == "empirical" else "importance"
        reweighting = replace(request.reweighting, schedule=schedule)
        asked = request.model_copy(update={"methods": request.methods | {REWEIGHTED: reweighting}})
        return choose(asked, target_blocks(loaded.pipe.unet), revision=loaded.revision).scores

    def table(
        self, loaded: LoadedModel, request: Request, on_progress: Callable[[ProbeSnapshot], object] = lambda _: None
    ) -> ImportanceTable:
        """The probed table of a request's prompt, from the folder if it is there."""
        path = self.folder / f"{self._identity(loaded, request)}.json"
        if path.is_file():
            return ImportanceTable.load(path)
        with sentences():
            asked = ProbeRequest.of(
                request.prompt, steps=request.steps, runs=self.runs, seed=SEED, guidance_scale=request.guidance,
                negative_prompt=request.negative_prompt or None, height=request.size, width=request.size,
                model=request.model, revision=loaded.revision,
            )  # fmt: skip
            for snapshot in iter_probe(loaded.pipe, asked):
                on_progress(snapshot)
        self.folder.mkdir(parents=True, exist_ok=True)
        snapshot.table.save(path)
        return snapshot.table

    def _identity(self, loaded: LoadedModel, request: Request) -> str:
        parts = (
            loaded.source, loaded.revision, loaded.dtype, request.prompt, request.negative_prompt, request.steps,
            request.guidance, request.size, self.runs,
        )  # fmt: skip
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
