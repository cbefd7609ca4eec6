"""Settings of a probe: integers of every kind, and nothing that reaches the caller between two batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reweight.patching.blocks import target_blocks
from reweight.probing.ablation import sensitivity
from reweight.probing.importance_probe import probe
from reweight.probing.probe_request import ProbeRequest, Trajectory
from reweight.probing.search import PRESETS, ProbeSettings
from reweight.probing.teacher import record_teacher

PROMPT = "a red apple on the table"
OPTIONS = {"guidance_scale": 0.0, "height": 32, "width": 32}


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32, lambda value: np.array(value), torch.tensor])
def test_any_integer_will_do(sd_pipe, kind):
    plain = {"steps": 2, "seed": 3, "images": 1, "height": 32, "width": 32, "batch_size": 4, "runs": 2, "iterations": 2}
    asked = ProbeRequest.of(PROMPT, **{name: kind(value) for name, value in plain.items()})
    assert asked == ProbeRequest.of(PROMPT, **plain)
    assert all(type(getattr(asked, name)) is int for name in ("steps", "seed", "images", "height", "batch_size"))
    assert type(asked.settings.runs) is int


def test_they_come_through_the_public_functions(sd_pipe):
    table = probe(
        sd_pipe, PROMPT, steps=np.int64(1), runs=np.int64(1), iterations=np.int64(1), seed=np.int64(7), **OPTIONS
    )
    assert table.steps == 1 and table.seed == 7
    measured = sensitivity(sd_pipe, PROMPT, steps=np.int64(1), batch_size=np.int32(2), **OPTIONS)
    np.testing.assert_array_equal(measured, sensitivity(sd_pipe, PROMPT, steps=1, batch_size=2, **OPTIONS))


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float64(2), "2", None, -1])
@pytest.mark.parametrize("name", ["steps", "seed", "images"])
def test_nothing_else_will(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be a whole number from .*\.$"):
        Trajectory(**{"prompt": PROMPT, "steps": 1} | {name: value})


@pytest.mark.parametrize("changes, match", [
    ({"height": 0}, "height must be"), ({"width": 16.0}, "width must be"), ({"batch_size": True}, "batch_size must be"),
    ({"guidance_scale": float("nan")}, "guidance_scale must be a finite number"),
])  # fmt: skip
def test_sizes_and_guidance_are_checked(changes, match):
    with pytest.raises(ValueError, match=match):
        ProbeRequest.of(PROMPT, steps=1, **changes)


def test_what_replaces_a_presets_constants():
    asked = ProbeRequest.of(PROMPT, steps=1, preset="paper-text", runs=3, surrogate=True)
    assert asked.settings == replace(PRESETS["paper-text"], runs=3, surrogate=True)
    assert ProbeRequest(prompt=PROMPT, steps=1).settings == ProbeSettings()
    with pytest.raises(TypeError, match="colour"):
        ProbeRequest.of(PROMPT, steps=1, colour="red")


def test_inference_mode_ends_with_each_batch(sd_pipe):
    teacher = record_teacher(sd_pipe, Trajectory(prompt=PROMPT, steps=1, **OPTIONS))
    w = np.ones((3, len(target_blocks(sd_pipe.unet))))
    seen = [torch.is_inference_mode_enabled() for _ in teacher.students(np.zeros(3, dtype=int), w, batch_size=1)]
    assert seen == [False] * 3
