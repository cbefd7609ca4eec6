"""Registries, and a package from outside that brings a method, a control and a scorer through its entry points."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reweight.engine.provenance import read_png
from reweight.plugins import Registry

ROOT = Path(__file__).parent.parent
ENV = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "outside"), str(ROOT)]), "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1", "COLUMNS": "200",
}  # fmt: skip
PROMPT = "a red apple on table"


def run(*arguments):
    command = [sys.executable, "-m", "reweight", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=300, encoding="utf-8")


@dataclass(frozen=True)
class Thing:
    key: str


class TestRegistry:
    def test_holds_things_in_their_order(self):
        things = Registry("thing", "reweight.nothing")
        b, a = things.register(Thing("b")), things.register(Thing("a"))
        assert list(things) == ["b", "a"] and things.named("a") is a and things["b"] is b and len(things) == 2
        things.remove("b")
        assert list(things) == ["a"]

    def test_refuses_a_key_that_is_taken_or_none(self):
        things = Registry("thing", "reweight.nothing")
        things.register(Thing("a"))
        for key, said in (("a", "a thing 'a' already"), ("A", "a thing's key"), ("a+b", "key"), ("../a", "key")):
            with pytest.raises(ValueError, match=f"(?i){said}"):
                things.register(Thing(key))

    @pytest.mark.parametrize("key", ["c", "", None, 3, ["a"]])
    def test_another_key_is_one_sentence(self, key):
        things = Registry("thing", "reweight.nothing")
        things.register(Thing("a"))
        with pytest.raises(ValueError, match=r"^There is no thing of that name: choose one of a\.$"):
            things.named(key)


class TestFromOutside:
    """No file of this package names what tests/outside brings."""

    def test_a_method_and_a_control_draw_and_are_in_the_settings(self, sd_folder, tmp_path):
        done = run(
            "generate", PROMPT, "--model", sd_folder, "--steps", 2, "--out", tmp_path, "--method", "vanilla", "--method",
            "dim-skips", "--method", "reweighted+dim-skips", "--set", "dim-skips.factor=0.5", "--schedule", "zigzag",
            "--low", 0.5, "--high", 1.5,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "broken is left out" in done.stderr and "Traceback" not in done.stderr
        pictures = {
            name: Image.open(tmp_path / f"{name}.png") for name in ("vanilla", "dim-skips", "reweighted+dim-skips")
        }
        assert len({picture.tobytes() for picture in pictures.values()}) == 3
        settings = read_png(tmp_path / "reweighted+dim-skips.png")
        assert settings["request"]["dim-skips"] == {"factor": 0.5, "deepest": False}
        assert settings["request"]["schedule"] == "zigzag"
        assert settings["weights"] == [[0.5, 1.5, 0.5, 1.5, 0.5, 1.5, 0.5]] * 2
        assert "dim-skips factor 0.5 deepest False" in pictures["dim-skips"].info["parameters"]

    def test_its_settings_are_checked(self, sd_folder, tmp_path):
        asked = ("generate", PROMPT, "--model", str(sd_folder), "--out", str(tmp_path), "--set")
        said = {
            "dim-skips.factor=9": "Dim skips factor must be a number from 0 to 2.",
            "dim-skips.deepest=1": "Dim skips deepest must be true or false.",
            "dim-skips.b=1": "Dim skips may have factor and deepest, and nothing else.",
        }
        code = """
import contextlib, sys
from reweight.__main__ import main
for setting in sys.argv.pop().split():
    sys.argv.append(setting)
    with contextlib.suppress(SystemExit):
        main()
    sys.argv.pop()
"""
        command = [sys.executable, "-c", code, *asked, " ".join(said)]
        done = subprocess.run(command, cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=300, encoding="utf-8")
        assert [line for line in done.stderr.splitlines() if line.startswith("Dim skips")] == list(said.values())

    def test_a_scorer_judges_a_table(self, sd_folder, tmp_path):
        (tmp_path / "prompts.txt").write_text(f"{PROMPT}\nthe blue cat in rain\n", encoding="utf-8")
        done = run(
            "bench", "fig4", "--model", sd_folder, "--prompts", tmp_path / "prompts.txt", "--limit", 2, "--seeds", 1,
            "--steps", 1, "--importance", "empirical", "--scorer", "redness", "--out", tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        rows = [
            json.loads(line) for line in (tmp_path / "fig4" / "rows-0.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        assert json.loads((tmp_path / "fig4" / "results.json").read_text(encoding="utf-8"))["scorer"] == "redness 1"
        assert len(rows) == 12 and np.ptp([row["score"] for row in rows]) > 0
