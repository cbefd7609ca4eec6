"""What the engine's generators yield."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from ..methods.base import Drawing, Report
from ..schedule import ImportanceTable
from .request import REWEIGHTED

INVERSION = "inversion"  # in the place of a column, for the steps that an inversion undoes


@dataclass(frozen=True)
class Loading:
    """A model is on its way: stage "downloading" or "loading", fraction of it in [0, 1], and what in words."""

    stage: str
    fraction: float
    text: str


@dataclass(frozen=True)
class Notice:
    """Something the person should know about the request, as a sentence."""

    text: str


@dataclass(frozen=True)
class Step:
    """A denoising step of a column has ended: `step` of `steps`, 1-based."""

    column: str
    step: int
    steps: int


@dataclass(frozen=True)
class Picture:
    """A finished picture of a column, drawn from `seed`; `seconds` is the time it took to draw.

    drawing: what its methods knew, such as the weights (T, m). table_sha256: of the importance table that these are
    from, where it is one prompt's own. reports: what each of its methods says that it did.
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
        """The weights (T, m) of a column with re-weighting in it, None for any other."""
        return self.drawing.weights if REWEIGHTED in self.column.split("+") else None


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures drawn together, those of the tables from `first` on; `seconds` is the time that all of them took."""

    first: int
    images: list[Image.Image]
    seconds: float


@dataclass(frozen=True, eq=False)
class Watched:
    """The clean pictures that a column predicts, one a step."""

    column: str
    images: list[Image.Image]


@dataclass(frozen=True, eq=False)
class Preview:
    """What the picture of a column is predicted to be after `step`, while it is drawn."""

    column: str
    seed: int
    step: int
    image: Image.Image


@dataclass(frozen=True)
class Scores:
    """A score for each picture, and the name and version of what gave it."""

    values: list[float]
    scorer: str


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b of a table with the error of scaling each block by 1 -+ .02, and with that of bypassing it."""

    scaling: float
    bypass: float

    def recorded_in(self, table: ImportanceTable) -> ImportanceTable:
        """The table with both among its diagnostics, as tau_b_scaling and tau_b_bypass."""
        found = {"tau_b_scaling": self.scaling, "tau_b_bypass": self.bypass}
        return replace(table, diagnostics=table.diagnostics | found)
