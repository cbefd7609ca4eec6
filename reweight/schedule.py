"""Importance scores, weights computed from them (paper Eq. 6-8), controls, and the importance table.

Arrays are indexed (steps, blocks): T rows, m columns. No model is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, JsonValue, model_validator

from .plugins import Registry
from .storage.table_document import Schema, TableDocument, check_shape

SKIP_EPS = 1e-6  # a block is bypassed where w + SKIP_EPS < q


def vote(thresholds: np.ndarray, seed: int) -> np.ndarray:
    """Votes vs (T, m), int, from thresholds q (runs, T, m): Sec. III-D.

    Each run sorts the blocks of a step by threshold, descending; position k scores k + 1, so a high threshold means
    unimportant. Ties are broken at random by the seed. ValueError for another shape or a NaN.
    """
    q = np.asarray(thresholds, dtype=np.float64)
    if q.ndim != 3 or q.size == 0 or np.isnan(q).any():
        raise ValueError(f"Thresholds have shape (runs, steps, blocks) and no NaN, not shape {q.shape}.")
    ties = np.random.default_rng(seed).random(q.shape)
    order = np.lexsort((ties, -q), axis=-1)
    return (np.argsort(order, axis=-1) + 1).sum(axis=0)


def importance_scores(votes: np.ndarray, runs: int) -> np.ndarray:
    """Eq. 6: is = vs / (m r), for votes vs (T, m) from r runs; (T, m) in [1/m, 1]."""
    vs = np.asarray(votes)
    if vs.ndim != 2 or vs.size == 0 or runs < 1:
        raise ValueError(f"Votes have shape (steps, blocks) from at least 1 run, not {vs.shape} from {runs}.")
    return vs / (vs.shape[1] * runs)


def weights(scores: np.ndarray, low: float, high: float) -> np.ndarray:
    """Eq. 7: w_i^(t) = is_i^(t) (high - low) + low; exactly high if low == high. ValueError if a bound is not finite."""
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"The bounds of the weights must be finite numbers, not {low} and {high}.")
    scores = np.asarray(scores, dtype=np.float64)
    return np.full(scores.shape, float(high)) if low == high else scores * (high - low) + low


Places = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Control:
    """A schedule: which scores the weights are computed from, the importance scores or a control made from them.

    key, title: its name in settings and on the page. apply(scores, blocks, seed): scores (T, m) from scores (T, m);
    blocks: the (stage, level) of each block, empty if unknown; seed: for random controls. probed: whether it uses the
    scores at all. shipped: whether the weights are a table that ships with the model, instead of scores, low and high.
    preset: the probe's preset, if only its tables are used.
    """

    key: str
    title: str
    apply: Callable[[np.ndarray, Places, int], np.ndarray]
    probed: bool = True
    shipped: bool = False
    preset: str = ""


def inverted(scores: np.ndarray) -> np.ndarray:
    """Eq. 8: is -> 1 - is. It reverses the ranking, and also lowers the mean weight by (high - low)/m."""
    return 1 - scores


def reversed_(scores: np.ndarray) -> np.ndarray:
    """Our control: is -> (m + 1)/m - is. It reverses the ranking and keeps the mean of a table made by votes."""
    return (scores.shape[1] + 1) / scores.shape[1] - scores


def flat(scores: np.ndarray) -> np.ndarray:
    """Our control: every block gets its step's mean score, so the mean weight is kept and the ranking removed."""
    return np.broadcast_to(scores.mean(axis=1, keepdims=True), scores.shape).copy()


def permuted(scores: np.ndarray, seed: int) -> np.ndarray:
    """Our control: the scores of each step in random order, determined by the seed."""
    return np.random.default_rng(seed).permuted(scores, axis=1)


def static(steps: int, m: int, block: int, value: float = 1.1) -> np.ndarray:
    """Table I's static weights (T, m): one block, 0..m-1, has value, the others 1. ValueError for another block."""
    if not 0 <= block < m:
        raise ValueError(f"There is no block {block}: choose one of 0 to {m - 1}.")
    w = np.ones((steps, m))
    w[:, block] = value
    return w


def empirical(places: Sequence[tuple[str, int]], steps: int, noise: Sequence[float] | None = None) -> np.ndarray:
    """Scores (T, m) in [1/m, 1] by the empirical strategy of Sec. III-F, which needs no probe.

    places: the (stage, level) of each block, level 0 being the highest resolution. noise: how much noise each block
    adds, in any unit, if known. The strategy is the paper's: the bottleneck always high, low resolutions high in early
    steps and high resolutions in late steps, less for noisy blocks. The paper gives no numbers, so these are ours: 1
    for the bottleneck; elsewhere up to 0.9, moving linearly from the deepest level at the first step to the highest
    resolution at the last (with one step: halfway); halved for the noisiest block.
    """
    m = len(places)
    if m == 0 or steps < 1:
        raise ValueError(f"The empirical strategy needs at least 1 block and 1 step, not {m} and {steps}.")
    level = np.array([level for _, level in places], dtype=np.float64)
    depth = level / max(level.max(), 1)
    late = np.linspace(0, 1, steps)[:, None] if steps > 1 else np.full((1, 1), 0.5)
    preference = 0.9 * ((1 - late) * depth + late * (1 - depth))
    if noise is not None:
        own = np.asarray(noise, dtype=np.float64)
        if own.shape != (m,) or not np.isfinite(own).all() or (own < 0).any():
            raise ValueError(f"The noise is {m} finite numbers of at least 0, one for each block.")
        preference = preference * (1 - 0.5 * own / (own.max() or 1))
    preference[:, [stage == "mid" for stage, _ in places]] = 1
    return 1 / m + (1 - 1 / m) * preference


