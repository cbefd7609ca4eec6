"""Aggregates rows of pictures into a table with the paper's numbers: for the terminal, as CSV and as a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from ...storage.rowfile import Row
from ..stats.intervals import bootstrap
from .experiments import Experiment, label_of
from .paper import SPLITS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("score", "ssim", "mean_difference", "cosine", "seconds")
SAID = {"score": "score", "ssim": "SSIM with vanilla", "seconds": "seconds (median)"}


@dataclass(frozen=True)
class Cell:
    """Means of each measure over n pictures of one row and column (seconds: the median).

    intervals: the 95% interval of each mean or median, (low, high), over the prompts; for one prompt, the value.
    """

    n: int
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


Cells = dict[tuple[str, str], Cell]


def column_of(experiment: Experiment, row: Row) -> str:
    """The table column of a picture's row."""
    if experiment.columns == "steps":
        return f"{row['steps']} steps"
    return f"{row['category']} {_split(row['seed'])}"


def cells(experiment: Experiment, rows: Iterable[Row]) -> Cells:
    """Averages by (row, column), in the table's order; with categories, "avg" is the mean over all their pictures."""
    gathered: dict[tuple[str, str], list[Row]] = {}
    columns: dict[str, None] = {}
    for row in rows:
        places = [column_of(experiment, row)]
        if experiment.columns == "category":
            places.append(f"avg {_split(row['seed'])}")
        for column in places:
            columns[column] = None
            gathered.setdefault((label_of(row["variant"]), column), []).append(row)
    order = sorted(columns, key=_place)
    return {
        (label, column): _cell(gathered[label, column])
        for label in experiment.labels
        for column in order
        if (label, column) in gathered
    }


def measure_of(experiment: Experiment, found: Cells) -> str:
    """The measure that the table shows: the score, or SSIM without scores; seconds or SSIM if the table is about them."""
    if experiment.measure == "seconds":
        return "seconds"
    scored = any("score" in cell.values for cell in found.values())
    return "score" if scored and experiment.measure == "score" else "ssim"


def screen(experiment: Experiment, found: Cells, scorer: str) -> Table:
    """The table for the terminal, with the paper's numbers in brackets under ours."""
    measure = measure_of(experiment, found)
    title = f"{experiment.title}: {SAID[measure]}"
    title += f" by {scorer}" if measure == "score" else f"; score: {scorer}"
    if experiment.numbers:
        title += f" (in brackets the paper's HPS v2 of {experiment.paper_model})"
    table = Table(title=title, caption=_caption(experiment, found))
    columns = list(dict.fromkeys(column for _, column in found))
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for label in experiment.labels:
        values = []
        for column in columns:
            cell, printed = found.get((label, column)), experiment.numbers.get((label, column))
            ours = f"{cell.values[measure]:.4f}" if cell else "–"
            values.append(ours if printed is None else f"{ours}\n({printed:.4f})")
        table.add_row(label.replace("[", r"\["), *values)
    return table


