"""Killed with -9 at any moment, a probe, a tuning and a study of many pictures end as if nothing had been."""

from __future__ import annotations

import csv
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reweight.__main__ import app
from reweight.engine.provenance import read_png
from reweight.probing.importance_probe import probe
from reweight.scoring.toy_scorer import load_toy_scorer
from reweight.tuning.loop import iter_tune

if not hasattr(os, "fork"):
    pytest.skip("forks are Unix's", allow_module_level=True)
PROMPT = "a red apple on the table"
PROBE = {"steps": 2, "guidance_scale": 0.0, "height": 32, "width": 32, "runs": 3, "iterations": 4, "batch_size": 2}


def killed(work: Callable[[Callable[[], None]], Any], after: int) -> bool:
    """Do some work in a fork and kill it once it has called what it is given `after` times; whether it was still alive."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(lambda: os.write(writing, b"."))
        finally:
            os._exit(0)
    os.close(writing)
    heard = 0
    while heard < after and (part := os.read(reading, 1)):
        heard += len(part)
    os.kill(child, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


class Calls:
    """Counts U-Net calls, and tells of them."""

    def __init__(self, tell: Callable[[], None] = lambda: None) -> None:
        self.count, self.tell = 0, tell

    def __call__(self) -> None:
        self.count += 1
        self.tell()


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.thorough)])
def test_a_probe_that_is_killed_again_and_again_has_the_same_table(sd_pipe, tmp_path: Path, kills: int):
    whole, chance, lost = Calls(), random.Random(0), []
    expected = probe(sd_pipe, PROMPT, check=whole, **PROBE).to_json()
    for number in range(kills):
        file, at = tmp_path / f"{number}.state", chance.randrange(1, whole.count)
        alive = killed(lambda tell, file=file: probe(sd_pipe, PROMPT, check=Calls(tell), resume=file, **PROBE), at)
        rest = Calls()
        assert probe(sd_pipe, PROMPT, check=rest, resume=file, **PROBE).to_json() == expected
        lost.append(rest.count + at - whole.count if alive else 0)
    iteration = whole.count / (PROBE["runs"] * PROBE["iterations"])
    assert max(lost) <= 2 * PROBE["steps"] + 2 * iteration + 2, lost  # the teacher's calls, and the iteration under way


@pytest.mark.parametrize("kills", [2, pytest.param(3, marks=pytest.mark.thorough)])
def test_a_tuning_that_is_killed_again_and_again_has_the_same_weights(sd_pipe, tmp_path: Path, kills: int):
    options = {"steps": 2, "guidance_scale": 3.0, "iterations": 4, "batch": 1, "validate_every": 2, "checkpointing": False,
               "trust": 0.0}  # fmt: skip
    prompts, scorer = ["a red apple on table", "the blue cat in rain", "red cat"], load_toy_scorer()

    def tuned(tell: Callable[[], None] = lambda: None, file: Path | None = None) -> Any:
        snapshots = []
        for snapshot in iter_tune(sd_pipe, prompts, scorer, resume=file, **options):
            snapshots.append(snapshot)
            tell()
        return snapshots[-1]

    expected = tuned()
    file = tmp_path / "tuning.json"
    for after in [1] * kills:
        killed(lambda tell: tuned(tell, file), after)
    again = tuned(file=file)
    assert again.weights.tobytes() == expected.weights.tobytes()
    assert again.best.weights.tobytes() == expected.best.weights.tobytes()
    assert again.best.diagnostics["curve"] == expected.best.diagnostics["curve"]


@pytest.mark.parametrize("kills", [(1, 2), pytest.param((1, 1, 2), marks=pytest.mark.thorough)])
def test_a_study_that_is_killed_again_and_again_has_the_same_pictures(
    sd_folder: Path, tmp_path: Path, kills: tuple[int, ...]
):
    def study(folder: Path) -> list[str]:
        return [
            "generate", PROMPT, "--seeds", "1-4", "--method", "reweighted", "--model", str(sd_folder), "--steps", "2",
            "--out", str(folder),
        ]  # fmt: skip

    def run(folder: Path) -> Any:
        return CliRunner().invoke(app, study(folder))

    def pictures(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}

    def watched(tell: Callable[[], None]) -> None:
        done = threading.Event()

        def look() -> None:
            seen = 0
            while not done.wait(0.005):
                now = len(list(out.glob("*.png")))
                for _ in range(now - seen):
                    tell()
                seen = max(seen, now)

        threading.Thread(target=look, daemon=True).start()
        run(out)
        done.set()

    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run(whole).exit_code == 0
    for after in kills:
        killed(watched, after)
        for path in out.glob("*.png"):
            read_png(path)
    assert run(out).exit_code == 0
    assert pictures(out) == pictures(whole)
    with (out / "pictures.csv").open(encoding="utf-8", newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == set(pictures(whole))
