"""A probe that estimates most errors: the same thresholds for fewer U-Net samples; where the estimate is poor, it measures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from reweight.__main__ import app
from reweight.models.loading import load_model
from reweight.probing.importance_probe import iter_probe, probe
from reweight.probing.probe_request import ProbeRequest, Trajectory
from reweight.probing.search import PRESETS
from reweight.probing.surrogate import CHECK_STUDENTS, FD_STEP, Surrogate
from reweight.probing.teacher import Teacher, record_teacher
from reweight.schedule import ImportanceTable

PROMPT = "a red apple on the table"
OPTIONS = {"steps": 2, "height": 32, "width": 32}
CODE = replace(PRESETS["paper-code"], bound=(0.1, 0.2), tol=(1e-4, 2e-4), runs=8, iterations=8)
TEXT = replace(PRESETS["paper-text"], bound=(0.1, 0.2), tol=(1e-4, 2e-4), runs=2, iterations=5)


@pytest.mark.parametrize("settings, guidance", [(CODE, 0.0), (TEXT, 4.0)], ids=["code", "text, guided"])
def test_it_finds_what_the_whole_search_finds(sd_pipe, settings, guidance):
    options = OPTIONS | {"guidance_scale": guidance, "preset": settings}
    *_, whole = iter_probe(sd_pipe, ProbeRequest.of(PROMPT, **options))
    *_, fewer = iter_probe(sd_pipe, ProbeRequest.of(PROMPT, surrogate=True, **options))
    np.testing.assert_array_equal(fewer.thresholds, whole.thresholds)
    assert (fewer.table.scores == whole.table.scores).all()
    many, few = (found.table.diagnostics for found in (whole, fewer))
    assert 0 < few["acceptance_rate"] == many["acceptance_rate"] < 1
    assert few["unet_samples"] < many["unet_samples"] / 2
    assert fewer.table.settings["surrogate"] is True and whole.table.settings["surrogate"] is False


@pytest.mark.thorough
def test_four_checks_were_too_few_for_the_embedded_model():
    pipe = load_model("toy-turbo", device="cpu").pipe
    prompt, options = "concept art of a black bus at the beach", {"steps": 2, "guidance_scale": 0.0}
    *_, whole = iter_probe(pipe, ProbeRequest.of(prompt, preset="paper-code", **options))
    *_, fewer = iter_probe(pipe, ProbeRequest.of(prompt, preset="paper-code", surrogate=True, **options))
    np.testing.assert_array_equal(fewer.thresholds, whole.thresholds)


def test_its_count_of_samples_is_the_unets_own(sd_pipe):
    batches = []
    hook = sd_pipe.unet.conv_in.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    table = probe(sd_pipe, PROMPT, guidance_scale=4.0, preset=CODE, surrogate=True, **OPTIONS)
    hook.remove()
    assert table.diagnostics["unet_samples"] == sum(batches)


def recorded(pipe) -> Teacher:
    return record_teacher(pipe, Trajectory(prompt=PROMPT, seed=42, guidance_scale=0.0, **OPTIONS))


def test_its_estimate_is_the_error(sd_pipe):
    teacher, tol = recorded(sd_pipe), np.array([1e-5, 4e-5])
    surrogate = Surrogate(teacher, 7, tol, seed=1)
    assert surrogate.students == 2 * (7 + CHECK_STUDENTS) and teacher.samples == 2 + surrogate.students
    step, one_block = np.repeat([0, 1], 7), np.tile(1 - FD_STEP * np.eye(7), (2, 1))
    errors = teacher.losses(step, one_block)
    np.testing.assert_allclose(surrogate.estimate(step, one_block), errors, rtol=1e-3)
    fall = np.random.default_rng(0).random((40, 7)) * 0.05
    step = np.arange(40) % 2
    decided, estimates = surrogate.decided(step, 1 - fall, np.zeros((40, 7), dtype=bool))
    errors = teacher.losses(step, 1 - fall)
    np.testing.assert_allclose(np.log(estimates / errors), 0, atol=0.3)
    within = errors <= tol[step]
    assert decided.mean() > 0.5 and 0 < within[decided].mean() < 1
    assert ((estimates <= tol[step]) == within)[decided].all()


def test_a_bypass_and_what_is_near_the_tolerance_are_never_decided(sd_pipe):
    surrogate = Surrogate(recorded(sd_pipe), 7, np.array([1e-5, 4e-5]), seed=1)
    w, step, bypass = np.full((2, 7), 1 - 1e-6), np.array([0, 1]), np.zeros((2, 7), dtype=bool)
    assert surrogate.decided(step, w, bypass)[0].all()
    bypass[1, 3] = True
    assert surrogate.decided(step, w, bypass)[0].tolist() == [True, False]
    surrogate.tol = surrogate.estimate(step, w) * 1.01
    assert not surrogate.decided(step, w, np.zeros((2, 7), dtype=bool))[0].any()


def test_a_model_that_is_not_nearly_linear_is_measured_throughout(sd_pipe):
    def coarse(module, args, output):  # steps as large as the errors that count
        return (torch.round(output[0] * 20) / 20,)

    options = OPTIONS | {"guidance_scale": 0.0, "preset": replace(CODE, runs=2)}
    hook = sd_pipe.unet.register_forward_hook(coarse)
    *_, whole = iter_probe(sd_pipe, ProbeRequest.of(PROMPT, **options))
    *_, fewer = iter_probe(sd_pipe, ProbeRequest.of(PROMPT, surrogate=True, **options))
    margin = Surrogate(recorded(sd_pipe), 7, np.linspace(*CODE.tol, 2), seed=42).margin
    hook.remove()
    np.testing.assert_array_equal(fewer.thresholds, whole.thresholds)
    assert np.isinf(margin).any()


def test_a_model_without_any_say_of_its_blocks_accepts_everything(sd_pipe):
    hook = sd_pipe.unet.register_forward_hook(lambda module, args, output: (torch.zeros_like(output[0]),))
    table = probe(sd_pipe, PROMPT, guidance_scale=0.0, preset=TEXT, surrogate=True, **OPTIONS)
    hook.remove()
    assert table.diagnostics["acceptance_rate"] == 1


def test_blocks_that_are_switched_off_cannot_be_estimated(sd_pipe):
    with pytest.raises(
        ValueError, match="cannot estimate the error of blocks that are switched off, as calibrated does"
    ):
        probe(sd_pipe, PROMPT, preset="calibrated", surrogate=True, **OPTIONS)


def test_a_student_that_is_not_finite_is_named(sd_pipe):
    calls = []

    def poison(module, args, output):
        calls.append(1)
        return None if len(calls) <= 2 else (output[0] * torch.nan,)

    hook = sd_pipe.unet.register_forward_hook(poison)
    with pytest.raises(FloatingPointError, match="not a finite number at step 1 of 2"):
        probe(sd_pipe, PROMPT, guidance_scale=0.0, preset=CODE, surrogate=True, **OPTIONS)
    hook.remove()


def test_the_command_takes_it(sd_folder, tmp_path):
    out = tmp_path / "table.json"
    asked = [
        "probe",
        PROMPT,
        "--model",
        str(sd_folder),
        "--steps",
        "1",
        "--size",
        "64",
        "--runs",
        "1",
        "--guidance",
        "0",
    ]
    for extra in ([], ["--surrogate"]):
        result = CliRunner().invoke(app, [*asked, *extra, "--out", str(out)])
        assert result.exit_code == 0, result.output
        assert ImportanceTable.load(out).settings["surrogate"] is bool(extra)
