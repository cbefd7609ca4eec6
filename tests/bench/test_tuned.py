"""The study of tuned weights: disjoint captions, figures by hand, and the whole command on the smallest scale."""

import json

import numpy as np
import pytest
from tiny import build_sd_unet
from typer.testing import CliRunner

from reweight.bench.overhead.plan import memory_of_tuning
from reweight.bench.tuned import how_many_captions, tuned_summary, tunings
from reweight.bench.tuned.best_tables import best_ways
from reweight.bench.tuned.captions import caption_sets
from reweight.models.loading import load_model
from reweight.patching.blocks import target_blocks
from reweight.weight_table import WeightTable


def test_the_sets_of_captions_are_disjoint_and_always_the_same():
    sets = caption_sets(40, 10, 20)
    everything = [*sets.tuning, *sets.validation, *sets.prompts, *sets.combinations]
    assert len(set(everything)) == len(everything) == 70
    assert sets == caption_sets(40, 10, 20) and sets.tuning[:8] == caption_sets(8, 10, 20).tuning
    with pytest.raises(ValueError, match="at least 1"):
        caption_sets(0, 1, 2)


def test_claims_of_the_paper_on_weights_that_follow_them():
    blocks = target_blocks(build_sd_unet())  # levels 0 1 2 mid(3) 2 1 0
    w = np.array([[0.9, 1.0, 1.1, 1.2, 1.1, 1.0, 0.95], [1.1, 1.0, 0.9, 1.2, 0.95, 1.0, 1.15]])
    found = {c["claim"]: c for c in tuned_summary.claims(w, blocks)}
    assert len(found) == 6
    assert found["the bottleneck is above the mean at every step"]["holds"]
    assert found["the decoder is above the encoder"]["difference"] == pytest.approx(6.15 / 6 - 1.0)
    assert not any(c["holds"] for c in tuned_summary.claims(2 - w, blocks) if c["claim"].startswith("the bottleneck"))
    assert len(tuned_summary.claims(w[:1], blocks)) == 2


def test_likeness_by_hand():
    a = np.array([[1.1, 0.9, 1.0]])
    assert tuned_summary.likeness(a, a) == pytest.approx({"cosine": 1.0, "tau_b": 1.0})
    assert tuned_summary.likeness(a, 2 - a) == pytest.approx({"cosine": -1.0, "tau_b": -1.0})
    assert np.isnan(tuned_summary.likeness(a, np.ones((1, 3)))["cosine"])


def test_weights_for_another_number_of_steps():
    w = np.array([[1.0, 0.8], [1.2, 1.0]])
    assert np.allclose(tunings.resampled(w, 3), [[1.0, 0.8], [1.1, 0.9], [1.2, 1.0]])
    assert np.allclose(tunings.resampled(w, 1), [[1.1, 0.9]])
    assert np.allclose(tunings.resampled(w[:1], 2), [[1.0, 0.8]] * 2)


def effect(way, score, judge):
    return {"set": "all", "variant": way, "score_over_vanilla": score, "obeyed_over_vanilla": judge}


def test_the_best_table_loses_no_prompt_adherence():
    held, lost = (-0.001, -0.006, 0.004), (-0.01, -0.02, -0.003)
    result = {
        "tables": [{"way": way, "steps": steps} for steps in (1, 2, 4) for way in ("dynamic", "static", "one number")],
        "steps": {
            "1": {"effects": [effect("dynamic", (0.02, 0.01, 0.03), held), effect("static", (0.03, 0.01, 0.05), lost)]},
            "2": {
                "effects": [effect("dynamic", (0.01, 0.005, 0.02), lost), effect("static", (0.005, 0.003, 0.01), held)]
            },
            "4": {
                "effects": [effect("dynamic", (0.01, -0.001, 0.02), held), effect("one number", (0.1, 0.05, 0.2), held)]
            },
            "8": {"effects": [effect("dynamic", (0.01, 0.005, 0.02), held)]},
        },
    }
    assert {steps: way for steps, (way, _) in best_ways(result).items()} == {1: "dynamic", 2: "static"}


def test_fewer_steps_are_compared_with_the_next_and_with_the_next_that_was_tuned():
    def rows(steps, **scores):
        return [
            {"category": "prompts", "prompt": p, "seed": 1, "variant": name, "score": score + steps, "obeyed": 1.0}
            for name, score in scores.items() for p in ("a", "b")
        ]  # fmt: skip

    seconds = {str(n): {"vanilla": n / 10, "dynamic": n / 5} for n in (2, 3, 4)}
    drawn = {2: rows(2, vanilla=0.0, dynamic=0.5), 3: rows(3, vanilla=0.0), 4: rows(4, vanilla=0.0, dynamic=0.5)}
    found = tuned_summary.fewer_steps(drawn, "dynamic", (2, 4), seconds)
    told = [
        (f["variant"], f["steps"], f["over_vanilla_at"], f["score"][0], f["seconds"], f["seconds_vanilla"])
        for f in found
    ]
    assert told == [
        ("vanilla", 2, 3, -1.0, 0.2, 0.3), ("dynamic", 2, 3, -0.5, 0.4, 0.3),
        ("vanilla", 2, 4, -2.0, 0.2, 0.4), ("dynamic", 2, 4, -1.5, 0.4, 0.4),
    ]  # fmt: skip


