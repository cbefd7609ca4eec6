"""The command line in real processes: files that read back, and errors of one sentence."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forked import forked
from here import run_here
from PIL import Image
from typer.testing import CliRunner

import reweight
from reweight.__main__ import app, main
from reweight.engine.provenance import read_png
from reweight.engine.request import validate
from reweight.schedule import ImportanceTable

ROOT = Path(reweight.__file__).parents[1]
ENV = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
PROMPT = "a red apple on table"


def command(*arguments):
    return [sys.executable, "-m", "reweight", *map(str, arguments)]


def run(*arguments):
    return subprocess.run(
        command(*arguments), cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=300, encoding="utf-8"
    )


def refused(result):
    """Check for status 1 and one sentence on stderr, and give it."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1 and result.stdout == ""
    assert len(lines) == 1 and lines[0].endswith(".") and "Traceback" not in lines[0], result.stderr
    return lines[0]


@pytest.fixture(scope="module", params=[run_here, pytest.param(run, marks=pytest.mark.thorough)])
def made(request, sd_folder, tmp_path_factory):
    """A table from `probe` in this process, and pictures from `generate --table` in this one or in one of its own."""
    folder = tmp_path_factory.mktemp("made")
    table, figure, out = folder / "new" / "table.json", folder / "figure.png", folder / "out"
    probed = run_here(
        "probe", "a [red] $5 & $6 apple", "--model", sd_folder, "--steps", 3, "--runs", 1, "--out", table,
        "--figure", figure, "--guidance", 2,
    )  # fmt: skip
    drawn = request.param(
        "generate", PROMPT, "--model", sd_folder, "--table", table, "--out", out, "--low", 0.9, "--high", 1.2, "--seed", 5,
        "--guidance", 2, "--negative-prompt", "blue cat",
    )  # fmt: skip
    return probed, drawn, table, figure, out


def test_probe_writes_a_table_that_loads(made, sd_folder):
    probed, _, path, figure, _ = made
    assert probed.returncode == 0 and probed.stdout == "", probed.stderr
    table = ImportanceTable.load(path)
    assert (table.steps, len(table.blocks), table.runs, table.seed) == (3, 7, 1, 42)
    assert (table.prompt, table.model, table.guidance_scale) == ("a [red] $5 & $6 apple", str(sd_folder), 2.0)
    assert f"Wrote {path}: 1 run, acceptance rate" in probed.stderr
    assert Image.open(figure).size[0] > 300
    assert sorted(file.name for file in path.parent.iterdir()) == ["table.json"]


def test_generate_writes_three_pictures_that_bring_their_settings_back(made, sd_folder):
    _, drawn, path, _, out = made
    assert drawn.returncode == 0 and drawn.stdout == "", drawn.stderr
    assert sorted(file.name for file in out.iterdir()) == ["freeu.png", "reweighted.png", "vanilla.png"]
    table = ImportanceTable.load(path)
    pictures = set()
    for method in ("vanilla", "reweighted", "freeu"):
        settings = read_png(out / f"{method}.png")
        asked = settings["request"]
        assert settings["method"] == method and settings["source"] == sd_folder.name
        assert {name: asked[name] for name in ("prompt", "low", "high", "seed", "guidance", "steps", "size")} == {
            "prompt": PROMPT, "low": 0.9, "high": 1.2, "seed": 5, "guidance": 2.0, "steps": 3, "size": 64,
        }  # fmt: skip
        assert asked["negative_prompt"] == "blue cat"
        again = validate(**asked | {"model": "sd15", "size": 64})
        assert again.settings() == asked | {"model": "sd15"}
        weights, sha = (table.weights(0.9, 1.2).tolist(), table.sha256) if method == "reweighted" else (None, None)
        assert settings["weights"] == weights and settings["table_sha256"] == sha
        image = Image.open(out / f"{method}.png")
        assert image.size == (64, 64) and image.mode == "RGB"
        pictures.add(image.tobytes())
    assert len(pictures) == 3