CONTROLS: Registry[Control] = Registry("schedule", "reweight.controls")
CONTROLS.register(Control("importance", "Importance (the probe's ranking)", lambda scores, blocks, seed: scores))
CONTROLS.register(
    Control(
        "empirical",
        "Empirical (no probe needed)",
        lambda scores, blocks, seed: empirical(blocks, len(scores)),
        probed=False,
    )
)
CONTROLS.register(Control("inverted", "Inverted (the paper's ablation)", lambda scores, blocks, seed: inverted(scores)))
CONTROLS.register(Control("reversed", "Reversed (same mean)", lambda scores, blocks, seed: reversed_(scores)))
CONTROLS.register(Control("flat", "Flat (all blocks alike)", lambda scores, blocks, seed: flat(scores)))
CONTROLS.register(Control("random", "Random order", lambda scores, blocks, seed: permuted(scores, seed)))
CONTROLS.register(
    Control("calibrated", "Calibrated importance (ours)", lambda scores, blocks, seed: scores, preset="calibrated")
)
CONTROLS.register(Control("tuned", "Tuned", lambda scores, blocks, seed: scores, probed=False, shipped=True))


class _Document(Schema):
    """The table's JSON form; all fields are required, others are refused."""

    format: Literal["reweight-importance-1"]
    scores: Annotated[
        list[Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=64)]],
        Field(min_length=1, max_length=50),
    ]
    runs: Annotated[int, Field(ge=0, lt=2**31)]
    blocks: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=64)]
    model: str
    method: str
    revision: str | None
    scheduler: str
    steps: int
    seed: Annotated[int, Field(ge=0)] | None
    prompt: str
    negative_prompt: str
    guidance_scale: float
    settings: dict[str, JsonValue]
    versions: dict[str, str]
    diagnostics: dict[str, JsonValue]

    @model_validator(mode="after")
    def _shapes_agree(self) -> _Document:
        check_shape(self.scores, self.blocks, self.steps, "scores", "numbers")
        return self


@dataclass(frozen=True, eq=False, kw_only=True)
class ImportanceTable(TableDocument):
    """Importance scores of the blocks at each step, with provenance. Checked on construction, equal by content.

    scores: is, (T, m) in [0, 1], higher is more important; read-only. runs: the number of runs that voted, 0 if there
    was no vote. blocks: the m labels, in execution order. Provenance: model, revision, scheduler, steps (T), seed,
    prompt, negative_prompt, guidance_scale, method ("probe:paper-code", "empirical", ...), settings, versions.
    diagnostics: measures of quality, such as the acceptance rate or vote spread; arrays become lists.
    ValueError of one sentence for values that could not be saved and loaded.
    """

    WHAT, FORMAT, SCHEMA = "an importance table", "reweight-importance-1", _Document

    scores: np.ndarray
    runs: int
    blocks: tuple[str, ...]
    model: str
    method: str
    revision: str | None = None
    scheduler: str = ""
    steps: int = 0  # 0: the number of rows
    seed: int | None = None
    prompt: str = ""
    negative_prompt: str = ""
    guidance_scale: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.steps and hasattr(self.scores, "__len__"):
            object.__setattr__(self, "steps", len(self.scores))
        document = self._checked()
        for item in fields(self):
            object.__setattr__(self, item.name, getattr(document, item.name))
        scores = np.array(document.scores, dtype=np.float64)
        scores.setflags(write=False)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "blocks", tuple(document.blocks))

    def weights(self, low: float, high: float, control: str = "importance", seed: int = 0) -> np.ndarray:
        """Weights (T, m) by Eq. 7, for these scores or a control made from them (see CONTROLS); seed is for "random".

        ValueError for an unknown control, one that needs more than scores, or a bound that is not finite.
        """
        if CONTROLS.named(control).shipped:
            raise ValueError("Tuned weights are a table of their own, which scores cannot give: load a WeightTable.")
        return weights(CONTROLS.named(control).apply(self.scores, (), seed), low, high)

    def ranking(self) -> tuple[tuple[str, ...], ...]:
        """The block labels of each step, least important first; equal scores in execution order."""
        order = np.argsort(self.scores, axis=1, kind="stable")
        return tuple(tuple(self.blocks[i] for i in row) for row in order)
