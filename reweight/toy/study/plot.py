"""The study's figure: validation loss over minutes, and final prompt adherence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...bench.stats.intervals import bootstrap
from ...bench.stats.result_file import write_figure

KINDS = {
    "base": "going on with the base model", "student": "a student of two steps", "small": "four of seven blocks",
}  # fmt: skip
LOSSES = {
    "base": "validation v-loss",
    "student": "one step against the teacher's ten: MSE",
    "small": "validation v-loss",
}


def draw(found: dict[str, Any], path: Path) -> None:
    """One column per kind of arm: losses by minute above, prompt adherence with 95% intervals below."""
    kinds = [kind for kind in KINDS if any(arm["kind"] == kind for arm in found["arms"])]
    rows = 1 + all("obeyed" in arm["end"] for arm in found["arms"])
    sheet = Figure(figsize=(5.2 * len(kinds), 3.2 * rows), layout="constrained")
    axes = sheet.subplots(rows, len(kinds), squeeze=False)
    for column, kind in zip(axes.T, kinds, strict=True):
        arms = [arm for arm in found["arms"] if arm["kind"] == kind]
        for arm in arms:
            column[0].plot(
                range(len(arm["history"])), [row[2] for row in arm["history"]], marker="o", ms=3, label=arm["title"]
            )
        column[0].set(title=KINDS[kind], xlabel="minutes of one processor", ylabel=LOSSES[kind])
        column[0].legend(fontsize=7)
        if rows == 2:
            _read(column[1], arms)
    write_figure(path, sheet, dpi=110)


def _read(axis: Any, arms: list[dict[str, Any]]) -> None:
    """Prompt adherence at the start and at the end."""
    for y, arm in enumerate(reversed(arms)):
        for when, colour, shift in (("begin", "#999", 0.13), ("end", f"C{len(arms) - 1 - y}", -0.13)):
            rows = np.array(arm[when]["obeyed"])
            low, high = bootstrap(np.mean, rows, draws=1000)
            axis.plot([low, high], [y + shift] * 2, color=colour, lw=2)
            axis.plot(rows.mean(), y + shift, "o", color=colour, ms=5)
    axis.set_yticks(range(len(arms)), [arm["title"] for arm in reversed(arms)], fontsize=7)
    axis.set(xlabel="caption shown, by the judge (grey: before)", ylim=(-0.6, len(arms) - 0.4))
