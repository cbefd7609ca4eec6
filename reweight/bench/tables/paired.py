"""What each variant scores over vanilla: same prompt, same noise, same steps; the intervals are over the prompts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from rich.table import Table

from ...storage.rowfile import Row
from ..stats.intervals import paired_difference
from .experiments import Experiment


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
    scored: dict[tuple[str, int], dict[tuple[str, int], Row]] = {}
    for row in rows:
        if row["score"] is not None:
            scored.setdefault((row["variant"], row["steps"]), {})[row["prompt"], row["seed"]] = row
    found = []
    for variant in experiment.variants:
        base = scored.get(("vanilla", variant.steps), {})
        own = {place: row for place, row in scored.get((variant.label, variant.steps), {}).items() if place in base}
        prompts = len({prompt for prompt, _ in own})
        if variant.label != "vanilla" and prompts > 1:
            over = paired_difference(_scores(own), _scores(base))
            ssim = float(np.mean([row["ssim"] for row in own.values()]))
            found.append(Paired(variant.label, variant.steps, prompts, *over, ssim))
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


def _scores(rows: dict[tuple[str, int], Row]) -> dict[tuple[str, int], float]:
    return {place: row["score"] for place, row in rows.items()}
