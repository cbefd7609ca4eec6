"""Tables of the studies: agreement, surrogate, importance, proposition, pruning, levels, costs."""

from __future__ import annotations

import numpy as np

from ..studies.ways import parts
from .results import Results, interval, markdown, mean_interval

WIDE, NARROW = "[0.95, 1.15]", "[0.98, 1.1]"
PRESETS = {
    "paper-code": "`paper-code` (public constants)", "paper-text": "`paper-text` (the paper's text)",
    "calibrated": "`calibrated` (ours)", "scaling by 2%": "each block scaled by 2%, directly",
}  # fmt: skip
WAYS = {
    "paper": "paper's ranking", "inverted": "its inverted control (Eq. 8)", "reversed": "reversed, at the same mean",
    "random": "random order", "flat": "flat", "empirical": "empirical (Sec. III-F)",
    "flat at empirical's mean": "flat at empirical's mean", "flat at inverted's mean": "flat at inverted's mean",
    "calibrated": "calibrated", "sensitivity": "direct sensitivity", "equal": "no range: all at 1.1 (low = high)",
}  # fmt: skip


def agreement(results: Results, name: str) -> str:
    """Kendall's tau-b of each preset with each kind of damage, and diagnostics of the search."""
    found = results[name]
    head = ["preset", "tau-b, damage to the output", "to the picture", "to the toy score", "candidates accepted"]
    rows = []
    for preset, label in PRESETS.items():
        taus = np.array(found["tau"][preset])
        cells = [mean_interval(column) for column in taus.T]
        if preset in found["samples"]:
            cells += [f"{np.mean(found['acceptance'][preset]):.0%}", f"{np.mean(found['bypasses'][preset]):.0f}"]
            cells.append(_samples(results, name, preset))
        rows.append([label, *cells, *[""] * (6 - len(cells))])
    return markdown([*head, "bypasses fired", "U-Net samples"], rows)


def _samples(results: Results, name: str, preset: str) -> str:
    """U-Net samples of the full search, if it was measured, and of the search in this study."""
    found = results[name]
    own = f"{np.mean(found['samples'][preset]):.0f}"
    if not found.get("surrogate") or preset == "calibrated":
        return own
    for other in results.found.values():
        if other.get("format") == "reweight-surrogate-1" and other["model"] == found["model"]:
            full = [row["full"] for row in other["prompts"] if row["preset"] == preset]
            if full and other["steps"] == found["steps"]:
                return f"{np.mean(full):.0f}, {own} with a surrogate"
    return f"{own} with a surrogate"


def surrogate(results: Results) -> str:
    """The full search compared with the search with a surrogate."""
    head = ["model, preset", "held-out prompts", "U-Net samples, full search", "with a surrogate"]
    rows = []
    for name in ("surrogate-toy-turbo", "surrogate-toy", "surrogate-toy-turbo-text"):
        found = results[name]
        pairs = found["prompts"]
        full, fewer = (np.array([row[kind] for row in pairs]) for kind in ("full", "surrogate"))
        guidance = f", guidance {found['guidance']:g}" if found["guidance"] else ""
        label = f"{found['model']}, {found['steps']} steps{guidance}, `{pairs[0]['preset']}` ([results](results/{name}.json))"
        differing = sum(row["gap"] > 1e-6 for row in pairs)
        cells = [f"{full.mean():.0f}", f"{fewer.mean():.0f} ({fewer.min()} to {fewer.max()})", f"**{differing}**"]
        rows.append([label, str(len(pairs)), *cells])
    return markdown([*head, "prompts with other thresholds"], rows)


