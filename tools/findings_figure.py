"""Draws docs/findings.png from docs/results: what each preset's scores say of the blocks, and what re-weighting does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

DOCS = Path(__file__).parent.parent / "docs"
PRESETS = ("paper-code", "paper-text", "calibrated")
RANGE = "[0.95, 1.15]"


def main() -> None:
    """Write the figure."""
    drawn = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = drawn.subplots(1, 2, width_ratios=(1, 1.15))
    found = json.loads((DOCS / "results" / "agreement-toy-turbo.json").read_text(encoding="utf-8"))
    blocks = np.arange(len(found["damage"]["output"][0]))
    damage = np.mean(found["damage"]["output"], axis=0)
    left.bar(blocks, damage, color="0.85", label="damage when bypassed")
    left.set_xlabel("block, from the first of the encoder (0) to the last of the decoder (6)")
    left.set_ylabel("mean squared error of the U-Net's output")
    scores = left.twinx()
    for name in PRESETS:
        tau = np.mean(found["tau"][name], axis=0)[0]
        scores.plot(blocks, np.mean(found["scores"][name], axis=0), marker="o", label=f"{name}: tau-b {tau:+.2f}")
    scores.set_ylabel("importance score")
    scores.set_ylim(0, 1)
    (bars, said), (lines, names) = left.get_legend_handles_labels(), scores.get_legend_handles_labels()
    left.legend([*bars, *lines], [*said, *names], fontsize=8, loc="upper center")
    left.set_title(f"toy-turbo, {len(found['prompts'])} prompts: called important, and important", fontsize=10)
    found = {model: _effects(model) for model in ("toy-turbo", "toy")}
    ways = list(dict.fromkeys(way for effects, _ in found.values() for way in effects))
    for offset, model, about in ((0.15, "toy-turbo", "2 steps"), (-0.15, "toy", "10 steps, guidance 3")):
        effects, prompts = found[model]
        places = np.array([len(ways) - 1 - ways.index(way) for way in effects])
        values = np.array([*effects.values()])
        right.errorbar(
            values[:, 0], places + offset, xerr=np.abs(values[:, 1:] - values[:, :1]).T, fmt="o", capsize=3,
            label=f"{model}, {about}, {prompts} prompts",
        )  # fmt: skip
    right.axvline(0, color="grey", lw=1, ls="--")
    right.set_yticks(np.arange(len(ways))[::-1], ways)
    right.set_ylim(-0.6, len(ways) + 1)
    right.legend(fontsize=8, loc="upper left")
    right.set_xlabel("score, x - vanilla (paired), 95% interval over prompts")
    right.set_title(f"Weights in {RANGE}, importance and its controls", fontsize=10)
    drawn.savefig(DOCS / "findings.png", dpi=110)


def _effects(model: str) -> tuple[dict[str, list[float]], str]:
    """The paired difference from vanilla by way of weighting, and of how many prompts."""
    results = json.loads((DOCS / "results" / f"importance-{model}.json").read_text(encoding="utf-8"))
    rows = [effect for effect in results["effects"] if effect["variant"].endswith(RANGE)]
    prompts = sorted({row["prompts"] for row in rows}, reverse=True)
    effects = {f"{row['variant'].removesuffix(f' {RANGE}')}": row["minus_vanilla"] for row in rows}
    return effects, " or ".join(map(str, prompts))


if __name__ == "__main__":
    main()