def test_generate_uses_the_table_and_says_so(made):
    assert "Importance: loaded from a file, probed on “a [red] $5 & $6 apple”" in made[1].stderr


def test_generate_says_what_each_method_did(made):
    for method in ("reweighted", "freeu"):
        line = next(line for line in made[1].stderr.splitlines() if line.startswith(f"{method}: "))
        assert re.fullmatch(
            rf"{method}: \d+ modules? hooked.*; SSIM with vanilla -?[01]\.\d+, mean difference .+/255\.", line
        )


def test_nothing_but_our_own_words_is_printed(made):
    for result in made[:2]:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        ours = ("Importance: ", "vanilla ", "reweighted ", "reweighted: ", "freeu ", "freeu: ", "run 1 ", "Wrote ")
        assert all(line.startswith(ours) for line in lines), result.stderr


@pytest.mark.thorough
def test_an_overlong_prompt_is_said_once_in_our_words(sd_folder, tmp_path):
    result = run("generate", " ".join([PROMPT] * 30), "--model", sd_folder, "--steps", 1, "--out", tmp_path)
    assert result.returncode == 0 and "The prompt has 152 tokens" in result.stderr
    assert "truncated" not in result.stderr and "Token indices" not in result.stderr


def test_the_same_command_gives_the_same_files(made, sd_folder, tmp_path):
    arguments = [
        "generate", PROMPT, "--model", sd_folder, "--table", made[2], "--out", tmp_path, "--low", 0.9, "--high", 1.2,
        "--seed", 5, "--guidance", 2, "--negative-prompt", "blue cat",
    ]  # fmt: skip
    assert CliRunner().invoke(app, list(map(str, arguments))).exit_code == 0
    for file in made[4].iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