def as_csv(experiment: Experiment, found: Cells) -> str:
    """The table as CSV, a line for each cell: every measure with its 95% interval, and the paper's number if any."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [measure + end for measure in MEASURES for end in ("", "_low", "_high")]
    writer.writerow(["row", "column", "pictures", *head, "paper"])
    for (label, column), cell in found.items():
        values = [
            f"{value:.6g}" if measure in cell.values else ""
            for measure in MEASURES
            for value in (cell.values.get(measure), *cell.intervals.get(measure, (None, None)))
        ]
        writer.writerow([label, column, cell.n, *values, experiment.numbers.get((label, column), "")])
    return text.getvalue()


def as_json(found: Cells) -> list[dict[str, Any]]:
    """The cells as JSON: row, column, number of pictures, and each measure as [value, low, high]."""
    return [
        {"row": label, "column": column, "pictures": cell.n}
        | {measure: [value, *cell.intervals[measure]] for measure, value in cell.values.items()}
        for (label, column), cell in found.items()
    ]


def figure(experiment: Experiment, found: Cells, scorer: str) -> Figure:
    """The table as a figure: distances of pictures (Fig. 3), lines over low (Fig. 4), or a line for each row."""
    from matplotlib.figure import Figure

    measure = measure_of(experiment, found)
    labels = [label for label in experiment.labels if any(place[0] == label for place in found)]
    columns = list(dict.fromkeys(column for _, column in found))
    drawn = Figure(figsize=(max(7, 0.9 * len(columns) + 3), 5), layout="constrained")
    axes = drawn.subplots()
    if experiment.name == "fig3":
        _scatter(axes, found)
    elif experiment.name == "fig4":
        _over_low(axes, found, labels, columns, measure)
    else:
        for label in labels:
            points = [(x, found[label, column]) for x, column in enumerate(columns) if (label, column) in found]
            axes.errorbar(
                [x for x, _ in points], [cell.values[measure] for _, cell in points],
                np.transpose([_reach(cell, measure) for _, cell in points]), marker="o", capsize=2, lw=1, label=label,
                linestyle="--" if label == "vanilla" else "-",
            )  # fmt: skip
        axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axes.set_ylabel(SAID[measure] + (f" ({scorer})" if measure == "score" else ""))
    axes.set_title(experiment.title, fontsize=10)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return drawn


def sheet(rows: Iterable[Row], experiment: Experiment, folder: Path, names: Mapping[int, str]) -> Figure:
    """A contact sheet of the first prompt and seed: a row for each variant, a column for each number of steps.

    names: the picture's file in folder, by the row's index in `rows`.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    listed = list(rows)
    first = listed[0]
    steps = sorted({row["steps"] for row in listed})
    drawn = Figure(figsize=(2.1 * len(steps) + 1, 2.2 * len(experiment.labels) + 0.6), layout="constrained")
    grid = drawn.subplots(len(experiment.labels), len(steps), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for number, row in enumerate(listed):
        if (row["prompt"], row["seed"]) != (first["prompt"], first["seed"]) or number not in names:
            continue
        axes = grid[experiment.labels.index(label_of(row["variant"]))][steps.index(row["steps"])]
        with Image.open(folder / names[number]) as picture:
            axes.imshow(np.asarray(picture.convert("RGB")))
        axes.set_title(f"{row['variant']}, {row['steps']} steps", fontsize=7)
    drawn.suptitle(first["prompt"], fontsize=8)
    return drawn


def _scatter(axes, found: Cells) -> None:
    kinds = dict.fromkeys(label.split()[0] for label, _ in found)
    for kind in kinds:
        points = [cell.values for (label, _), cell in found.items() if label.split()[0] == kind]
        axes.scatter([p["mean_difference"] for p in points], [1 - p["ssim"] for p in points], label=kind)
    axes.set_xlabel("mean difference from vanilla (0-255)")
    axes.set_ylabel("1 - SSIM with vanilla")


def _over_low(axes, found: Cells, labels: list[str], columns: list[str], measure: str) -> None:
    lows = {label: float(label.strip("[]").split(",")[0]) for label in labels if label != "vanilla"}
    for column in columns:
        points = [
            (low, found[label, column].values[measure]) for label, low in lows.items() if (label, column) in found
        ]
        (line,) = axes.plot(*zip(*points, strict=True), marker="o", lw=1, label=column)
        if ("vanilla", column) in found:
            axes.axhline(found["vanilla", column].values[measure], ls="--", lw=1, color=line.get_color())
    axes.set_xlabel("low (dashed: vanilla)")
    axes.set_ylabel(SAID[measure])


def _cell(rows: list[Row]) -> Cell:
    values, intervals = {}, {}
    for measure in MEASURES:
        by_prompt: dict[str, list[float]] = {}
        for row in rows:
            if row.get(measure) is not None:
                by_prompt.setdefault(row["prompt"], []).append(row[measure])
        if measure == "seconds" and by_prompt:
            found = np.concatenate([*by_prompt.values()])
            values[measure] = float(np.median(found))
            intervals[measure] = bootstrap(np.median, found, draws=1000)
        elif by_prompt:
            means = np.array([np.mean(found) for found in by_prompt.values()])
            values[measure] = float(means.mean())
            intervals[measure] = bootstrap(np.mean, means, draws=1000)
    return Cell(len(rows), values, intervals)


def _reach(cell: Cell, measure: str) -> tuple[float, float]:
    """The distances from a measure's value to its interval's lower and upper end."""
    low, high = cell.intervals[measure]
    return max(cell.values[measure] - low, 0.0), max(high - cell.values[measure], 0.0)


def _caption(experiment: Experiment, found: Cells) -> str:
    pictures = min((cell.n for cell in found.values()), default=0)
    text = f"at least {pictures} picture{'s' * (pictures != 1)} in each cell"
    if experiment.measure == "seconds":
        base = {column: cell.values["seconds"] for (label, column), cell in found.items() if label == "vanilla"}
        ratios = [
            f"{label} at {column} {cell.values['seconds'] / base[column]:.3f}"
            for (label, column), cell in found.items()
            if label != "vanilla" and base.get(column)
        ]
        text += "; times vanilla: " + ", ".join(ratios)
    return text.replace("[", r"\[")


def _split(seed: int) -> str:
    return SPLITS.get(seed, f"seed-{seed}")


def _place(column: str) -> tuple:
    """Sort key: by number of steps; or by category, with "avg" last, "train" and "test" before other seeds."""
    category, _, split = column.rpartition(" ")
    number = int(category) if split == "steps" else 0
    return number, category == "avg", category, {"train": 0, "test": 1}.get(split, 2), split
