"""The numbers in sentences, by name: "agreement.toy-turbo.paper-code.output" is "-0.64 [-0.69, -0.60]"."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..studies.ways import parts
from . import peer_tables, training_tables, tuned_tables
from .results import Results, interval, mean_interval
from .study_tables import NARROW


def numbers(results: Results) -> dict[str, str]:
    """All numbers by name."""
    found: dict[str, str] = {}
    for name, content in results.found.items():
        kind, _, rest = name.partition("-")
        read = {
            "agreement": _agreement, "surrogate": _surrogate, "importance": _importance, "probe": _probe, "full": _costs,
            "tuned": tuned_tables.numbers, "captions": tuned_tables.caption_numbers, "peers": _peers(content),
        }.get(kind)  # fmt: skip
        if read is not None:
            found |= {f"{kind}.{rest}.{key}": value for key, value in read(content)}
        elif "paired" in content:
            found |= {f"{name}.{key}": value for key, value in _paired(content)}
    if "table2-toy-turbo" in results.found:
        found["table2-toy-turbo.tau"] = f"{results['table2-toy-turbo']['kendall_tau_b']:.2f}"
    for name in ("toy-study", "toy-study-new"):
        if name in results.found:
            found |= {f"{name}.{key}": value for key, value in training_tables.numbers(results[name])}
    if "toy-throughput" in results.found:
        read = training_tables.throughput_numbers(results["toy-throughput"])
        found |= {f"toy-throughput.{key}": value for key, value in read}
    for model in results.metrics:
        found |= {f"metrics.{model}.{key}": value for key, value in _metrics(results, model)}
    return found


def _peers(content: dict) -> Callable[[dict], Iterator[tuple[str, str]]] | None:
    """What reads the numbers of a result on peers; None for those without numbers in sentences."""
    if content.get("format", "").startswith("reweight-peers-cells"):
        return peer_tables.cell_numbers
    return peer_tables.numbers if isinstance(content.get("lines"), list) else None


def _agreement(found: dict) -> Iterator[tuple[str, str]]:
    yield "prompts", str(len(found["prompts"]))
    for preset, rows in found["tau"].items():
        for kind, taus in zip(found["damage"], np.transpose(rows), strict=True):
            yield f"{preset}.{kind}", mean_interval(taus)
            yield f"{preset}.{kind}.mean", f"{taus.mean():+.2f}"
            yield f"{preset}.{kind}.range", f"{taus.min():.2f} and {taus.max():.2f}"
    for preset, samples in found["samples"].items():
        yield f"{preset}.samples", f"{np.mean(samples):.0f}"
        yield f"{preset}.bypasses", f"{np.mean(found['bypasses'][preset]):.0f}"
        yield f"{preset}.vote SD", f"{np.mean(found['spread'][preset]):.3f}"
    for preset, scores in found["scores"].items():
        if preset in found["samples"]:
            yield f"{preset}.middle block", f"{np.mean(scores, axis=0)[len(scores[0]) // 2]:.2f}"
    for block, damage in enumerate(np.transpose(found["damage"]["output"])):
        yield f"damage.{block}", f"{damage.mean():.2g}"
        yield f"damage.{block}.most", f"{damage.max():.2g}"
    for kind in ("output", "picture"):
        for step, row in enumerate(found["damage"][kind], 1):
            for block, damage in enumerate(row):
                yield f"damage.{kind}.step {step}.{block}", f"{1000 * damage:.1f}"


def _surrogate(found: dict) -> Iterator[tuple[str, str]]:
    full, fewer = (np.array([row[kind] for row in found["prompts"]]) for kind in ("full", "surrogate"))
    yield "prompts", str(len(full))
    yield "full", f"{full.mean():.0f}"
    yield "surrogate", f"{fewer.mean():.0f}"
    yield "share", f"{fewer.sum() / full.sum():.0%}"
    yield "differing", str(sum(row["gap"] > 1e-6 for row in found["prompts"]))


def _importance(found: dict) -> Iterator[tuple[str, str]]:
    yield "prompts", str(found["prompts"])
    yield "sd", f"{found['vanilla_sd_between_prompts']:.2f}"
    for effect in found["effects"]:
        way, bounds = parts(effect["variant"])
        key = f"{way}{'.narrow' if bounds == NARROW else ''}"
        yield f"{key}.prompts", str(effect["prompts"])
        yield key, interval(effect["minus_vanilla"])
        yield f"{key}.mean", f"{effect['minus_vanilla'][0]:+.4f}"
        yield f"{key}.score", f"{effect['score']:.4f}"
        yield f"{key}.ssim", f"{effect['ssim']:.3f}"
        if effect["minus_flat"] is not None:
            yield f"{key}.flat", interval(effect["minus_flat"])
        if effect["adherence"] is not None:
            yield f"{key}.adherence", f"{effect['adherence']:.1%}"
    for first, others in found["differences"].items():
        for other, (value, low, high) in others.items():
            (one, bounds), (two, _) = parts(first), parts(other)
            suffix = ".narrow" if bounds == NARROW else ""
            yield f"{one} - {two}{suffix}", interval((value, low, high))
            yield f"{two} - {one}{suffix}", interval((-value, -high, -low))


def _probe(found: dict) -> Iterator[tuple[str, str]]:
    for timing in found["timings"]:
        yield f"{timing['name']}.times faster", f"{timing['ratio']:.1f}"
        yield f"{timing['name']}.samples", str(timing["unet_samples"])
        yield f"{timing['name']}.runs", str(timing["runs"])
        yield f"{timing['name']}.seconds", f"{np.median(timing['seconds']):.2f}"


def _costs(found: dict) -> Iterator[tuple[str, str]]:
    for model in found["models"]:
        for cost in model["costs"]:
            yield cost["method"], interval(cost["ratio"], "{:.3f}")


def _paired(found: dict) -> Iterator[tuple[str, str]]:
    several = len({pair["steps"] for pair in found["paired"]}) > 1
    for pair in found["paired"]:
        key = f"{pair['variant']}@{pair['steps']}" if several else pair["variant"]
        yield f"{key}.mean", f"{pair['minus_vanilla']:+.4f}"
        if pair["low"] is not None:
            yield key, interval((pair["minus_vanilla"], pair["low"], pair["high"]))
        if pair["ssim"] is not None:
            yield f"{key}.ssim", f"{pair['ssim']:.3f}"
    for cell in found["cells"]:
        if cell["row"] == "vanilla" and "score" in cell:
            yield f"vanilla.{cell['column']}", f"{cell['score'][0]:.4f}"
        if "score" in cell:
            yield f"score.{cell['row']}.{cell['column']}", f"{cell['score'][0]:.4f}"


def _metrics(results: Results, model: str) -> Iterator[tuple[str, str]]:
    for figure in results.metrics[model]["figures"]:
        at = f"@{figure['steps']}" if "steps" in figure else ""
        key = f"{figure['name']}{at}"
        yield key, f"{figure['value']:.3g}"
        yield f"{key}.percent", f"{figure['value']:.0%}"
        yield f"{key}.exact percent", f"{figure['value']:.1%}"
        yield f"{key}.ms", f"{1000 * figure['value']:.0f} ms"
        if "share" in figure:
            yield f"{key}.share", f"{figure['share']:.0%}"
            yield f"{key}.ceiling", f"{figure['ceiling']:.0%}"
