"""Tables and numbers of docs/TRAINING.md: throughput of a training step, and the study of ways of training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .results import Results, markdown, mean_interval

KINDS = {
    "base": "plain",
    "student": "consistency",
    "small": "assembly-paper",
    "new": "plain",
}  # what each is compared with
STAGES = ("data", "text encoder", "forward", "backward", "optimiser")


def throughput(results: Results) -> str:
    """Time of each stage, latents per second, and the share of the matrix product's speed."""
    found = results["toy-throughput"]
    head = ["way of computing", "threads", *(f"{stage}, ms" for stage in STAGES), "latents a processor second"]
    rows = []
    for row in found["rows"]:
        stages = [f"{1000 * row['processor seconds'][stage]:.0f}" for stage in STAGES]
        speeds = [f"{row['latents a processor second']:.0f}", f"{row['latents a second']:.0f}"]
        rows.append(
            [row["variant"], str(row["threads"]), *stages, *speeds, f"{row['load']:.1f}", f"{row['share']:.0%}"]
        )
    return markdown([*head, "latents/s, elapsed", "load average", "share of matrix speed"], rows)


def study(results: Results, kind: str) -> str:
    """Each arm of a kind: loss and prompt adherence, with paired differences from the baseline."""
    arms = of_kind(results, kind)
    baseline = next((arm for arm in arms if arm["arm"] == KINDS[kind]), None)
    loss = "error of one step" if kind == "student" else "validation v-loss"
    head = ["arm", "steps", f"{loss}, before", "after", "after - before"]
    head += [f"after - {baseline['title']}"] if baseline else []
    judged = all("obeyed" in arm["end"] for arm in arms)
    head += ["caption shown, before", "after", "after - before"] if judged else []
    head += ["GFLOP a call"] if kind == "small" else []
    rows = []
    for arm in arms:
        begin, end = arm["begin"], arm["end"]
        cells = [
            arm["title"],
            str(arm["steps"]),
            _mean(begin["loss"]),
            _mean(end["loss"]),
            _difference(end, begin, "loss"),
        ]
        if baseline:
            cells.append("" if arm is baseline else _difference(end, baseline["end"], "loss"))
        if judged:
            cells += [f"{np.mean(begin['obeyed']):.1%}", f"{np.mean(end['obeyed']):.1%}"]
            cells.append(_difference(end, begin, "obeyed", "{:+.1%}"))
        cells += [f"{end['GFLOP a call']:.3f}"] if kind == "small" else []
        rows.append(cells)
    return markdown(head, rows)


def of_kind(results: Results, kind: str) -> list[dict[str, Any]]:
    """The arms of a kind, empty if not measured; "new" are those trained from random weights."""
    name, kind = ("toy-study-new", "base") if kind == "new" else ("toy-study", kind)
    return [arm for arm in results.found.get(name, {}).get("arms", []) if arm["kind"] == kind]


def throughput_numbers(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Numbers of the throughput measurement."""
    yield "batch", str(found["batch"])
    yield "GFLOP", f"{found['GFLOP a step']:.0f}"
    for threads, by in found["matrix GFLOP/s"].items():
        for kind, speed in by.items():
            yield f"matrix.{kind}.{threads}", f"{speed:.0f}"
    for row in found["rows"]:
        key = f"{row['variant']}.{row['threads']}"
        yield f"{key}.latents", f"{row['latents a processor second']:.0f}"
        yield f"{key}.first", f"{row['first step']:.0f}"
        yield f"{key}.share", f"{row['share']:.0%}"


def numbers(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Numbers of the study."""
    yield "minutes", str(found["minutes"])
    yield "pictures", str(found["size"]["pictures"])
    yield "held", str(len(found["arms"][0]["end"]["loss"]))
    yield "captions", str(len(found["arms"][0]["end"].get("obeyed", ())))
    yield "sampling steps", str(found["sampling steps"])
    baselines = {arm["kind"]: arm for arm in found["arms"] if arm["arm"] == KINDS[arm["kind"]]}
    for arm in found["arms"]:
        yield f"{arm['arm']}.steps", str(arm["steps"])
        for name, form in (("loss", "{:+.4f}"), ("obeyed", "{:+.1%}"), ("subject", "{:+.1%}")):
            if name not in arm["end"]:
                continue
            yield f"{arm['arm']}.{name}", _difference(arm["end"], arm["begin"], name, form)
            if arm["kind"] in baselines and arm["arm"] != KINDS[arm["kind"]]:
                against = baselines[arm["kind"]]["end"]
                yield f"{arm['arm']}.{name} against baseline", _difference(arm["end"], against, name, form)
        if "left_out" in arm:
            yield f"{arm['arm']}.left out", ", ".join(map(str, arm["left_out"]))
        own = arm["end"].get("loss with the picture's own memory")
        if own:
            yield f"{arm['arm']}.own", mean_interval(np.subtract(own, arm["end"]["loss"]), "{:+.4f}")


def _difference(end: dict[str, Any], begin: dict[str, Any], name: str, form: str = "{:+.4f}") -> str:
    """The mean paired difference with its 95% interval."""
    return mean_interval(np.subtract(end[name], begin[name]), form)


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.4f}"
