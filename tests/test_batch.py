"""`generate` for a study: many pictures with names and a CSV, taken up again where it stopped, and from a picture."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from reweight.__main__ import app
from reweight.engine.provenance import read_png
from reweight.models.folder import ModelError
from reweight.models.loading import load_model
from reweight.models.lora import with_lora


def run(*arguments):
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def rows(folder):
    with (folder / "pictures.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def study(sd_folder, tmp_path_factory):
    """Arguments of a study, and the folder that it was drawn into."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "prompts.txt").write_text("a red apple\n\n# not this\na blue cat\n", encoding="utf-8")
    arguments = [
        "--prompts", folder / "prompts.txt", "--seeds", "1-2", "--vary", "high=1.1, 1.5", "--method", "reweighted",
        "--method", "freeu", "--model", sd_folder, "--steps", 2, "--out", folder / "out",
    ]  # fmt: skip
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return arguments, folder / "out"


def test_every_combination_has_a_file_and_a_row(study):
    _, out = study
    found = rows(out)
    assert len(found) == 2 * 2 * 2 * 2 == len(list(out.glob("*.png")))
    assert {(row["prompt"], row["seed"], row["high"], row["method"]) for row in found} == {
        (prompt, seed, high, method)
        for prompt in ("a red apple", "a blue cat") for seed in "12" for high in ("1.1", "1.5")
        for method in ("reweighted", "freeu")
    }  # fmt: skip
    for row in found:
        settings = read_png(out / row["file"])
        assert settings["method"] == row["method"] and settings["request"]["prompt"] == row["prompt"]
        assert settings["request"]["high"] == float(row["high"]) and 0 < float(row["ssim_with_vanilla"]) <= 1
        assert "modules hooked" in row["report"]
    assert "a-red-apple_s1_reweighted_high-1.5.png" in {row["file"] for row in found}


def test_it_goes_on_where_it_stopped_and_refuses_other_settings(study):
    arguments, out = study
    before = rows(out)
    kept = {file.name: file.stat().st_mtime_ns for file in out.glob("*.png")}
    gone = sorted(kept)[3]
    (out / gone).unlink()
    assert run(*arguments).exit_code == 0
    after = {file.name: file.stat().st_mtime_ns for file in out.glob("*.png")}
    assert after.keys() == kept.keys() and {name for name in kept if kept[name] != after[name]} == {gone}
    assert [row["file"] for row in rows(out)] == [row["file"] for row in before]
    other = [3 if argument == 2 else argument for argument in arguments]
    assert "other settings" in str(run(*other).exception)


def test_a_picture_brings_its_settings_and_its_weights(study, sd_folder, tmp_path):
    _, out = study
    picture = out / "a-blue-cat_s2_reweighted_high-1.5.png"
    assert run("--from", picture, "--model", sd_folder, "--out", tmp_path).exit_code == 0
    again, first = read_png(tmp_path / "reweighted.png"), read_png(picture)
    assert again["request"] == first["request"] and again["weights"] == first["weights"]
    a, b = (np.asarray(Image.open(file), int) for file in (picture, tmp_path / "reweighted.png"))
    assert np.abs(a - b).max() <= 1
    assert run("--from", picture, "--model", sd_folder, "--seed", 9, "--out", tmp_path, "--overwrite").exit_code == 0
    assert read_png(tmp_path / "reweighted.png")["request"]["seed"] == 9


def test_what_cannot_be_is_said_in_a_sentence(sd_folder, tmp_path):
    for arguments, said in (
        ([], "There is no prompt"),
        (["fox", "--vary", "low"], "setting=values"),
        (["fox", "--vary", "luck=1"], "no setting 'luck'"),
        (["fox", "--seeds", "1,2", "--vary", "seed=3"], "twice"),
        (["fox", "--lora", tmp_path / "none.safetensors"], "There is no LoRA"),
    ):
        result = run(*arguments, "--model", sd_folder, "--steps", 1, "--out", tmp_path)
        assert said in str(result.exception), result.exception


def test_a_lora_changes_the_pictures_and_the_revision(sd_folder, tmp_path):
    loaded = load_model(str(sd_folder), local=True)
    name, layer = next((n, m) for n, m in loaded.pipe.unet.named_modules() if n.endswith("attn1.to_q"))
    torch.manual_seed(0)
    save_file(
        {
            f"unet.{name}.lora_A.weight": torch.randn(2, layer.in_features),
            f"unet.{name}.lora_B.weight": torch.randn(layer.out_features, 2),
        },
        tmp_path / "style.safetensors",
    )
    changed = with_lora(loaded, tmp_path / "style.safetensors", 0.5)
    assert changed.revision.startswith(f"{loaded.revision}+lora-") and changed.revision.endswith("@0.5")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match=r"does not fit .*\.$"):
        with_lora(loaded, tmp_path / "bad.safetensors")
