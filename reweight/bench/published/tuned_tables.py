"""The tables of docs/TUNED.md: tuned weights, rankings and vanilla on captions apart, and the paper's claims."""

from __future__ import annotations

from .results import Results, interval, markdown

TITLES = {
    "dynamic": "tuned, dynamic", "static": "tuned, static", "one number": "tuned, one number for all blocks",
    "calibrated": "ranking: calibrated", "paper-code": "ranking: the paper's",
}  # fmt: skip


def study(results: Results, model: str) -> str:
    """Every way of weighting at every number of steps, paired differences from vanilla over the captions."""
    rows = []
    for steps, found in results[f"tuned-{model}"]["steps"].items():
        for effect in found["effects"]:
            if effect["set"] != "all":
                continue
            plain = effect["variant"] == "vanilla"
            rows.append([
                steps, TITLES.get(effect["variant"], effect["variant"]),
                f"({effect['score']:.4f})" if plain else interval(effect["score_over_vanilla"]),
                f"({effect['obeyed']:.3f})" if plain else interval(effect["obeyed_over_vanilla"], "{:+.3f}"),
                "" if plain else f"{effect['ssim']:.3f}",
                f"({effect['saturation']:.3f})" if plain else interval(effect["saturation_over_vanilla"], "{:+.3f}"),
                f"({effect['frechet']:.0f})" if plain else interval(effect["frechet_over_vanilla"], "{:+.0f}"),
            ])  # fmt: skip
    return markdown(["steps", "weights", "score", "judge", "SSIM", "saturation", "Frechet"], rows)


def dynamic(results: Results, model: str) -> str:
    """What dynamic adds to each other way, in pairs."""
    rows = [
        [steps, f"{line['variant']} - {line['over']}", interval(line["score"]), interval(line["obeyed"], "{:+.3f}")]
        for steps, found in results[f"tuned-{model}"]["steps"].items()
        for line in found["differences"]
        if line["set"] == "all"
    ]
    return markdown(["steps", "paired difference", "score", "judge"], rows)


def claims(results: Results, model: str) -> str:
    """The claims of Sec. III-F about each dynamic table."""
    rows = [
        [
            str(table["steps"]),
            claim["claim"],
            f"{claim['difference']:+.3f}",
            "holds" if claim["holds"] else "does not hold",
        ]
        for table in results[f"tuned-{model}"]["tables"]
        if table["way"] == "dynamic"
        for claim in table["claims"]
    ]
    return markdown(["steps", "claim", "difference", ""], rows)
