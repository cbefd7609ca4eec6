"""Tables and numbers of docs/PEERS.md: comparison of methods, full-size FLOPs, and steps chosen by importance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .results import Results, interval, markdown

METHODS = ("freeu", "skip-tuning", "faster-diffusion", "inherit", "at-edm", "tomesd", "tgate", "deis")
CLAIMS = {
    "inherit, every 3": "2.3x in time", "inherit, every 5": "3.2x in time", "faster-diffusion": "41% faster",
    "at-edm": "SDXL: 38.8% fewer FLOPs", "tomesd, 0.5": "32% less time", "tgate": "39% less time (SD), 47% (SDXL)",
}  # fmt: skip


def comparison(results: Results, model: str) -> str:
    """Every method at every number of steps."""
    name = f"peers-{model}"
    if name not in results.found:
        option = "" if model == "toy" else f" --model {model}"
        return f"Not measured on this checkout yet: `python -m reweight bench peers{option} --out docs/results`."
    found = results[name]
    head = ["steps", "method", "wall-clock / vanilla", "CPU time / vanilla", "FLOPs / vanilla", "score, x - vanilla"]
    rows = []
    for line in found["lines"]:
        plain = line["variant"] == "vanilla"
        rows.append([
            str(line["steps"]), line["variant"],
            f"({line['seconds']:.2f} s)" if plain else interval(line["time"], "{:.2f}"),
            "" if plain else interval(line["cpu"], "{:.2f}"),
            f"({line['gigaflops']:.0f} G)" if plain else f"{line['flops']:.2f}",
            f"({line['score']:.3f})" if plain else interval(line["over_vanilla"], "{:+.3f}"),
            f"({line['obeyed']:.3f})" if plain else interval(line["obeyed_over_vanilla"], "{:+.3f}"),
            f"{line['frechet'][0]:.0f}", "" if plain else f"{line['ssim'][0]:.3f}",
        ])  # fmt: skip
    text = markdown([*head, "prompt adherence, x - vanilla", "Frechet", "SSIM"], rows)
    threads = f"{found['threads']} thread{'s' * (found['threads'] > 1)}"
    return f"{found['prompts']} held-out prompts, {threads}, 95% intervals.\n\n{text}"


def of_method(results: Results, key: str) -> str:
    """One method's rows on both embedded models, and its share of the full-size U-Nets' FLOPs."""
    head = ["model", "steps", "variant", "CPU time / vanilla", "FLOPs / vanilla", "score, x - vanilla"]
    rows = []
    for model in ("toy", "toy-turbo"):
        for line in results.found.get(f"peers-{model}", {"lines": []})["lines"]:
            if line["variant"].split(",")[0] == key:
                rows.append([
                    model, str(line["steps"]), line["variant"], interval(line["cpu"], "{:.2f}"), f"{line['flops']:.2f}",
                    interval(line["over_vanilla"], "{:+.3f}"), interval(line["obeyed_over_vanilla"], "{:+.3f}"),
                    f"{line['ssim'][0]:.3f}",
                ])  # fmt: skip
    return (
        markdown([*head, "prompt adherence, x - vanilla", "SSIM"], rows) if rows else "Not measured on this checkout."
    )


def numbers(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Numbers of a comparison: a method's range over its variants and numbers of steps, such as "tgate.saved", and each
    interval, such as "inherit, every 3@50.adherence"."""
    own: dict[str, list[dict[str, Any]]] = {}
    for line in found["lines"]:
        if " + " not in line["variant"] and "package" not in line["variant"] and line["variant"] != "vanilla":
            own.setdefault(line["variant"].split(",")[0], []).append(line)
    for method, lines in own.items():
        saved = sorted(1 - line["flops"] for line in lines)
        yield f"{method}.saved", f"{100 * saved[0]:.0f} to {100 * saved[-1]:.0f}%"
        for kind, name in (("over_vanilla", "score"), ("obeyed_over_vanilla", "adherence")):
            values = sorted((line[kind][0] for line in lines), key=abs)
            yield f"{method}.{name}", f"{values[0]:+.3f} to {values[-1]:+.3f}"
            for line in lines:
                yield f"{line['variant']}@{line['steps']}.{name}", interval(line[kind], "{:+.3f}")


def packages(results: Results) -> str:
    """The ratio of our methods' time to that of the public packages, timed alternately."""
    found = results.found.get("peers-toy")
    if found is None:
        return "Not measured on this checkout yet."
    return markdown(
        ["time of ours over the package's", "ratio"],
        [[name, interval(value, "{:.3f}")] for name, value in found["packages"].items()],
    )


