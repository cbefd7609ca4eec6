"""The comparison of methods as a table with intervals, and as a figure of quality against cost."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ...storage.rowfile import Row
from ...toy.judges.classifier import Judge
from ..stats.frechet import frechet
from ..stats.intervals import bootstrap, paired_difference
from .variants import VANILLA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Interval = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Line:
    """One variant at a number of steps over n prompts, with 95% intervals over the prompts; for time, over the batches.

    time, cpu: median ratios of wall-clock and processor seconds to vanilla's in the same round; other programs affect
    the latter less. flops: of a whole picture, as a ratio to vanilla's. score, obeyed (prompt adherence): means;
    over_vanilla, obeyed_over_vanilla: paired differences. frechet: distance from real pictures, comparable only at the
    same n. ssim: with vanilla's picture. against_package: the ratio of our time to the public package's, if there is one.
    """

    variant: str
    steps: int
    prompts: int
    seconds: float
    time: Interval
    cpu: Interval
    flops: float
    gigaflops: float
    score: float
    over_vanilla: Interval
    obeyed: float
    obeyed_over_vanilla: Interval
    frechet: Interval
    ssim: Interval
    report: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def lines(rows: Sequence[Row], flops: dict[tuple[str, int], int], judge: Judge) -> list[Line]:
    """A Line for each variant at each number of steps in the rows."""
    found = []
    for steps in sorted({row["steps"] for row in rows}):
        some = [row for row in rows if row["steps"] == steps]
        vanilla = {_item(row): row for row in some if row["variant"] == VANILLA}
        for variant in dict.fromkeys(row["variant"] for row in some):
            own = {_item(row): row for row in some if row["variant"] == variant and _item(row) in vanilla}
            found.append(_line(variant, steps, own, vanilla, flops, judge))
    order = {label: i for i, (label, _) in enumerate(flops)}
    return sorted(found, key=lambda line: (line.steps, order.get(line.variant, len(order))))


def ratio(rows: Sequence[Row], variant: str, other: str, steps: int, name: str = "seconds") -> Interval:
    """The ratio of a variant's seconds, or "cpu", to another's in the same batch: median and interval over the batches."""
    some = {(row["variant"], _item(row)): row[name] for row in rows if row["steps"] == steps}
    ratios = [seconds / some[other, item] for (label, item), seconds in some.items() if label == variant]
    return _interval(np.array(list(dict.fromkeys(ratios))), np.median)


def _line(
    variant: str, steps: int, own: dict[Any, Row], vanilla: dict[Any, Row], flops: dict[tuple[str, int], int],
    judge: Judge,
) -> Line:  # fmt: skip
    def values(name: str, rows: dict[Any, Row]) -> dict[Any, float]:
        return {item: row[name] for item, row in rows.items()}

    def distance(features: np.ndarray) -> float:
        return frechet(features, judge.mean, judge.covariance)

    # the pictures of a batch share its time: one ratio per batch
    def ratios(name: str) -> np.ndarray:
        return np.array(list(dict.fromkeys(row[name] / vanilla[item][name] for item, row in own.items())))

    features = np.array([row["features"] for row in own.values()])
    said = next(iter(own.values()))["report"]
    return Line(
        variant, steps, len(own),
        seconds=float(np.median([row["seconds"] for row in own.values()])),
        time=_interval(ratios("seconds"), np.median),
        cpu=_interval(ratios("cpu"), np.median),
        flops=flops[variant, steps] / flops[VANILLA, steps],
        gigaflops=flops[variant, steps] / 1e9,
        score=float(np.mean(list(values("score", own).values()))),
        over_vanilla=paired_difference(values("score", own), values("score", vanilla)),
        obeyed=float(np.mean(list(values("obeyed", own).values()))),
        obeyed_over_vanilla=paired_difference(values("obeyed", own), values("obeyed", vanilla)),
        frechet=(distance(features), *bootstrap(distance, features, draws=100, biased=True)),
        ssim=_interval(np.array(list(values("ssim", own).values())), np.mean),
        report="; ".join(f"{key}: {text}" for key, text in said.items()),
    )  # fmt: skip


def table(found: Sequence[Line], model: str) -> Any:
    """Lines as a rich table."""
    from rich.table import Table

    made = Table(
        "steps", "method", "time / vanilla", "CPU / vanilla", "FLOPs / vanilla", "score - vanilla", "obeyed", "Frechet", "SSIM",
        title=f"{model}: {found[0].prompts} held-out prompts, 95% intervals",
    )  # fmt: skip
    for line in found:
        plain = line.variant == VANILLA
        made.add_row(
            str(line.steps), line.variant,
            f"{line.seconds:.2f} s" if plain else _said(line.time, ".2f"),
            "" if plain else _said(line.cpu, ".2f"),
            f"{line.gigaflops:.1f} G" if plain else f"{line.flops:.2f}",
            f"({line.score:.4f})" if plain else _said(line.over_vanilla, "+.4f"),
            f"{line.obeyed:.3f}" if plain else f"{line.obeyed:.3f}, {_said(line.obeyed_over_vanilla, '+.3f')}",
            f"{line.frechet[0]:.1f}", "" if plain else f"{line.ssim[0]:.3f}",
            end_section=line is found[-1] or found[found.index(line) + 1].steps != line.steps,
        )  # fmt: skip
    return made


def as_csv(found: Sequence[Line]) -> str:
    """Lines as CSV, with a column for each figure and each interval bound."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for i, line in enumerate(found):
        flat: dict[str, Any] = {}
        for name, value in line.as_json().items():
            ends = {name: value[0], f"{name} low": value[1], f"{name} high": value[2]} if isinstance(value, tuple) else {name: value}  # fmt: skip
            flat |= {key: round(item, 5) if isinstance(item, float) else item for key, item in ends.items()}
        if i == 0:
            writer.writerow(flat)
        writer.writerow(flat.values())
    return text.getvalue()


