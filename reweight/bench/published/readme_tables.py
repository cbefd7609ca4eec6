"""The tables of README.md and docs/BENCHMARKS.md."""

from __future__ import annotations

import math

import numpy as np

from ..overhead.time_estimates import duration
from .results import Results, interval, markdown, mean_interval
from .study_tables import WIDE

MODELS = {"toy-turbo": ("2 steps", "agreement-toy-turbo"), "toy": ("10 steps, guidance 3", "agreement-toy")}


def key_results(results: Results) -> str:
    """The key results: the paper's probe, ours, and weights tuned directly."""
    rows = []
    for model, (_, name) in MODELS.items():
        found = results[name]
        taus = [mean_interval(np.array(found["tau"][preset])[:, 0]) for preset in ("paper-code", "calibrated")]
        guidance = f", guidance {found['guidance']:g}" if found["guidance"] else ""
        about = f"{model}, {found['steps']} steps{guidance}, {len(found['prompts'])} prompts"
        rows.append([f"ranking against bypassing each block, tau-b ({about})", *taus])
    timings = {timing["name"]: timing for timing in results["probe-toy-turbo"]["timings"]}
    rows.append([
        "U-Net samples of a probe (toy-turbo, 2 steps)",
        *(f"{timings[name]['unet_samples']}" for name in ("ours, equal work", "calibrated")),
    ])  # fmt: skip
    for model, (about, _) in MODELS.items():
        found = results[f"importance-{model}"]
        effects = {effect["variant"]: effect for effect in found["effects"]}
        cells = [interval(effects[f"{way} {WIDE}"]["minus_vanilla"]) for way in ("paper", "calibrated")]
        rows.append([
            f"toy score, x - vanilla, weights in {WIDE} ({model}, {about}, {found['prompts']} prompts, 2 seeds)", *cells,
        ])  # fmt: skip
    effects = {effect["variant"]: effect for effect in results["importance-toy"]["effects"]}
    cells = [interval(effects[f"{way} {WIDE}"]["minus_flat"]) for way in ("paper", "calibrated")]
    rows.append(["toy score, x - all blocks at the same mean weight (toy)", *cells])
    rows = [[*row, ""] for row in rows]
    for model, steps in (("toy-turbo", 2), ("toy", 10)):
        found = results[f"tuned-{model}"]
        effects = {e["variant"]: e for e in found["steps"][str(steps)]["effects"] if e["set"] == "all"}
        rows.append([
            f"toy score, x - vanilla, on captions not tuned on ({model}, {steps} steps, {found['captions']['test']} captions, 2 seeds)",
            *(interval(effects[way]["score_over_vanilla"]) for way in ("paper-code", "calibrated", "dynamic")),
        ])  # fmt: skip
    return markdown(["", "the paper's probe", "`calibrated`, ours", "tuned for the score"], rows)


def adherence(results: Results) -> str:
    """The classifier's accuracy on the embedded models' pictures, as a share of that on real ones."""
    rows = []
    for model, steps, about in (("toy", 20, ", guidance 3"), ("toy-turbo", 2, ""), ("toy-turbo", 1, "")):
        shares = [
            f"{results.figure(model, name, steps)['share']:.0%}" for name in ("subject", "colour", "setting", "style")
        ]
        far = f"{results.figure(model, 'Frechet distance', steps)['value']:.0f}"
        rows.append([f"{model}, {steps} step{'s' * (steps > 1)}{about}", *shares, far])
    return markdown(["", "subject", "colour", "setting", "style", "Frechet distance"], rows)


def scaling(prompts: int = 1600, load: float = 30.0, seconds: float = 4.0) -> str:
    """T(N) = load + ceil(P / N) c for several numbers of GPUs: an assumption, not measured."""
    alone, rows = load + prompts * seconds, []
    for n in (1, 8, 64):
        took = load + math.ceil(prompts / n) * seconds
        rows.append([str(n), str(math.ceil(prompts / n)), duration(took), f"{alone / n / took:.0%}"])
    return markdown(["GPUs", "prompts each", "time", "share of N times the speed"], rows)
