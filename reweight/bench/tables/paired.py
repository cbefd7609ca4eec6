"""Paired differences in score (x - vanilla): same prompt, noise and steps; 95% bootstrap intervals over the prompts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from rich.table import Table

from ...storage.rowfile import Row
from ..stats.intervals import paired_difference
from .experiments import Experiment, label_of

Pictures = dict[tuple[str, int], list[Row]]  # by prompt and seed; several where the order is random


@dataclass(frozen=True)
class Paired:
    """One row at one number of steps: mean paired difference in score (x - vanilla) with its 95% interval, low to high,
    and mean SSIM with vanilla."""

    variant: str
    steps: int
    prompts: int
    minus_vanilla: float
    low: float
    high: float
    ssim: float


def differences(experiment: Experiment, rows: Iterable[Row]) -> list[Paired]:
    """Paired differences in the experiment's order; empty without scores, or with fewer than two prompts."""
    scored: dict[tuple[str, int], Pictures] = {}
    for row in rows:
        if row["score"] is not None:
            pictures = scored.setdefault((label_of(row["variant"]), row["steps"]), {})
            pictures.setdefault((row["prompt"], row["seed"]), []).append(row)
    found = []
    for label, steps in dict.fromkeys((variant.label, variant.steps) for variant in experiment.variants):
        base = scored.get(("vanilla", steps), {})
        own = {place: drawn for place, drawn in scored.get((label, steps), {}).items() if place in base}
        prompts = len({prompt for prompt, _ in own})
        if label != "vanilla" and prompts > 1:
            difference = paired_difference(_means(own, "score"), _means(base, "score"))
            ssim = float(np.mean(list(_means(own, "ssim").values())))
            found.append(Paired(label, steps, prompts, *difference, ssim))
    return found


def screen(found: Sequence[Paired], scorer: str) -> Table:
    """The table for the terminal."""
    table = Table(title=f"Paired difference in score (x - vanilla), same noise, with 95% intervals; by {scorer}")
    for name in ("", "steps", "prompts", "x - vanilla", "SSIM with vanilla"):
        table.add_column(name, justify="right" if name else "left")
    for row in found:
        value = rf"{row.minus_vanilla:+.4f} \[{row.low:+.4f}, {row.high:+.4f}]"
        table.add_row(row.variant.replace("[", r"\["), str(row.steps), str(row.prompts), value, f"{row.ssim:.4f}")
    return table


def as_csv(found: Sequence[Paired]) -> str:
    """The differences as CSV, one line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Paired)])
    writer.writerows([f"{x:.6g}" if isinstance(x, float) else x for x in astuple(row)] for row in found)
    return text.getvalue()


def _means(pictures: Pictures, measure: str) -> dict[tuple[str, int], float]:
    """A measure by prompt and seed, with the draws of a random order averaged."""
    return {place: float(np.mean([row[measure] for row in drawn])) for place, drawn in pictures.items()}
