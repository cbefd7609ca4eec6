"""The events that the engine's generators yield."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from ..methods.base import Drawing, Report
from ..schedule import ImportanceTable
from .request import REWEIGHTED

INVERSION = "inversion"  # the column of a `Step` of a DDIM inversion


@dataclass(frozen=True)
class Loading:
    """Progress of loading a model: stage "downloading" or "loading", fraction in [0, 1], and a text for people."""

    stage: str
    fraction: float
    text: str


@dataclass(frozen=True)
class Notice:
    """A sentence about the request that the user should read."""

    text: str


@dataclass(frozen=True)
class Step:
    """A column's denoising step has ended: `step` of `steps`, counted from 1."""

    column: str
    step: int
    steps: int


@dataclass(frozen=True)
class Picture:
    """A finished picture of a column, drawn from `seed`; seconds: the time it took to draw.

    drawing: the settings of the drawing, with the weights (T, m). table_sha256: of the importance or weight table that
    they were computed from, if there is one. reports: what each of the column's methods did.
    """

    column: str
    image: Image.Image
    seconds: float
    cached: bool
    seed: int
    drawing: Drawing
    table_sha256: str | None = None
    reports: dict[str, Report] = field(default_factory=dict)

    @property
    def weights(self) -> np.ndarray | None:
        """The weights (T, m) if the column includes re-weighting, else None."""
        return self.drawing.weights if REWEIGHTED in self.column.split("+") else None


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures drawn in one batch, for the tables from index `first` on; seconds: the time of the whole batch."""

    first: int
    images: list[Image.Image]
    seconds: float


@dataclass(frozen=True, eq=False)
class Watched:
    """The clean pictures that a column predicts, one for each step.

    drawn: the U-Net drew the picture for them, as no film of it was kept.
    """

    column: str
    images: list[Image.Image]
    drawn: bool = False


@dataclass(frozen=True, eq=False)
class Preview:
    """The predicted clean picture of a column after `step`, while it is being drawn."""

    column: str
    seed: int
    step: int
    image: Image.Image


@dataclass(frozen=True)
class Scores:
    """A score for each picture, and the scorer's name and version."""

    values: list[float]
    scorer: str


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b of a table with the error of scaling each block by 1 ± .02, and with that of bypassing it."""

    scaling: float
    bypass: float

    def recorded_in(self, table: ImportanceTable) -> ImportanceTable:
        """The table with both in its diagnostics, as tau_b_scaling and tau_b_bypass."""
        found = {"tau_b_scaling": self.scaling, "tau_b_bypass": self.bypass}
        return replace(table, diagnostics=table.diagnostics | found)