def full_size(results: Results) -> str:
    """The share of the U-Nets' FLOPs that remains with each method."""
    found = results["peers-full-size"]
    titles = {"sd-turbo": "SD-Turbo, SD 2.1", "sdxl": "SDXL"}
    rows = []
    for label in next(iter(found["models"].values())):
        cells = [
            f"({models[label]['teraflops']:.0f} T)" if label == "vanilla" else f"{models[label]['share']:.3f}"
            for models in found["models"].values()
        ]
        rows.append([label, *cells, CLAIMS.get(label, "")])
    return markdown(["method", *(titles.get(key, key) for key in found["models"]), "claimed by its authors"], rows)


def full_size_times(results: Results) -> str:
    """Time of 50 steps and memory of a call, with random weights; ratios to vanilla in the same turn."""
    found = results.found.get("peers-full-size-times")
    if found is None:
        return "Not measured on this checkout yet: `python -m reweight bench peers-full-size-times`."
    models = found["models"]
    rows = []
    for label in next(iter(models.values())):
        cells = []
        for lines in models.values():
            line = lines[label]
            time = f"({line['seconds']:.0f} s)" if label == "vanilla" else interval(line["time"], "{:.3f}")
            cells += [time, f"{line['peak_mb']:.0f}"]
        rows.append([label, *cells])
    head = ["method"]
    for key in models:
        title = {"sd-turbo": "SD-Turbo, SD 2.1", "sdxl": "SDXL"}.get(key, key)
        head += [f"{title}: time / vanilla", f"{title}: peak of a call, MB"]
    threads = f"{found['threads']} thread{'s' * (found['threads'] > 1)}"
    origin = f"{found['device']}, {found['dtype']}, {threads}, {8 * found['latent']} pixels; the median of {found['repeats']} turns, in brackets the least and the most."
    return f"{origin}\n\n{markdown(head, rows)}"


STUDIES = {
    "Feature inheritance": "peers-steps-toy",
    "AT-EDM": "peers-steps-at-edm-toy",
    "ToMe": "peers-steps-tomesd-toy",
}


def steps(results: Results) -> str:
    """The results for full steps chosen in each way."""
    parts = []
    for method, name in STUDIES.items():
        found = results.found.get(name)
        if found is None:
            continue
        rows = [
            [label, " ".join(map(str, line["full_steps"])), interval(line["ssim"], "{:.3f}"),
             interval(line["ssim_over_even"], "{:+.3f}"), interval(line["score_over_even"], "{:+.3f}")]
            for label, line in found["lines"].items()
        ]  # fmt: skip
        text = markdown(["chosen by", "steps in full", "SSIM with vanilla", "SSIM, x - even", "score, x - even"], rows)
        parts.append(f"{method} on {found['model']}, {found['prompts']} held-out prompts, 95% intervals.\n\n{text}")
    return "\n\n".join(parts) or "Not measured on this checkout yet: `python -m reweight bench peers-steps`."


def cells(results: Results) -> str:
    """The results for cells (a step and a block) chosen in each way."""
    parts = []
    for method, key in (("AT-EDM", "at-edm"), ("ToMe", "tomesd")):
        found = results.found.get(f"peers-cells-{key}-toy")
        if found is None:
            continue
        rows = [
            [label, str(line["cells"] or ""), f"{line['flops']:.3f}", interval(line["ssim"], "{:.3f}"),
             interval(line["ssim_over_best"], "{:+.3f}"), interval(line["score_over_even"], "{:+.3f}")]
            for label, line in found["lines"].items()
        ]  # fmt: skip
        head = ["share of the saving, chosen by", "cells", "FLOPs / vanilla", "SSIM with vanilla", "SSIM, x - best unmeasured",
                "score, x - checkerboard"]  # fmt: skip
        text = markdown(head, rows)
        parts.append(
            f"{method} on {found['model']}, {found['steps']} steps, {found['prompts']} held-out prompts, importance from "
            f"{found['probes']} others, 95% intervals.\n\n{text}"
        )
    return "\n\n".join(parts) or "Not measured on this checkout yet: `python -m reweight bench peers-cells`."


def cell_numbers(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The numbers of a study of cells: "50%, least importance" is its SSIM; ".over" the paired difference from the best
    choice that needs no measurement, ".score" that of the score from the checkerboard."""
    yield "prompts", str(found["prompts"])
    for label, line in found["lines"].items():
        yield label, interval(line["ssim"], "{:.3f}")
        yield f"{label}.mean", f"{line['ssim'][0]:.3f}"
        yield f"{label}.over", interval(line["ssim_over_best"], "{:+.3f}")
        yield f"{label}.score", interval(line["score_over_even"], "{:+.3f}")
        yield f"{label}.flops", f"{line['flops']:.3f}"
