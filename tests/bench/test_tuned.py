"""The study of tuned weights: disjoint captions, figures by hand, and the whole command on the smallest scale."""

import json

import numpy as np
import pytest
from tiny import build_sd_unet
from typer.testing import CliRunner

from reweight.bench.tuned import tuned_summary, tunings
from reweight.bench.tuned.captions import caption_sets
from reweight.patching.blocks import target_blocks


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


@pytest.mark.slow
def test_the_whole_study(tmp_path):
    from reweight.__main__ import app

    arguments = [
        "bench", "tuned", "--out", str(tmp_path), "--steps", "1,2", "--captions", "3", "--validation", "2", "--limit", "4",
        "--seeds", "42", "--batch", "2", "--iterations", "2", "--ways", "dynamic;static@2", "--probed", "1",
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "what dynamic adds" in result.output
    found = json.loads((tmp_path / "tuned-toy-turbo.json").read_text(encoding="utf-8"))
    assert {e["variant"] for e in found["steps"]["2"]["effects"]} == {
        "vanilla", "dynamic", "static", "calibrated", "paper-code", "dynamic of 1 step",
    }  # fmt: skip
    assert [f["variant"] for f in found["fewer_steps"]] == ["vanilla", "dynamic"]
    assert {path.name for path in tmp_path.glob("*-toy-turbo*.[pj][np]g")} == {
        "tuned-toy-turbo.png", "pairs-toy-turbo-1.jpg", "pairs-toy-turbo-2.jpg",
    }  # fmt: skip
    rows = (tmp_path / "rows" / "rows-0.jsonl").read_bytes()
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (tmp_path / "rows" / "rows-0.jsonl").read_bytes() == rows