def test_the_memory_of_tuning_is_that_of_a_picture_forth_and_back():
    loaded = load_model("toy-turbo")
    loaded.pipe.set_progress_bar_config(disable=True)
    one, two = (memory_of_tuning(loaded, steps) for steps in (1, 2))
    weights = sum(p.numel() * 4 for p in loaded.pipe.unet.parameters()) / 1e6
    assert 1 < one < two < one + 2 * weights
    assert (
        all(p.requires_grad for p in loaded.pipe.unet.parameters()) and not loaded.pipe.unet.is_gradient_checkpointing
    )


def test_gains_by_the_number_of_captions_are_means_over_tunings():
    def row(variant, prompt, score):
        return {"variant": variant, "prompt": prompt, "seed": 1, "score": score, "obeyed": score / 2}

    drawn = [row("vanilla", "a", 0.0), row("vanilla", "b", 1.0)]
    for size, gain in ((3, 1.0), (6, 2.0)):
        for seed in (0, 1):
            drawn += [row(f"{size} captions, seed {seed}", p, v + gain + seed) for p, v in (("a", 0.0), ("b", 1.0))]
    told = {
        (n, s): {"validation_gain": n, "pictures": 10 * (s + 1), "cpu_seconds": 60.0} for n in (3, 6) for s in (0, 1)
    }
    few, many = how_many_captions.lines(drawn, told)
    assert (few["captions"], many["captions"]) == (3, 6)
    assert (few["score"][0], many["score"][0]) == (1.5, 2.5) and few["obeyed"][0] == 0.75
    assert few["over_most"][0] == -1.0 and many["over_most"] == (0.0, 0.0, 0.0)
    assert [each[0] for each in few["tunings"]] == [1.0, 2.0] and few["pictures"] == 15


@pytest.mark.slow
def test_the_number_of_captions_as_a_command(tmp_path):
    from reweight.__main__ import app

    arguments = [
        "bench", "tuned-captions", "--out", str(tmp_path), "--sizes", "2,3", "--validation", "2", "--limit", "4", "--seeds",
        "42", "--batch", "2", "--iterations", "2",
    ]  # fmt: skip
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    found = json.loads((tmp_path / "captions-toy-turbo.json").read_text(encoding="utf-8"))
    assert [line["captions"] for line in found["lines"]] == [2, 3]
    assert WeightTable.load(tmp_path / "dynamic-2-of-3.json").provenance["prompts"] == 3
    assert all(line["cpu_seconds"] > 0 and len(line["tunings"]) == 2 for line in found["lines"])


@pytest.mark.slow
def test_the_whole_study(tmp_path):
    from reweight.__main__ import app

    arguments = [
        "bench", "tuned", "--out", str(tmp_path), "--steps", "1,2", "--captions", "3", "--validation", "2", "--limit", "4",
        "--seeds", "42", "--batch", "2", "--iterations", "2", "--ways", "dynamic;static@2", "--probed", "1",
        "--vanilla", "3",
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "what dynamic adds" in result.output
    found = json.loads((tmp_path / "tuned-toy-turbo.json").read_text(encoding="utf-8"))
    assert {e["variant"] for e in found["steps"]["2"]["effects"]} == {
        "vanilla", "dynamic", "static", "calibrated", "paper-code", "dynamic of 1 step",
    }  # fmt: skip
    assert [(f["variant"], f["steps"], f["over_vanilla_at"]) for f in found["fewer_steps"]] == [
        ("vanilla", 1, 2), ("dynamic", 1, 2), ("vanilla", 2, 3), ("dynamic", 2, 3),
    ]  # fmt: skip
    assert {steps: set(by) for steps, by in found["seconds"].items()} == {
        "1": {"vanilla", "dynamic"}, "2": {"vanilla", "dynamic"}, "3": {"vanilla"},
    }  # fmt: skip
    assert (tmp_path / "tuned-toy-turbo.png").stat().st_size > 10_000
    best = set(best_ways(found))
    assert {path.name for path in tmp_path.glob("pairs-*")} == {f"pairs-toy-turbo-{steps}.jpg" for steps in best}
    for steps in best:
        assert WeightTable.load(tmp_path / f"best-{steps}.json").diagnostics["test"]["captions"] == 4
    rows = (tmp_path / "rows" / "rows-0.jsonl").read_bytes()
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (tmp_path / "rows" / "rows-0.jsonl").read_bytes() == rows