class TestRefusals:
    """In this process; in thorough runs one in a process of its own."""

    @pytest.fixture
    def error(self, monkeypatch, capfd):
        """What the command says on stderr when it ends with status 1."""
        for library in ("DIFFUSERS", "TRANSFORMERS"):
            monkeypatch.setenv(f"{library}_VERBOSITY", "error")

        def call(*arguments):
            monkeypatch.setattr(sys, "argv", ["reweight", *map(str, arguments)])
            with pytest.raises(SystemExit) as stopped:
                main()
            said = capfd.readouterr()
            return refused(subprocess.CompletedProcess(arguments, stopped.value.code, said.out, said.err))

        return call

    def test_a_model_that_is_not_there(self, error):
        said = error("generate", "fox", "--model", "nope")
        assert "There is no model" in said and "'nope'" in said

    @pytest.mark.thorough
    def test_in_a_process_of_its_own(self):
        assert "There is no model" in refused(run("generate", "fox", "--model", "nope"))

    def test_files_that_cannot_be_read_or_written(self, error, tmp_path):
        (tmp_path / "bad.json").write_text("{", encoding="utf-8")
        (tmp_path / "file").write_text("", encoding="utf-8")
        assert "not an importance or weight table" in error("generate", "fox", "--table", tmp_path / "bad.json")
        assert "none.json: No such file" in error("generate", "fox", "--table", tmp_path / "none.json")
        assert "file: File exists" in error("generate", "fox", "--out", tmp_path / "file")

    def test_requests_are_checked_before_the_model_is_loaded(self, error, monkeypatch):
        monkeypatch.setattr("reweight.engine.resident.load_model", None)
        assert error("generate", "  ", "--model", "sdxl").startswith("The prompt is empty")
        assert "above the high weight" in error("generate", "fox", "--low", "1.2", "--high", "1", "--model", "sdxl")
        assert "from 1 to 50" in error("generate", "fox", "--steps", "0")
        assert "no method of that name" in error("generate", "fox", "--method", "best")
        assert "no schedule of that name" in error("generate", "fox", "--schedule", "best")
        assert "method.setting=value" in error("generate", "fox", "--set", "b1=2")
        assert "from 0 to 4" in error("generate", "fox", "--set", "freeu.b1=9")
        assert "seed" in error("generate", "fox", "--seed", "-1")
        assert "multiple of 8" in error("generate", "fox", "--size", "100")
        assert "The prompt is empty" in error("probe", "")

    def test_pictures_that_are_there_are_kept(self, error, made, sd_folder):
        folder = made[4]
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        assert "vanilla.png exists already" in error("generate", "fox", "--model", sd_folder, "--out", folder)
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before

    def test_a_table_that_does_not_fit(self, error, made, sdxl_folder, sd_folder):
        said = error("generate", "fox", "--model", sdxl_folder, "--table", made[2]).splitlines()[-1]
        assert "3 steps and 7 blocks" in said and "with its 5" in said
        assert "does not fit 2 steps" in error("generate", "f", "--model", sd_folder, "--table", made[2], "--steps", 2)
        assert "uses no table" in error("generate", "f", "--schedule", "empirical", "--table", made[2])

    def test_where_a_probe_goes_is_checked_before_it_is_made(self, error, tmp_path, monkeypatch):
        monkeypatch.setattr("reweight.engine.resident.load_model", None)
        assert "cannot be written" in error("probe", "fox", "--out", tmp_path)
        assert "cannot be written" in error("probe", "fox", "--out", tmp_path / "a.json", "--figure", tmp_path)

    def test_a_wrong_preset_or_figure_is_refused_before_the_model_is_loaded(self, error, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        gone = ("--model", tmp_path / "gone")
        assert "There is no preset 'nobody': choose from paper-code" in error(
            "probe", "fox", *gone, "--preset", "nobody"
        )
        assert "cannot be written as heat.docx" in error("probe", "fox", *gone, "--figure", tmp_path / "heat.docx")

    def test_a_probe_that_cannot_be(self, error, sd_folder, tmp_path):
        for options in (("--preset", "mine"), ("--runs", 0)):
            assert error("probe", "f", "--model", sd_folder, "--steps", 1, "--out", tmp_path / "t.json", *options)
        assert not list(tmp_path.iterdir())

    def test_a_wrong_option_gets_help_and_status_2(self):
        result = run_here("generate", "fox", "--bogus")
        assert result.returncode == 2 and "No such option" in result.stderr and "Traceback" not in result.stderr
        result = run_here()
        assert "generate" in result.stdout + result.stderr and "Traceback" not in result.stderr


def test_ctrl_c_keeps_what_a_probe_has_done(sd_folder, tmp_path):
    out = tmp_path / "table.json"

    def command():
        from reweight.__main__ import main

        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
        sys.argv[1:] = map(
            str, ["probe", PROMPT, "--model", sd_folder, "--steps", 2, "--runs", 5000, "--out", out]
        )  # fmt: skip
        main()

    process = forked(command, changes={"FORCE_COLOR": "1"})
    shown = ""
    while "run 2" not in shown:  # the first run has ended
        letter = process.stderr.read(1)
        assert letter, shown
        shown += letter
    os.kill(process.pid, signal.SIGINT)
    status, rest = process.rest()
    assert status == 0 and "Traceback" not in rest and "Wrote" in rest, rest
    table = ImportanceTable.load(out)
    assert 1 <= table.runs < 5000 and np.isfinite(table.scores).all()


def test_columns_and_settings_by_name(sd_folder, tmp_path):
    options = ["--method", "reweighted+freeu", "--method", "freeu", "--set", "freeu.b1=1.9", "--set", "freeu.version=2"]
    result = run_here("generate", PROMPT, "--model", sd_folder, "--steps", 1, "--out", tmp_path, *options)
    assert result.returncode == 0 and "Wrote reweighted+freeu.png and freeu.png" in result.stderr, result.stderr
    settings = read_png(tmp_path / "reweighted+freeu.png")
    assert settings["method"] == "reweighted+freeu" and settings["request"]["freeu"]["b1"] == 1.9
    assert settings["weights"] is not None and read_png(tmp_path / "freeu.png")["weights"] is None


def test_help_is_there_without_loading_anything():
    code = "import sys; from reweight.__main__ import main; sys.argv[1:] = ['generate', '--help']\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0 and "--negative-prompt" in result.stdout, result.stderr
