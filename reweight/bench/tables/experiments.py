"""The variants drawn for each table and figure of the paper, and the paper's numbers for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np

from ... import schedule
from ...models.registry import ModelCard
from ..stats.random_order import DRAWS
from .paper import FAMILIES, Numbers, by_category, table_1

HIGHS = (1.1, 1.15, 1.2)
DRAW = ", draw "
LOWS = (0.95, 0.975, 1.0, 1.025, 1.05)  # Fig. 4's range at high = 1.1
INVERTED_FLAT = "flat at inverted's mean"
WIDE = {"toy": (0.9, 1.5)}  # by family, if the paper's range has no visible effect


def range_of(card: ModelCard) -> tuple[float, float]:
    """(low, high) for the rows that the paper draws with its usual range: the model's own range, or a wider one."""
    return WIDE.get(card.family, (card.low, card.high))


@dataclass(frozen=True)
class Variant:
    """One row of a table at a number of steps.

    column: of methods. table: for re-weighting, a function that makes weights, or a bypass mask (bool), (T, m) from
    scores (T, m) and a seed. probed: whether the scores are needed. draw: which of several random orders, which are
    averaged in the row's figures.
    """

    label: str
    steps: int
    column: str = "vanilla"
    table: Callable[[np.ndarray, int], np.ndarray] | None = None
    probed: bool = False
    draw: int | None = None

    @property
    def name(self) -> str:
        """The name in rows on disk: the label and the draw."""
        return self.label if self.draw is None else f"{self.label}{DRAW}{self.draw + 1}"


def label_of(name: str) -> str:
    """The label of the table row of a `Variant.name`."""
    return name.partition(DRAW)[0]


@dataclass(frozen=True)
class Experiment:
    """A table or figure. variants: in the order of the rows. columns: how pictures are grouped into columns. numbers:
    the paper's, for paper_model."""

    name: str
    title: str
    variants: tuple[Variant, ...]
    columns: Literal["steps", "category"]
    paper_model: str = ""
    numbers: Numbers = field(default_factory=dict)
    measure: Literal["score", "seconds", "distance"] = "score"
    pictures: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The unique row labels."""
        return tuple(dict.fromkeys(variant.label for variant in self.variants))


NAMES = ("table1", "table3", "table4", "table5", "table6", "fig1", "fig3", "fig4", "efficiency")


def experiment(name: str, card: ModelCard, blocks: Sequence[str], steps: tuple[int, ...] = ()) -> Experiment:
    """The experiment of that name (one of NAMES) for a model with these block labels. ValueError of one sentence
    otherwise.

    steps: replaces the default numbers of steps. Where the paper compares several: 1, 2 and 3 for turbo models, 10, 15
    and 20 for others; elsewhere 2 for turbo models and the model's default for others.
    """
    turbo = card.guidance <= 1
    ladder = steps or ((1, 2, 3) if turbo else (10, 15, 20))
    one = (steps or ((2,) if turbo else (card.steps,)))[0]
    if name == "table1":
        return _table1(card, blocks, ladder)
    if name == "table3":
        ranges = [(low, high) for high in HIGHS for low in (0.98, 1.02)]
        paper = by_category("table_3_sd_turbo", "SD-Turbo")
        return _ranges(name, "Table III, weight ranges", ranges, one, paper)
    if name == "table4":
        paper = by_category("table_4_sdxl_turbo", "SDXL-Turbo")
        return _ranges(name, "Table IV, weight ranges", [(0.95, high) for high in HIGHS], one, paper)
    if name == "table5":
        model, own = by_category("table_5_sd_turbo", "SD-Turbo", " importance")
        paper = model, own | by_category("table_5_sd_turbo_inverted", "SD-Turbo", " inverted")[1]
        return _controls(name, "Table V, importance against its controls", 0.98, 1.1, one, paper)
    if name == "table6":
        printed = by_category("table_4_sdxl_turbo", "SDXL-Turbo", " importance")
        own = {place: value for place, value in printed[1].items() if place[0] == "[0.95, 1.15] importance"}
        own |= by_category("table_6_sdxl_turbo_inverted", "SDXL-Turbo", " inverted")[1]
        return _controls(name, "Table VI, importance against its controls", 0.95, 1.15, one, ("SDXL-Turbo", own))
    if name == "fig1":
        return _fig1(card, ladder)
    if name == "fig3":
        return _fig3(blocks, steps[0] if steps else 2)
    if name == "fig4":
        rows = tuple(_weighted(low, 1.1, one) for low in LOWS)
        return Experiment(name, "Figure 4, low varied at high 1.1", (Variant("vanilla", one), *rows), "category")
    if name == "efficiency":
        rows = tuple(
            variant
            for number in ladder
            for variant in (
                Variant("vanilla", number),
                _weighted(*range_of(card), number),
                Variant("FreeU", number, "freeu"),
            )
        )
        return Experiment(name, "Seconds for a picture, drawn one at a time", rows, "steps", measure="seconds")
    raise ValueError(f"There is no table or figure {name!r}: choose one of {', '.join(NAMES)}.")


def _table1(card: ModelCard, blocks: Sequence[str], ladder: Sequence[int]) -> Experiment:
    def row(i: int, number: int) -> Variant:
        return Variant(
            f"blk-{blocks[i]}", number, "reweighted", lambda s, _: schedule.static(*s.shape, block=i, value=1.1)
        )

    model, numbers = table_1(card.family)
    rows = [Variant("vanilla", number) for number in ladder]
    rows += [row(i, number) for i in range(len(blocks)) for number in ladder]
    return Experiment("table1", "Table I, one block at 1.1", tuple(rows), "steps", model, numbers)


def _ranges(
    name: str, title: str, ranges: Sequence[tuple[float, float]], steps: int, paper: tuple[str, Numbers]
) -> Experiment:
    rows = (Variant("vanilla", steps), *(_weighted(low, high, steps) for low, high in ranges))
    return Experiment(name, title, rows, "category", *paper)


def controls() -> list[str]:
    """The rows of Tables V and VI: every registered schedule that is computed from probed scores, and the flat
    counterpart of the one whose mean differs from the others'."""
    keys = [key for key, control in schedule.CONTROLS.items() if control.probed and not control.preset]
    keys.insert(keys.index("flat") + 1, INVERTED_FLAT)
    return keys


