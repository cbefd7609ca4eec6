"""Names of the ways of weighting that a study compares: rankings, their controls, and flat counterparts."""

from __future__ import annotations

from collections.abc import Sequence

from ..stats.random_order import DRAWS

RANGES = ((0.98, 1.1), (0.95, 1.15), (1.1, 1.1))  # the paper's for SD-Turbo and SDXL-Turbo, and low = high
RANKINGS = ("paper", "calibrated", "sensitivity", "empirical")
VANILLA, EQUAL, RANDOM = "vanilla", "equal", "random"
FLAT = {"empirical": "flat at empirical's mean", "inverted": "flat at inverted's mean"}  # of any other: "flat"
CONTROLS = ("inverted", "reversed", "flat", *FLAT.values(), RANDOM)


def flat_of(way: str) -> str:
    """The name of the row in which every block has this ranking's mean score of the step."""
    return way if way in FLAT.values() else FLAT.get(way, "flat")


def variants(ranges: Sequence[tuple[float, float]]) -> list[str]:
    """The names of the re-weighted rows; at low = high there is one row, since all rankings give the same weights."""
    return [
        named(way, low, high) for low, high in ranges for way in ((EQUAL,) if low == high else (*RANKINGS, *CONTROLS))
    ]  # fmt: skip


def drawn_variants(ranges: Sequence[tuple[float, float]], draws: int = DRAWS) -> list[str]:
    """`variants` with a separate row for each random order: "random, draw 1 [0.95, 1.15]"."""
    found = []
    for name in variants(ranges):
        way, bounds = parts(name)
        found += [f"{drawn(way, draw)} {bounds}" for draw in range(draws)] if way == RANDOM else [name]
    return found


def named(way: str, low: float, high: float) -> str:
    """The name of a ranking's row with a range."""
    return f"{way} [{low:g}, {high:g}]"


def parts(variant: str) -> tuple[str, str]:
    """The ranking and the range in a row's name, without the draw of a random order; vanilla has no range."""
    way, bracket, bounds = variant.partition(" [")
    return way.partition(", draw ")[0], bracket.strip() + bounds


def drawn(way: str, draw: int) -> str:
    """The name of a random order; draw: from 0."""
    return f"{way}, draw {draw + 1}"
