"""The study as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

DASH = "–"


def interval(value: Sequence[float] | None, digits: int = 4) -> str:
    return DASH if value is None else "{:+.{d}f} [{:+.{d}f}, {:+.{d}f}]".format(*value, d=digits)


def screen(result: dict[str, Any]) -> Iterator[Table]:
    """Tables: effects at each number of steps, dynamic against others, tunings and the paper's claims, fewer steps."""
    for steps, found in result["steps"].items():
        for kind in ("all", "prompts", "combinations"):
            yield _effects(
                f"{result['model']}, {steps} steps, {kind}", [e for e in found["effects"] if e["set"] == kind]
            )
        table = Table("captions", "", "over", "score", "obeyed", title=f"{steps} steps: what dynamic adds")
        for d in found["differences"]:
            table.add_row(d["set"], d["variant"], d["over"], interval(d["score"]), interval(d["obeyed"], 3))
        if table.row_count:
            yield table
    table = Table("tuned", "steps", "claim (Sec. III-F)", "difference", "", title="The paper's claims in tuned weights")
    for tuned in result["tables"]:
        if tuned["way"].startswith("dynamic"):
            for claim in tuned["claims"]:
                held = "holds" if claim["holds"] else "does not"
                table.add_row(tuned["way"], str(tuned["steps"]), claim["claim"], f"{claim['difference']:+.3f}", held)
    yield table
    table = Table("tuned", "steps", "iterations", "best at", "pictures", "CPU minutes", "validation gain", title="Cost")
    for tuned in result["tables"]:
        d = tuned["tuning"]
        gain = interval([d["validation_gain"], *d["validation_interval"]])
        cells = (
            tuned["steps"],
            d["iterations"],
            d["best_iteration"],
            d["pictures"],
            f"{d['cpu_seconds'] / 60:.1f}",
            gain,
        )
        table.add_row(tuned["way"], *map(str, cells))
    yield table
    table = Table("", "cosine of w - 1", "tau-b", title="Do tunings agree?")
    for pair in result["likeness"]:
        names = " / ".join(f"{way} at {steps}" for way, steps in (pair["a"], pair["b"]))
        table.add_row(names, f"{pair['cosine']:+.2f}", f"{pair['tau_b']:+.2f}")
    yield table
    table = Table("", "steps", "s", "vanilla's steps", "s", "score difference", "obeyed", title="Fewer steps")
    for f in result["fewer_steps"]:
        table.add_row(
            f["variant"], str(f["steps"]), f"{f['seconds']:.3f}", str(f["over_vanilla_at"]),
            f"{f['seconds_vanilla']:.3f}", interval(f["score"]), interval(f["obeyed"], 3),
        )  # fmt: skip
    yield table


def _effects(title: str, found: Sequence[dict[str, Any]]) -> Table:
    table = Table(
        "", "score", "- vanilla", "obeyed", "- vanilla", "SSIM", "saturation - vanilla", "Frechet", "- vanilla",
        title=f"{title}, {found[0]['captions']} captions, {found[0]['pictures']} pictures",
    )  # fmt: skip
    for e in found:
        table.add_row(
            e["variant"], f"{e['score']:.4f}", interval(e.get("score_over_vanilla")), f"{e['obeyed']:.1%}",
            interval(e.get("obeyed_over_vanilla"), 3), f"{e['ssim']:.3f}", interval(e.get("saturation_over_vanilla"), 3),
            f"{e['frechet']:.1f}" if "frechet" in e else DASH, interval(e.get("frechet_over_vanilla"), 2),
        )  # fmt: skip
    return table
