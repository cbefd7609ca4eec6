"""Blocks left out and what is left fine_tuned: on a tiny pipeline."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from reweight.bench import app
from reweight.bench.studies.pruned_student import fine_tuned, likeness, pictures
from reweight.models.loading import load_model

WHERE = {"steps": 2, "guidance": 0.0}
MASK = np.zeros((2, 7), bool)
MASK[0, 2] = MASK[1, 5] = True


class Colours:
    """A scorer whose features are the mean colours."""

    name, version = "colours", "1"

    def score(self, images, prompts):
        return np.zeros(len(images))

    def features(self, images):
        found = np.array([np.asarray(image, float).mean((0, 1)) for image in images])
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def loaded(sd_folder):
    loaded = load_model(str(sd_folder), device="cpu", local=True)
    loaded.pipe.set_progress_bar_config(disable=True)
    return loaded


def test_the_student_comes_nearer_and_the_pipeline_stays_as_it_was(loaded):
    pipe = loaded.pipe
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    own, hooks = pipe.unet, dict(pipe.unet._forward_hooks)
    seeds = range(42, 46)
    whole = pictures(loaded, "a red apple", seeds, batch=3, **WHERE)
    student = fine_tuned(pipe, MASK, "a red apple", guidance=0.0, epochs=12, batch=2, rate=1e-3)
    assert pipe.unet is own and all(torch.equal(weight, before[name]) for name, weight in own.state_dict().items())
    assert dict(own._forward_hooks) == hooks and len(student._forward_hooks) == len(hooks)
    moved = {name for name, weight in student.state_dict().items() if not torch.equal(weight, before[name])}
    assert moved and all("attentions." in name for name in moved)
    left_out = likeness(pictures(loaded, "a red apple", seeds, mask=MASK, **WHERE), whole, Colours())
    learned = likeness(pictures(loaded, "a red apple", seeds, mask=MASK, unet=student, **WHERE), whole, Colours())
    assert 0 < learned.mse[0] < left_out.mse[0] and learned.ssim[0] > left_out.ssim[0] and learned.n == 4
    same = likeness(whole, whole, Colours())
    assert same.mse == (0, 0) and same.ssim == pytest.approx((1, 0)) and same.cosine[0] == pytest.approx(1)
    assert same.frechet == pytest.approx(0, abs=1e-9) and left_out.frechet > 0
    assert likeness(whole, whole).frechet is None


def test_an_unfine_tuned_student_is_the_teacher_without_the_blocks(loaded):
    student = fine_tuned(loaded.pipe, MASK, "a red apple", guidance=3.0, epochs=0, batch=2, rate=1e-3)
    drawn = [
        pictures(loaded, "a red apple", [7], mask=MASK, unet=unet, steps=2, guidance=3.0)[0] for unet in (None, student)
    ]
    assert np.array_equal(*map(np.asarray, drawn))


@pytest.mark.thorough
def test_the_command_goes_on_where_it_stopped(sd_folder, tmp_path, monkeypatch):
    asked = ["pruning", "--model", str(sd_folder), "--kind", "skip-1", "--seeds", "2", "--epochs", "1", "--batch", "1"]
    asked += ["--device", "cpu", "--prompt", "a red apple", "--scorer", "none", "--out", str(tmp_path)]

    def run(*more):
        return CliRunner().invoke(app, [*asked, *more])

    done = run()
    assert done.exit_code == 0, done.output
    first = (tmp_path / "pruning.json").read_bytes()
    strategies = json.loads(first)["strategies"]
    assert list(strategies) == [f"skip-1 ranks {a} then {b}" for a in (0, 1) for b in (0, 1)]
    assert all(np.sum(found["skipped"], axis=1).tolist() == [1, 1] for found in strategies.values())
    assert (tmp_path / "pruning.png").stat().st_size > 5000
    monkeypatch.setattr("reweight.bench.studies.pruned_student.fine_tuned", None)
    assert run().exit_code == 0 and (tmp_path / "pruning.json").read_bytes() == first
    refused = run("--steps", "1")
    assert isinstance(refused.exception, ValueError) and "was made with steps 2, not 1" in str(refused.exception)
    unknown = run("--kind", "skip-9")
    assert isinstance(unknown.exception, ValueError) and "no kind 'skip-9'" in str(unknown.exception)
    if find_spec("torchvision") is None:
        without = run("--lpips")
        assert isinstance(without.exception, ValueError) and "needs a torchvision" in str(without.exception)