def _controls(name: str, title: str, low: float, high: float, steps: int, paper: tuple[str, Numbers]) -> Experiment:
    rows = [Variant("vanilla", steps)]
    for control in controls():
        draws = range(DRAWS) if control == "random" else (None,)
        rows += [_weighted(low, high, steps, control, draw) for draw in draws]
    return Experiment(name, title, tuple(rows), "category", *paper)


def _fig1(card: ModelCard, ladder: Sequence[int]) -> Experiment:
    rows = [Variant("vanilla", number) for number in ladder]
    low, usual = range_of(card)
    rows += [_weighted(low, usual, number) for number in ladder]
    middle = ladder[len(ladder) // 2]
    rows += [_weighted(low, high, middle) for high in HIGHS if high > usual]
    rows.append(Variant("FreeU", middle, "freeu"))
    title = "Figure 1, (a) fewer steps re-weighted, (b) higher weights, (c) FreeU"
    return Experiment("fig1", title, tuple(rows), "steps", FAMILIES.get(card.family, ""), pictures=True)


def _fig3(blocks: Sequence[str], steps: int) -> Experiment:
    m = len(blocks)
    if steps > 4:
        raise ValueError(f"Figure 3 draws every combination over the steps: 4 steps at most, not {steps}.")

    def static(label: str, left_out: tuple[int, ...]) -> Variant:
        return Variant(
            label, steps, "reweighted", lambda s, _: np.isin(np.arange(m), left_out) & np.ones(s.shape, bool)
        )

    def dynamic(ranks: tuple[tuple[int, ...], ...]) -> Variant:
        label = f"skip-{len(ranks[0])} ranks {' then '.join('+'.join(map(str, places)) for places in ranks)}"
        return Variant(label, steps, "reweighted", lambda s, _: ranked(s, ranks), probed=True)

    rows = [Variant("vanilla", steps)]
    rows += [static(f"static {blocks[i]}", (i,)) for i in range(m)]
    rows += [static(f"symmetric {blocks[i]}+{blocks[m - 1 - i]}", (i, m - 1 - i)) for i in range(m // 2)]
    rows += [dynamic(ranks) for ranks in product(((0,), (1,)), repeat=steps)]
    rows += [dynamic(ranks) for ranks in product(((0, 1), (0, 2), (1, 2)), repeat=steps)]
    title = "Figure 3, blocks left out, without fine-tuning"
    return Experiment("fig3", title, tuple(rows), "steps", measure="distance")


def ranked(scores: np.ndarray, ranks: Sequence[Sequence[int]]) -> np.ndarray:
    """A mask (T, m) of the blocks with these ranks at each step, 0 being the least important (Sec. III-G)."""
    mask = np.zeros(scores.shape, bool)
    for step, places in enumerate(ranks):
        mask[step, np.argsort(scores[step], kind="stable")[list(places)]] = True
    return mask


def _weighted(low: float, high: float, steps: int, control: str = "", draw: int | None = None) -> Variant:
    def weights(scores: np.ndarray, seed: int) -> np.ndarray:
        if control == INVERTED_FLAT:
            return schedule.weights(schedule.flat(schedule.inverted(scores)), low, high)
        named = schedule.CONTROLS.named(control or "importance")
        return schedule.weights(named.apply(scores, (), seed), low, high)

    label = f"[{low:g}, {high:g}] {control}".strip()
    return Variant(label, steps, "reweighted", weights, probed=True, draw=draw)
