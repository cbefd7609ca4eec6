"""Figures of the study: tuned weights over the steps, each table's gain, and pairs vanilla | tuned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from ...engine.drawing import draw
from ...engine.request import validate
from ...methods.base import Drawing
from ...models.loading import LoadedModel
from ..stats.result_file import write_figure

PAIRS = (0, 13, 26, 39, 52)  # indices into SHOWN test captions, chosen before any was drawn
SHOWN = 64
SEED = 42
ORDER = ("dynamic", "static", "one number", "calibrated", "paper-code")


def figure(results: Sequence[dict[str, Any]], path: Path) -> None:
    """A row for each model: the dynamic table with most steps, what every table gains, and score against seconds."""
    sheet = Figure(figsize=(15, 3.6 * len(results)), layout="constrained")
    axes = sheet.subplots(len(results), 3, squeeze=False, width_ratios=(1.3, 1, 0.9))
    for row, result in zip(axes, results, strict=True):
        found = [table for table in result["tables"] if table["way"] == "dynamic"]
        if found:
            _weights(
                row[0], max(found, key=lambda table: (str(table["steps"]) in result["steps"], table["steps"])), result
            )
        _gains(row[1], result)
        _pareto(row[2], result)
    write_figure(path, sheet, dpi=130)


def pairs(loaded: LoadedModel, captions: Sequence[str], steps: int, weights: np.ndarray, path: Path) -> None:
    """A picture of vanilla | tuned pairs for the captions with indices PAIRS that exist, with seed 42."""
    chosen = [captions[i] for i in PAIRS if i < len(captions)]
    side, gap, foot = loaded.card.size, 6, 14
    sheet = Image.new("RGB", (len(chosen) * (2 * side + 2 * gap), side + foot), "white")
    pen = ImageDraw.Draw(sheet)
    for i, prompt in enumerate(chosen):
        request = validate(loaded.card, model=loaded.card.key, prompt=prompt, seed=SEED, steps=steps)
        left = i * (2 * side + 2 * gap)
        for column, x in (("vanilla", left), ("reweighted", left + side + 2)):
            drawing = Drawing(steps, request.guidance, loaded.card.family, weights=weights)
            sheet.paste(draw(loaded, request, column, drawing).images[0], (x, 0))
        pen.text((left, side + 1), prompt[: 2 * side // 6], fill="black")
    sheet.save(path, quality=92)


def _weights(axes: Any, table: dict[str, Any], result: dict[str, Any]) -> None:
    w = np.array(table["weights"])
    far = max(0.05, float(np.abs(w - 1).max()))
    axes.imshow(w.T, cmap="RdBu_r", vmin=1 - far, vmax=1 + far, aspect="auto")
    for (t, i), value in np.ndenumerate(w):
        dark = abs(value - 1) > 0.65 * far
        axes.text(t, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set(xlabel="step", ylabel="block", title=f"{result['model']}: weights tuned at {table['steps']} steps")
    axes.set_xticks(range(len(w)), range(1, len(w) + 1))
    held = [
        f"{'holds' if c['holds'] else 'does not hold'}: {c['claim']} ({c['difference']:+.3f})" for c in table["claims"]
    ]
    axes.text(0, -0.22, "\n".join(held), transform=axes.transAxes, va="top", fontsize=7)


def _gains(axes: Any, result: dict[str, Any]) -> None:
    labels, values = [], []
    for steps, found in result["steps"].items():
        by = {e["variant"]: e for e in found["effects"] if e["set"] == "all"}
        for name in ORDER:
            if name in by:
                labels.append(f"{name}, {steps}")
                values.append((by[name]["score_over_vanilla"], by[name]["obeyed_over_vanilla"]))
    y = np.arange(len(labels))
    for shift, place, colour, name in (
        (-0.15, 0, "tab:blue", "score"),
        (0.15, 1, "tab:orange", "what is asked for, judge"),
    ):
        mean, low, high = np.array([value[place] for value in values]).T
        axes.errorbar(mean, y + shift, xerr=[mean - low, high - mean], fmt="o", color=colour, label=name, capsize=2)
    axes.axvline(0, color="grey", lw=0.8)
    axes.set_yticks(y, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("paired difference from vanilla, 95% intervals", fontsize=9)
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, -0.3), ncols=2)


def _pareto(axes: Any, result: dict[str, Any]) -> None:
    """Mean score against the seconds of a picture, at each number of steps: vanilla, and with dynamic weights."""
    for name, title, colour in (("vanilla", "vanilla", "tab:grey"), ("dynamic", "tuned, dynamic", "tab:blue")):
        points = []
        for steps, found in sorted(result["steps"].items(), key=lambda item: int(item[0])):
            effect = next((e for e in found["effects"] if (e["set"], e["variant"]) == ("all", name)), None)
            if effect is not None and name in result["seconds"][steps]:
                points.append(
                    (result["seconds"][steps][name], effect["score"], steps, effect.get("score_over_vanilla"))
                )
        if not points:
            continue
        x, y = [point[0] for point in points], [point[1] for point in points]
        ends = [(over[0] - over[1], over[2] - over[0]) if over else (0.0, 0.0) for *_, over in points]
        bars = np.array(ends).T if name != "vanilla" else None
        axes.errorbar(x, y, yerr=bars, fmt="o-", color=colour, capsize=2, lw=1, label=title)
        for seconds, score, steps, _ in points:
            axes.annotate(steps, (seconds, score), xytext=(4, -9), textcoords="offset points", fontsize=7, color=colour)
    axes.set(xlabel="seconds of a picture", ylabel="score", title="score against time; numbers are steps")
    axes.title.set_fontsize(9)
    axes.margins(0.08, 0.14)
    axes.legend(fontsize=7)
