"""Registries, and a package from outside that brings a method, a control and a scorer through its entry points."""

import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from forked import forked
from PIL import Image

from reweight.engine.provenance import read_png
from reweight.plugins import Registry

ROOT = Path(__file__).parent.parent
PROMPT = "a red apple on table"


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


SAID = {
    "dim-skips.factor=9": "Dim skips factor must be a number from 0 to 2.",
    "dim-skips.deepest=1": "Dim skips deepest must be true or false.",
    "dim-skips.b=1": "Dim skips may have factor and deepest, and nothing else.",
}


class TestFromOutside:
    """No file of this package names what tests/outside brings. One process, where it is installed, runs the commands."""

    @staticmethod
    def said(*commands):
        """What each command says."""

        def run():
            from reweight.__main__ import main

            for arguments in commands:
                sys.argv[1:] = arguments
                with contextlib.suppress(SystemExit):
                    main()
                sys.stderr.write("-----\n")

        status, said = forked(run, path=(ROOT / "tests" / "outside",), changes={"COLUMNS": "200"}).rest()
        assert status == 0 and "Traceback" not in said, said
        return said.split("-----\n")

    @pytest.fixture(scope="class")
    def done(self, sd_folder, tmp_path_factory):
        """What each command said, and the folder that they wrote to."""
        folder = tmp_path_factory.mktemp("outside")
        generate = ["generate", PROMPT, "--model", str(sd_folder), "--steps", "2", "--out"]
        commands = [
            [*generate, str(folder), "--method", "vanilla", "--method", "dim-skips", "--method", "reweighted+dim-skips", "--set",
             "dim-skips.factor=0.5", "--schedule", "zigzag", "--low", "0.5", "--high", "1.5"],
            *([*generate, str(folder / "none"), "--set", setting] for setting in SAID),
        ]  # fmt: skip
        return self.said(*commands), folder

    def test_a_method_and_a_control_draw_and_are_in_the_settings(self, done):
        (said, *_), folder = done
        lines = [line for line in said.splitlines() if line.strip() and "broken is left out" not in line]
        ours = ("Importance: ", "vanilla", "dim-skips", "reweighted+dim-skips", "Wrote ")
        assert "broken is left out" in said and all(line.startswith(ours) for line in lines), said
        pictures = {
            name: Image.open(folder / f"{name}.png") for name in ("vanilla", "dim-skips", "reweighted+dim-skips")
        }
        assert len({picture.tobytes() for picture in pictures.values()}) == 3
        settings = read_png(folder / "reweighted+dim-skips.png")
        assert settings["request"]["dim-skips"] == {"factor": 0.5, "deepest": False}
        assert settings["request"]["schedule"] == "zigzag"
        assert settings["weights"] == [[0.5, 1.5, 0.5, 1.5, 0.5, 1.5, 0.5]] * 2
        assert "dim-skips factor 0.5 deepest False" in pictures["dim-skips"].info["parameters"]

    def test_its_settings_are_checked(self, done):
        (_, *said), _ = done
        for found, expected in zip(said, SAID.values(), strict=False):
            assert [line for line in found.splitlines() if line.startswith("Dim skips")] == [expected]

    @pytest.mark.thorough
    def test_a_scorer_judges_a_table(self, sd_folder, tmp_path):
        (tmp_path / "prompts.txt").write_text(f"{PROMPT}\nthe blue cat in rain\n", encoding="utf-8")
        self.said(
            ["bench", "fig4", "--model", str(sd_folder), "--prompts", str(tmp_path / "prompts.txt"), "--limit", "2",
             "--seeds", "1", "--steps", "1", "--importance", "empirical", "--scorer", "redness", "--out", str(tmp_path)],
        )  # fmt: skip
        rows = [
            json.loads(line) for line in (tmp_path / "fig4" / "rows-0.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        assert json.loads((tmp_path / "fig4" / "results.json").read_text(encoding="utf-8"))["scorer"] == "redness 1"
        assert len(rows) == 12 and np.ptp([row["score"] for row in rows]) > 0
