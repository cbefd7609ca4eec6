"""A probe that is stopped or killed goes on to the same bytes; Stop is heard before every U-Net call."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from reweight.__main__ import app
from reweight.probing.ablation import sensitivity
from reweight.probing.importance_probe import probe
from reweight.probing.search import PRESETS
from reweight.probing.surrogate import CHECK_STUDENTS

PROMPT = "a red apple on the table"
OPTIONS = {"steps": 2, "guidance_scale": 0.0, "height": 32, "width": 32}
SHORT = OPTIONS | {"runs": 3, "iterations": 3}
CHILD = """
import sys, torch
from diffusers import StableDiffusionPipeline
from reweight.probing.importance_probe import probe

torch.set_num_threads(1)
pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1], local_files_only=True)
probe(pipe, {prompt!r}, resume=sys.argv[2], **{options!r})
"""


class Stop(Exception):
    pass


class Check:
    """Raises before U-Net call number `at`, 0-based."""

    def __init__(self, at: float = np.inf) -> None:
        self.at, self.calls = at, 0

    def __call__(self) -> None:
        if self.calls == self.at:
            raise Stop
        self.calls += 1


ESTIMATED = replace(PRESETS["paper-text"], name="estimated", surrogate=True)


@pytest.mark.parametrize(
    ("preset", "batch_size"),
    [
        pytest.param("paper-text", None, id="paper-text"),
        pytest.param("calibrated", 2, id="calibrated, batched"),
        pytest.param(ESTIMATED, None, id="estimated"),
        pytest.param("calibrated", None, id="calibrated", marks=pytest.mark.thorough),
        pytest.param("paper-text", 2, id="paper-text, batched", marks=pytest.mark.thorough),
        pytest.param(ESTIMATED, 2, id="estimated, batched", marks=pytest.mark.thorough),
    ],
)
def test_wherever_it_stops_it_goes_on_to_the_same_table(sd_pipe, tmp_path, preset, batch_size):
    options = SHORT | {"preset": preset, "batch_size": batch_size}
    whole = Check()
    table = probe(sd_pipe, PROMPT, check=whole, **options).to_json()
    anew = 2  # the teacher's calls
    if preset is ESTIMATED:
        anew += -(-SHORT["steps"] * 7 // (batch_size or 16)) - (-SHORT["steps"] * CHECK_STUDENTS // (batch_size or 16))
    for at in {0, 2, whole.calls // 2, whole.calls - 1}:
        file = tmp_path / f"{at}.state"
        with pytest.raises(Stop):
            probe(sd_pipe, PROMPT, check=Check(at), resume=file, **options)
        rest = Check()
        assert probe(sd_pipe, PROMPT, check=rest, resume=file, **options).to_json() == table
        iteration = 1 if batch_size is None else 4  # calls of the iteration under way, which are lost
        assert rest.calls <= whole.calls - at + anew + iteration, "what was measured is not measured again"
    again = Check()
    assert probe(sd_pipe, PROMPT, check=again, resume=file, **options).to_json() == table
    assert again.calls == anew


@pytest.mark.thorough
def test_a_killed_process_goes_on_to_the_same_table(sd_folder, sd_pipe, tmp_path):
    options = OPTIONS | {"batch_size": 1, "runs": 4}
    file, whole, rest = tmp_path / "probe.state", Check(), Check()
    command = [sys.executable, "-c", CHILD.format(prompt=PROMPT, options=options), str(sd_folder), str(file)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    created = None
    while child.poll() is None:
        content = file.read_bytes() if file.exists() else None
        if created is not None and content != created:
            break  # an iteration is in it
        created = content
        time.sleep(0.002)
    child.kill()
    assert child.wait() == -9
    resumed = probe(sd_pipe, PROMPT, check=rest, resume=file, **options)
    assert resumed.to_json() == probe(sd_pipe, PROMPT, check=whole, **options).to_json()
    assert rest.calls < whole.calls


def test_another_batch_size_goes_on_as_well(sd_pipe, tmp_path):
    file = tmp_path / "probe.state"
    with pytest.raises(Stop):
        probe(sd_pipe, PROMPT, check=Check(9), resume=file, batch_size=1, **SHORT)
    resumed = probe(sd_pipe, PROMPT, resume=file, batch_size=6, **SHORT)
    assert resumed == probe(sd_pipe, PROMPT, **SHORT)


def test_a_file_that_is_not_this_probes_is_refused(sd_pipe, tmp_path):
    file = tmp_path / "probe.state"
    probe(sd_pipe, PROMPT, resume=file, **SHORT | {"runs": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["probe.state"]
    for changes, name in (({"runs": 2}, "settings"), ({"seed": 1}, "seed"), ({"revision": "abc"}, "revision")):
        with pytest.raises(ValueError, match=f"state of another probe, whose {name} differs"):
            probe(sd_pipe, PROMPT, resume=file, **SHORT | {"runs": 1} | changes)
    for content in (b"", b"{}", b"PK\x03\x04", file.read_bytes()[:200]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="is not the state of a probe") as error:
            probe(sd_pipe, PROMPT, resume=file, **SHORT | {"runs": 1})
        assert "\n" not in str(error.value) and str(error.value).endswith(".")
    np.savez(tmp_path / "other.npz", losses=np.zeros(3))
    with pytest.raises(ValueError, match="is not the state of a probe"):
        probe(sd_pipe, PROMPT, resume=tmp_path / "other.npz", **SHORT)


@pytest.mark.parametrize("at", [0, 1, 2, 4])
@pytest.mark.parametrize("bypass", [False, True])
def test_sensitivity_stops_before_any_call(sd_pipe, at, bypass):
    calls, scheduler = [], sd_pipe.scheduler
    handle = sd_pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(Stop):
        sensitivity(sd_pipe, PROMPT, bypass=bypass, batch_size=1, check=Check(at), **OPTIONS)
    handle.remove()
    assert len(calls) == at and sd_pipe.scheduler is scheduler and not sd_pipe.unet._forward_pre_hooks


def test_precision_ends_the_runs_when_every_score_is_sure(sd_pipe):
    options = OPTIONS | {"preset": PRESETS["calibrated"], "runs": 12, "iterations": 8}
    full = probe(sd_pipe, PROMPT, **options)

    def widest(table):
        return np.max(np.subtract(table.diagnostics["interval_high"], table.diagnostics["interval_low"]))

    assert full.runs == 12 and widest(full) < 0.6
    asked = 1.2 * widest(full)
    table = probe(sd_pipe, PROMPT, precision=asked, **options)
    assert 4 <= table.runs < 12 and widest(table) < asked
    assert table.diagnostics["unet_samples"] < full.diagnostics["unet_samples"]
    fewer = probe(sd_pipe, PROMPT, **options | {"runs": table.runs - 1}) if table.runs > 4 else None
    assert fewer is None or widest(fewer) >= asked
    np.testing.assert_array_equal(table.scores, probe(sd_pipe, PROMPT, **options | {"runs": table.runs}).scores)
    for batch_size in (1, 7, 1000):
        other = probe(sd_pipe, PROMPT, precision=asked, batch_size=batch_size, **options)
        np.testing.assert_array_equal(other.scores, table.scores)
        assert other.runs == table.runs
    one = probe(sd_pipe, PROMPT, **options | {"runs": 1}).diagnostics
    assert np.all(one["interval_low"] == np.float64(1 / 7)) and np.all(np.equal(one["interval_high"], 1.0))


def test_several_pictures_are_the_mean_of_their_errors(sd_pipe):
    both = sensitivity(sd_pipe, PROMPT, images=2, seed=5, **OPTIONS)
    each = [sensitivity(sd_pipe, PROMPT, seed=seed, **OPTIONS) for seed in (5, 6)]
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=1e-3, atol=1e-13)
    assert np.abs(each[0] / each[1] - 1).max() > 0.01


def test_the_command_goes_on_from_its_file(sd_folder, tmp_path):
    state, tables = tmp_path / "probe.state", [tmp_path / "first.json", tmp_path / "second.json"]
    asked = ["probe", PROMPT, "--model", str(sd_folder), "--steps", "1", "--guidance", "0", "--runs", "1"]
    written = []
    for table in tables:
        result = CliRunner().invoke(app, [*asked, "--out", str(table), "--resume", str(state)])
        assert result.exit_code == 0, result.output
        written.append((state.stat().st_mtime_ns, state.read_bytes()))
    assert tables[0].read_bytes() == tables[1].read_bytes() and written[0] == written[1]
    result = CliRunner().invoke(app, [*asked, "--seed", "1", "--out", str(tables[0]), "--resume", str(state)])
    assert isinstance(result.exception, ValueError) and "state of another probe" in str(result.exception)
    assert CliRunner().invoke(app, [*asked, "--out", str(tables[0]), "--precision", "2"]).exit_code != 0
