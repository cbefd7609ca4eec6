"""Which tuned tables are worth including with a model: those that cost no prompt adherence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...weight_table import WeightTable

WAYS = ("dynamic", "static")
FIGURES = (
    "captions", "pictures", "ssim", "score_over_vanilla", "obeyed_over_vanilla", "saturation_over_vanilla",
    "frechet_over_vanilla",
)  # fmt: skip


def best_ways(result: Mapping[str, Any]) -> dict[int, tuple[str, dict[str, Any]]]:
    """By number of steps, the way with the highest mean score and its effect on all test captions.

    Of the dynamic and the static table, those count whose interval of the judge's reading includes 0 or is above it, and
    whose score is above vanilla's. A number of steps where neither does is left out.
    """
    tuned = {(table["way"], table["steps"]) for table in result["tables"]}
    found = {}
    for steps, measured in result["steps"].items():
        fit = [
            effect for effect in measured["effects"]
            if effect["set"] == "all" and effect["variant"] in WAYS and (effect["variant"], int(steps)) in tuned
            and effect["obeyed_over_vanilla"][2] >= 0 and effect["score_over_vanilla"][1] > 0
        ]  # fmt: skip
        if fit:
            best = max(fit, key=lambda effect: effect["score_over_vanilla"][0])
            found[int(steps)] = best["variant"], best
    return found


def with_figures(table: WeightTable, effect: Mapping[str, Any]) -> str:
    """The table's JSON with what the test measured of it, as `diagnostics.test`."""
    content = json.loads(table.to_json())
    content["diagnostics"]["test"] = {name: effect[name] for name in FIGURES}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