def pareto(found: Sequence[Line], model: str) -> Figure:
    """A figure of score and prompt adherence against FLOPs; the line is vanilla at different numbers of steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    measures: list[tuple[str, Callable[[Line], float]]] = [
        ("toy score", lambda line: line.score), ("share of what was asked for that is seen", lambda line: line.obeyed),
    ]  # fmt: skip
    labels = [label for label in dict.fromkeys(line.variant for line in found) if label != VANILLA]
    marks = {label: (f"C{i % 10}", "osD^vP*X"[i % 8]) for i, label in enumerate(labels)}
    for axes, (name, measure) in zip(figure.subplots(1, 2), measures, strict=True):
        plain = sorted((line for line in found if line.variant == VANILLA), key=lambda line: line.gigaflops)
        axes.plot([line.gigaflops for line in plain], [measure(line) for line in plain], "k.-", label=VANILLA)
        for line in plain:
            axes.annotate(
                f"{line.steps}", (line.gigaflops, measure(line)), xytext=(2, 4), textcoords="offset points", fontsize=8
            )
        for label in labels:
            own = [line for line in found if line.variant == label]
            colour, marker = marks[label]
            axes.scatter(
                [line.gigaflops for line in own], [measure(line) for line in own], label=label, color=colour, marker=marker,
                alpha=0.8,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks([line.gigaflops for line in plain], [f"{line.gigaflops:.0f}" for line in plain])
        axes.minorticks_off()
        axes.grid(axis="y", alpha=0.25)
        axes.set_xlabel("GFLOPs of a picture")
        axes.set_ylabel(name)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.suptitle(f"{model}: quality against cost; numbers are vanilla's steps", fontsize=11)
    return figure


def _item(row: Row) -> tuple[str, int]:
    return row["prompt"], row["seed"]


def _interval(values: np.ndarray, statistic: Callable[[np.ndarray], Any]) -> Interval:
    return float(statistic(values)), *bootstrap(statistic, values, draws=1000)


def _said(interval: Interval, kind: str) -> str:
    return f"{interval[0]:{kind}} [{interval[1]:{kind}}, {interval[2]:{kind}}]"