def importance(results: Results, name: str) -> str:
    """Every way of weighting at [0.95, 1.15], compared with vanilla and with its flat counterpart."""
    found = {effect["variant"]: effect for effect in results[name]["effects"]}
    head = ["weights", "prompts", "mean weight", f"score, x - vanilla, {WIDE}", "score, x - flat at its own mean"]
    rows = []
    for way, label in WAYS.items():
        effect = found.get(f"{way} {WIDE}") or found.get(f"{way} [1.1, 1.1]")
        if effect is None:
            continue
        flat = "" if effect["minus_flat"] is None or way.startswith("flat") else interval(effect["minus_flat"])
        rows.append([
            label, str(effect["prompts"]), f"{effect['mean_weight']:.3f}", interval(effect["minus_vanilla"]), flat,
            interval(effect["adherence_minus_vanilla"]), f"{effect['ssim']:.3f}",
        ])  # fmt: skip
    return markdown([*head, "prompt adherence, x - vanilla", "SSIM with vanilla"], rows)


def ways(results: Results, name: str) -> set[str]:
    """The ways of weighting that a study measured."""
    return {parts(effect["variant"])[0] for effect in results[name]["effects"]}


def proposition(results: Results) -> str:
    """The weight with the smallest error for each block that has one, with its interval."""
    found = results["proposition-toy"]
    middle, low, high = (
        np.array([[np.nan if value is None else value for value in row] for row in found[kind]], float)
        for kind in ("minimum", "low", "high")
    )  # (timesteps, blocks)
    known = np.isfinite(low) & np.isfinite(high)
    rows = []
    for i, block in enumerate(found["blocks"]):
        if known[:, i].any():
            cells = zip(middle[:, i], low[:, i], high[:, i], known[:, i], strict=True)
            rows.append([block, *(interval(cell[:3], "{:.3f}") if cell[3] else "–" for cell in cells)])
    return markdown(["block", *(f"t = {t}" for t in found["timesteps"])], rows)


def pruning(results: Results) -> str:
    """Every pruned block and pair, and the best and worst strategies by rank."""
    done = results["pruning-toy-turbo"]["strategies"]
    by_error = sorted(done, key=lambda label: done[label]["after"]["mse"][0])
    chosen = {label: f"block {label.split()[1]} at both steps" for label in by_error if label.startswith("static")}
    chosen |= {label: label for label in by_error if label.startswith("symmetric")}
    for kind in ("skip-1", "skip-2"):
        own = [label for label in by_error if label.startswith(kind)]
        for label, place in ((own[0], "best"), (own[-1], "worst")):
            chosen[label] = f"{kind} by the probe, {place} of {len(own)} ({_skipped(done[label]['skipped'])})"
    rows = [
        [title, *(_spread(done[label][when]["mse"]) for when in ("before", "after")),
         f"{done[label]['after']['ssim'][0]:.3f}", f"{done[label]['after']['frechet']:.2g}"]
        for label, title in chosen.items()
    ]  # fmt: skip
    return markdown(["left out", "MSE at once", "after fine-tuning", "SSIM after", "Frechet after"], rows)


def _skipped(mask: list[list[bool]]) -> str:
    return ", then ".join("+".join(str(i) for i, left_out in enumerate(row) if left_out) for row in mask)


def _spread(pair: list[float]) -> str:
    return f"{pair[0]:.4f} ± {pair[1]:.4f}"


def levels(results: Results) -> str:
    """The change of the output without each lower resolution, for these models and the previous pair."""
    head, rows = ["", "without the 2 × 2 level", "without 4 × 4", "without 8 × 8"], []
    for model, cells in results["levels-earlier-networks"]["models"].items():
        rows.append([f"the earlier {model}", *cells])
    for model in ("toy", "toy-turbo"):
        cells = ["it has none"]
        for side in (4, 8):
            one = results.figure(model, f"change without the {side}x{side} level")
            value, low, high = (100 * one[name] for name in ("value", "low", "high"))
            form = "{:.1f}" if value < 10 else "{:.0f}"
            cells.append(form.format(value) + f"% [{form.format(low)}, {form.format(high)}]")
        rows.append([model, *cells])
    return markdown(head, rows)
