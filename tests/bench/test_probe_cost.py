"""The public code's loop order finds what ours finds, and costs what it must."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from reweight.bench.studies.speedup import compare
from reweight.models.loading import load_model


@pytest.mark.parametrize(
    "guidance", [pytest.param(0.0, marks=pytest.mark.thorough), pytest.param(3.0, marks=pytest.mark.slow)]
)
def test_the_two_loop_orders_agree(sd_folder, guidance):
    loaded = load_model(str(sd_folder), device="cpu", local=True)
    found = compare(loaded, "a red apple", steps=2, guidance=guidance, runs=5, iterations=4, precision=0.9, repeats=1)
    public, same, with_surrogate, adaptive, both, calibrated, fewest, scaled, bypassed = found.timings
    k = 2 if guidance else 1
    assert found.threshold_gap < 1e-6 and found.same_votes and same.tau == 1.0
    assert public.samples == 5 * 4 * 2 * 2 * k
    assert 2 * k <= adaptive.samples <= same.samples <= (2 + 5 * 4 * 2) * k < public.samples
    assert adaptive.runs <= same.runs == with_surrogate.runs == 5 and both.runs == adaptive.runs
    assert with_surrogate.tau == 1.0 and both.tau == adaptive.tau
    assert calibrated.tau == 1.0 and fewest.samples <= calibrated.samples and calibrated.runs == 5
    assert scaled.samples == 2 * 15 * k and bypassed.samples == 2 * 8 * k and bypassed.tau == 1.0 >= scaled.tau
    assert found.ratio(public) == 1.0 and all(found.ratio(timing) > 0 for timing in found.timings)


def test_the_command_prints_and_writes_the_figures(sd_folder, tmp_path):
    from reweight.bench import app

    out = tmp_path / "probe.json"
    asked = [
        "--model",
        str(sd_folder),
        "--steps",
        "1",
        "--runs",
        "2",
        "--iterations",
        "2",
        "--repeats",
        "1",
        "--device",
        "cpu",
    ]
    result = CliRunner().invoke(app, ["probe", *asked, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "the same votes" in result.output
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert [timing["runs"] for timing in figures["timings"]][:2] == [2, 2]
    assert figures["timings"][0]["ratio"] == 1.0 and figures["same_votes"] is True


def test_peak_memory_is_what_the_work_takes():
    code = """
import numpy as np
from reweight.bench.overhead.peak_memory import peak
result, megabytes = peak(lambda: float(np.ones(6_250_000).sum()), "cpu")
assert result == 6_250_000
print(megabytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8"
    )  # where nothing else is freed
    assert done.returncode == 0, done.stderr
    if done.stdout.strip() == "None":
        pytest.skip("This system does not say how much memory a process takes.")
    assert 0.7 * 50 < float(done.stdout) < 3 * 50


def test_the_surrogates_command_compares_both_searches(sd_folder, tmp_path):
    from reweight.bench import app

    out = tmp_path / "surrogate.json"
    asked = [
        "--model",
        str(sd_folder),
        "--limit",
        "2",
        "--steps",
        "1",
        "--guidance",
        "0",
        "--runs",
        "2",
        "--device",
        "cpu",
    ]
    result = CliRunner().invoke(app, ["surrogate", *asked, "--preset", "paper-code", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "0 of 2" in result.output and "paper-code" in result.output
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [row["gap"] for row in found["prompts"]] == [0, 0] and found["format"] == "reweight-surrogate-1"
    assert all(row["surrogate"] > 1 for row in found["prompts"])
    wrong = CliRunner().invoke(app, ["surrogate", *asked, "--preset", "nobody"])
    assert wrong.exit_code and "no preset 'nobody'" in str(wrong.exception)


def test_the_peak_of_tensors_does_not_depend_on_what_was_freed_before():
    import torch

    from reweight.bench.overhead.peak_memory import tensors_peak

    def work():
        a = torch.ones(1_000_000)
        b = a + 1
        del a
        return b * 2

    del_first = torch.ones(20_000_000)
    del del_first
    assert [round(tensors_peak(work, "cpu"), 1) for _ in range(2)] == [8.0, 8.0]
