"""Summaries of the rows: each table's paired difference from vanilla, dynamic against static, N - 1 against N steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...patching.blocks import TargetBlock
from ...storage.rowfile import Row
from ...toy.judges.classifier import Judge
from ..stats.frechet import frechet
from ..stats.intervals import paired_difference
from .tuned_rows import VANILLA

Interval = tuple[float, float, float]
MEASURES = ("score", "match", "obeyed", "saturation")
SETS = ("all", "prompts", "combinations")
DRAWS = 100  # of the bootstrap of Frechet distances


def effects(rows: Sequence[Row], judge: Judge) -> list[dict[str, Any]]:
    """For each set of captions and each variant: means, and paired differences from vanilla with 95% intervals."""
    found = []
    for kind in SETS:
        by = _by_variant(rows, kind)
        for name, own in by.items():
            effect: dict[str, Any] = {
                "set": kind, "variant": name, "captions": len({p for p, _ in own}), "pictures": len(own),
                "ssim": _mean(own, "ssim"), "cpu_seconds": _mean(own, "cpu_seconds"),
            } | {measure: _mean(own, measure) for measure in MEASURES}  # fmt: skip
            if name != VANILLA:
                effect |= {f"{m}_over_vanilla": difference(own, by[VANILLA], m) for m in MEASURES}
            if kind == "all":
                effect |= _frechet(own, by[VANILLA], judge)
            found.append(effect)
    return found


def differences(rows: Sequence[Row], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Paired differences of pairs of variants on each set of captions."""
    found = []
    for kind in SETS:
        by = _by_variant(rows, kind)
        found += [
            {"set": kind, "variant": a, "over": b} | {m: difference(by[a], by[b], m) for m in ("score", "obeyed")}
            for a, b in pairs if a in by and b in by
        ]  # fmt: skip
    return found


def fewer_steps(
    rows: Mapping[int, Sequence[Row]], variant: str, counts: Sequence[int], seconds: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """A variant, and vanilla, at fewer steps: paired differences from vanilla at more steps.

    Compared with the next number of steps there is, and with the next of `counts`. seconds: of a picture, as from
    `measured_seconds`.
    """
    found = []
    for fewer in sorted(rows):
        few = _by_variant(rows[fewer], "all")
        for more in sorted({min((n for n in given if n > fewer), default=0) for given in (rows, counts)} - {0}):
            many = _by_variant(rows[more], "all")[VANILLA]
            found += [
                {
                    "variant": name, "steps": fewer, "over_vanilla_at": more,
                    "seconds": seconds[str(fewer)][name], "seconds_vanilla": seconds[str(more)][VANILLA],
                } | {m: difference(few[name], many, m) for m in ("score", "obeyed")}
                for name in (VANILLA, variant) if name in few and fewer in counts
            ]  # fmt: skip
    return found


def claims(w: np.ndarray, blocks: Sequence[TargetBlock]) -> list[dict[str, Any]]:
    """The paper's claims about importance (Sec. III-F) as claims about weights (T, m).

    Each with a difference: the claim is true if it is above 0. Claims about time need 2 steps.
    """
    deepest = max(block.level for block in blocks if block.stage != "mid")
    high = np.array([block.level == 0 for block in blocks])
    low = np.array([block.level == deepest and block.stage != "mid" for block in blocks])
    mid = np.array([block.stage == "mid" for block in blocks])
    up, down = (np.array([block.stage == stage for block in blocks]) for stage in ("up", "down"))
    found = {"the bottleneck is above the mean at every step": float((w[:, mid].mean(1) - w.mean(1)).min())}
    if len(w) > 1:
        found |= {
            "the first step favours low resolutions over high": float(w[0, low].mean() - w[0, high].mean()),
            "the last step favours high resolutions over low": float(w[-1, high].mean() - w[-1, low].mean()),
            "high resolutions gain weight from the first step to the last": float((w[-1] - w[0])[high].mean()),
            "low resolutions lose weight from the first step to the last": float((w[0] - w[-1])[low].mean()),
        }
    found["the decoder is above the encoder"] = float(w[:, up].mean() - w[:, down].mean())
    return [{"claim": claim, "difference": value, "holds": value > 0} for claim, value in found.items()]


def likeness(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Similarity of two tables (T, m): cosine of their differences from 1, and Kendall's tau-b over all cells."""
    x, y = (a - 1).ravel(), (b - 1).ravel()
    norm = np.linalg.norm(x) * np.linalg.norm(y)
    i, j = np.triu_indices(x.size, 1)
    dx, dy = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
    ties = np.sqrt(float((dx != 0).sum()) * float((dy != 0).sum()))
    return {
        "cosine": float(x @ y / norm) if norm else float("nan"),
        "tau_b": float((dx * dy).sum() / ties) if ties else float("nan"),
    }


def difference(own: Mapping[tuple[str, int], Row], base: Mapping[tuple[str, int], Row], measure: str) -> Interval:
    """The paired difference of a measure with its 95% interval."""
    return paired_difference(*({key: row[measure] for key, row in rows.items()} for rows in (own, base)))


def _by_variant(rows: Sequence[Row], kind: str) -> dict[str, dict[tuple[str, int], Row]]:
    found: dict[str, dict[tuple[str, int], Row]] = {}
    for row in rows:
        if kind in ("all", row["category"]):
            found.setdefault(row["variant"], {})[row["prompt"], row["seed"]] = row
    return found


def _mean(rows: Mapping[tuple[str, int], Row], measure: str) -> float:
    return float(np.mean([row[measure] for row in rows.values()]))


def _frechet(own: Mapping[Any, Row], vanilla: Mapping[Any, Row], judge: Judge) -> dict[str, Any]:
    """The Fréchet distance from real pictures, and its difference from vanilla's with a bootstrap interval."""
    keys = list(own)
    ours, theirs = (np.array([rows[key]["features"] for key in keys]) for rows in (own, vanilla))

    def far(features: np.ndarray) -> float:
        return frechet(features, judge.mean, judge.covariance)

    value = far(ours)
    if own is vanilla:
        return {"frechet": value}
    rng = np.random.default_rng(0)
    picks = [rng.integers(len(keys), size=len(keys)) for _ in range(DRAWS)]
    drawn = np.array([far(ours[pick]) - far(theirs[pick]) for pick in picks])
    over = value - far(theirs)
    low, high = np.quantile(drawn, (0.025, 0.975)) + over - drawn.mean()
    return {"frechet": value, "frechet_over_vanilla": (over, float(low), float(high))}
