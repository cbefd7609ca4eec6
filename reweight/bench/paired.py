"""What each variant scores over vanilla: same prompt, same noise, same steps; the intervals are over the prompts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from rich.table import Table

from .experiments import Experiment
from .intervals import bootstrap
from .rowfile import Row


@dataclass(frozen=True)
class Paired:
    """One variant at one number of steps: its mean score over vanilla's with the 95% interval, and its mean SSIM."""

    variant: str
    steps: int
    prompts: int
    over_vanilla: float
    low: float
    high: float
    ssim: float


def over_vanilla(experiment: Experiment, rows: Iterable[Row]) -> list[Paired]:
    """In the experiment's order; nothing where there are no scores, or not two prompts to tell an interval from."""
    scored = {
        (row["variant"], row["steps"], row["prompt"], row["seed"]): row for row in rows if row["score"] is not None
    }
    found = []
    for variant in experiment.variants:
        differences: dict[str, list[float]] = {}
        likeness = []
        for (label, steps, *drawn), row in scored.items():
            beside = scored.get(("vanilla", steps, *drawn))
            if (label, steps) == (variant.label, variant.steps) and label != "vanilla" and beside:
                differences.setdefault(row["prompt"], []).append(row["score"] - beside["score"])
                likeness.append(row["ssim"])
        if len(differences) > 1:
            means = np.array([np.mean(values) for values in differences.values()])
            value, (low, high) = float(means.mean()), bootstrap(np.mean, means, draws=1000)
            found.append(Paired(variant.label, variant.steps, len(means), value, low, high, float(np.mean(likeness))))
    return found


def screen(found: Sequence[Paired], scorer: str) -> Table:
    """The table to print."""
    table = Table(title=f"Score over vanilla's, in pairs from the same noise, with 95% intervals; by {scorer}")
    for name in ("", "steps", "prompts", "over vanilla", "SSIM to vanilla"):
        table.add_column(name, justify="right" if name else "left")
    for row in found:
        value = rf"{row.over_vanilla:+.4f} \[{row.low:+.4f}, {row.high:+.4f}]"
        table.add_row(row.variant.replace("[", r"\["), str(row.steps), str(row.prompts), value, f"{row.ssim:.4f}")
    return table


def as_csv(found: Sequence[Paired]) -> str:
    """A line for each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Paired)])
    writer.writerows([f"{x:.6g}" if isinstance(x, float) else x for x in astuple(row)] for row in found)
    return text.getvalue()
