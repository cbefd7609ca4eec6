"""Tables and numbers of docs/TUNED.md: tuned weights, rankings and vanilla on test captions, and the paper's claims.

A model may have several results, `tuned-MODEL.json` and other files that start with `tuned-`; their rows are combined
in one table, sorted by steps. Names of numbers start with the file: "tuned.toy.10.dynamic - static".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .results import Results, interval, markdown

MODELS = ("toy", "toy-turbo")
TITLES = {
    "dynamic": "tuned, dynamic", "static": "tuned, static", "one number": "tuned, one number for all blocks",
    "calibrated": "ranking: calibrated", "paper-code": "ranking: the paper's",
}  # fmt: skip


def study(results: Results, model: str) -> str:
    """Every way of weighting at every number of steps, paired differences from vanilla over the captions."""
    rows = []
    for steps, found in _by_steps(results, model):
        for effect in _all(found["effects"]):
            plain = effect["variant"] == "vanilla"
            rows.append([
                steps, TITLES.get(effect["variant"], effect["variant"]),
                f"({effect['score']:.4f})" if plain else interval(effect["score_over_vanilla"]),
                f"({effect['obeyed']:.3f})" if plain else interval(effect["obeyed_over_vanilla"], "{:+.3f}"),
                "" if plain else f"{effect['ssim']:.3f}",
                f"({effect['saturation']:.3f})" if plain else interval(effect["saturation_over_vanilla"], "{:+.3f}"),
                f"({effect['frechet']:.0f})" if plain else interval(effect["frechet_over_vanilla"], "{:+.0f}"),
            ])  # fmt: skip
    return markdown(["steps", "weights", "score", "judge", "SSIM", "saturation", "Frechet"], _each_once(rows))


def dynamic(results: Results, model: str) -> str:
    """Paired differences of dynamic weights minus each other way."""
    rows = [
        [steps, f"{line['variant']} - {line['over']}", interval(line["score"]), interval(line["obeyed"], "{:+.3f}")]
        for steps, found in _by_steps(results, model)
        for line in _all(found["differences"])
    ]
    return markdown(["steps", "paired difference", "score", "judge"], _each_once(rows))


def claims(results: Results, model: str) -> str:
    """Whether each dynamic table satisfies the claims of Sec. III-F."""
    rows = [
        [
            str(table["steps"]), claim["claim"], f"{claim['difference']:+.3f}",
            "holds" if claim["holds"] else "does not hold",
        ]
        for table in _tables(results, model) if table["way"] == "dynamic"
        for claim in table["claims"]
    ]  # fmt: skip
    return markdown(["steps", "claim", "difference", ""], _each_once(rows))


def cost(results: Results) -> str:
    """The pictures and time of every tuning, and its gain on the validation set."""
    rows = []
    for model in MODELS:
        for table in _tables(results, model):
            found = table["tuning"]
            gain = interval((found["validation_gain"], *found["validation_interval"]))
            iterations = f"{found['best_iteration']} of {found['iterations']}"
            rows.append([
                model, str(table["steps"]), TITLES.get(table["way"], table["way"]), iterations, str(found["pictures"]),
                f"{found['cpu_seconds'] / 60:.1f}", gain,
            ])  # fmt: skip
    head = ["model", "steps", "weights", "best iteration", "pictures drawn", "CPU minutes", "validation gain"]
    return markdown(head, _each_once(rows))


def captions(results: Results) -> str:
    """Gains of dynamic weights by the number of captions they were tuned on, from `captions-MODEL.json`."""
    rows = [
        [model, str(line["captions"]), interval(line["score"]), interval(line["obeyed"], "{:+.3f}"),
         " / ".join(f"{each[0]:+.4f}" for each in line["tunings"]),
         "" if line is lines[-1] else interval(line["over_most"]), f"{line['pictures']:.0f}",
         f"{line['cpu_seconds'] / 60:.1f}"]
        for model in MODELS if (lines := results.found.get(f"captions-{model}", {}).get("lines", []))
        for line in lines
    ]  # fmt: skip
    head = ["model", "tuning captions", "score", "judge", "score of each seed", "score, x - most captions", "pictures drawn",
            "CPU minutes"]  # fmt: skip
    return markdown(head, rows)


def caption_numbers(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The numbers of a study of tuning captions: "6" is the gain with 6 captions; "6.judge", "6 - most", "6.minutes"."""
    yield "steps", str(found["steps"])
    for line in found["lines"]:
        yield f"{line['captions']}", interval(line["score"])
        yield f"{line['captions']}.judge", interval(line["obeyed"], "{:+.3f}")
        yield f"{line['captions']} - most", interval(line["over_most"])
        yield f"{line['captions']}.minutes", f"{line['cpu_seconds'] / 60:.1f}"


def fewer(results: Results) -> str:
    """Paired differences of pictures with fewer steps, tuned or not, minus vanilla with more steps."""
    rows = [
        [model, f"{TITLES.get(line['variant'], line['variant'])}, {line['steps']} - vanilla, {line['over_vanilla_at']}",
         interval(line["score"]), interval(line["obeyed"], "{:+.3f}"),
         f"{line['seconds']:.3f} / {line['seconds_vanilla']:.3f}", f"{line['seconds'] / line['seconds_vanilla']:.2f}"]
        for model in MODELS for found in _files(results, model).values() for line in found["fewer_steps"]
    ]  # fmt: skip
    head = ["model", "paired difference, steps", "score", "judge", "seconds of a picture", "ratio"]
    return markdown(head, _each_once(rows))


def similarity(results: Results) -> str:
    """The similarity of two tunings' tables, resampled to the same number of steps."""
    rows = [
        [model, " / ".join(f"{TITLES.get(way, way)}, {steps}" for way, steps in (pair["a"], pair["b"])),
         f"{pair['cosine']:+.2f}", f"{pair['tau_b']:+.2f}"]
        for model in MODELS for found in _files(results, model).values() for pair in found["likeness"]
    ]  # fmt: skip
    return markdown(["model", "two tunings, steps", "cosine of w - 1", "tau-b"], _each_once(rows))


def numbers(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The numbers of one result: "10.dynamic", "10.dynamic - static", each also with ".judge", and so on."""
    for kind, count in found["captions"].items():
        yield f"{kind} captions", str(count)
    for steps, measured in found["steps"].items():
        for effect in _all(measured["effects"]):
            key = f"{steps}.{effect['variant']}"
            yield f"{key}.score", f"{effect['score']:.4f}"
            yield f"{key}.ssim", f"{effect['ssim']:.2f}"
            yield f"{key}.pictures", str(effect["pictures"])
            if effect["variant"] != "vanilla":
                yield key, interval(effect["score_over_vanilla"])
                yield f"{key}.mean", f"{effect['score_over_vanilla'][0]:+.4f}"
                yield f"{key}.judge", interval(effect["obeyed_over_vanilla"], "{:+.3f}")
        for line in _all(measured["differences"]):
            key = f"{steps}.{line['variant']} - {line['over']}"
            yield key, interval(line["score"])
            yield f"{key}.judge", interval(line["obeyed"], "{:+.3f}")
    for line in found["fewer_steps"]:
        key = f"{line['variant']} {line['steps']} - vanilla {line['over_vanilla_at']}"
        yield key, interval(line["score"], "{:+.3f}")
        yield f"{key}.judge", interval(line["obeyed"], "{:+.3f}")
        yield (
            f"{line['steps']} / {line['over_vanilla_at']}.time",
            f"{100 * line['seconds'] / line['seconds_vanilla']:.0f}%",
        )
    for table in found["tables"]:
        key = f"{table['steps']}.{table['way']}"
        yield f"{key}.pictures drawn", str(table["tuning"]["pictures"])
        yield f"{key}.seconds", f"{table['tuning']['cpu_seconds']:.0f}"
        yield f"{key}.claims", f"{sum(claim['holds'] for claim in table['claims'])} of {len(table['claims'])}"
    for pair in found["likeness"]:
        yield f"cosine {' / '.join(f'{way} {steps}' for way, steps in (pair['a'], pair['b']))}", f"{pair['cosine']:.2f}"


def _files(results: Results, model: str) -> dict[str, dict[str, Any]]:
    """A model's results, starting with `tuned-MODEL`."""
    found = {
        name: content for name, content in results.found.items()
        if name.startswith("tuned-") and content["model"] == model
    }  # fmt: skip
    return dict(sorted(found.items(), key=lambda item: (item[0] != f"tuned-{model}", item[0])))


def _by_steps(results: Results, model: str) -> list[tuple[str, dict[str, Any]]]:
    pairs = [pair for found in _files(results, model).values() for pair in found["steps"].items()]
    return sorted(pairs, key=lambda pair: int(pair[0]))


def _tables(results: Results, model: str) -> list[dict[str, Any]]:
    tables = [table for found in _files(results, model).values() for table in found["tables"]]
    return sorted(tables, key=lambda table: table["steps"])


def _all(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines over all test captions, without those over one half of them."""
    return (line for line in lines if line["set"] == "all")


def _each_once(rows: list[list[str]]) -> list[list[str]]:
    """Rows without duplicates, since two results may contain the same measurement."""
    return [list(row) for row in dict.fromkeys(map(tuple, rows))]
