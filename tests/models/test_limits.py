"""Folders that would hang or mislead whoever reads them, and checksums of all that shapes a picture."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from reweight.models import registry
from reweight.models.folder import ModelError, shaping_files
from reweight.models.loading import load_model
from reweight.models.registry import ASSETS, REGISTRY
from reweight.toy.train.saving import write_sums


@pytest.fixture
def folder(sd_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sd_folder, tmp_path / "copy"))


def refused(folder: Path, match: str) -> None:
    began = time.monotonic()
    with pytest.raises(ModelError, match=match) as caught:
        load_model(str(folder), local=True)
    assert time.monotonic() - began < 20 and str(folder) not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc here")
def test_a_part_that_is_a_link_is_not_followed(folder: Path):
    shutil.rmtree(folder / "vae")
    (folder / "vae").symlink_to("/proc")
    refused(folder, "not a folder of its own, vae")


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "/proc/self/mem", "loop.json"])
def test_a_file_that_is_a_link_out_of_the_folder_is_not_read(folder: Path, target: str):
    (folder / "scheduler" / "loop.json").symlink_to(target)
    refused(folder, "part scheduler that is not its own")


def test_a_pipe_is_not_waited_for(folder: Path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(folder / "unet" / "config2.json")
    refused(folder, "part unet that is not its own")


def test_a_snapshot_of_the_hubs_cache_may_link_to_its_blobs(folder: Path, tmp_path: Path):
    snapshot = tmp_path / "models--one--good" / "snapshots" / ("c" * 40)
    blobs = tmp_path / "models--one--good" / "blobs"
    shutil.copytree(folder, snapshot)
    blobs.mkdir()
    for number, path in enumerate(sorted(snapshot.glob("*/*"))):
        path.rename(blobs / str(number))
        path.symlink_to(blobs / str(number))
    assert load_model(str(snapshot), local=True).pipe is not None


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("text_encoder", {"num_hidden_layers": 10_000_000}), ("text_encoder", {"vocab_size": 10**12}),
        ("unet", {"layers_per_block": 10**6}), ("unet", {"block_out_channels": [8] * 1000}),
        ("unet", {"transformer_layers_per_block": [[10**5]]}), ("vae", {"layers_per_block": 10**9}),
        ("vae", {"sample_size": 10**9}),
    ],
)  # fmt: skip
def test_a_configuration_beyond_reason_is_refused_at_once(folder: Path, part: str, changes: dict):
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    refused(folder, f"{part} is too large in '{next(iter(changes))}'")


def test_a_scheduler_of_a_billion_steps_is_refused(folder: Path):
    path = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"num_train_timesteps": 10**9}
    path.write_text(json.dumps(config), encoding="utf-8")
    refused(folder, "scheduler is too large in 'num_train_timesteps'")


@pytest.mark.parametrize("name", ["toy", "toy-turbo"])
def test_every_file_of_a_shipped_model_that_shapes_its_pictures_is_listed(name: str):
    folder = ASSETS / name
    listed = set(json.loads((folder / "SHA256SUMS.json").read_text(encoding="utf-8")))
    assert listed == {path.relative_to(folder).as_posix() for path in shaping_files(folder)}
    assert {
        "model_index.json",
        "vocabulary.json",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    } <= listed


@pytest.fixture
def embedded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model, with checksums, in the place of the embedded one."""
    write_sums(folder)
    card = registry.replace(REGISTRY["toy"], repositories=(str(folder),))
    monkeypatch.setitem(REGISTRY, "toy", card)
    return folder


def test_nothing_that_shapes_a_picture_can_be_missing_changed_or_added(embedded: Path):
    load_model("toy")
    for path in shaping_files(embedded):
        original = path.read_bytes()
        path.write_bytes(original.replace(b"a", b"b", 1) if b"a" in original else original + b" ")
        with pytest.raises(ModelError, match=r"^toy is (damaged|not a readable pipeline)"):
            load_model("toy")
        path.unlink()
        with pytest.raises(ModelError, match=r"^toy is (incomplete|not a)"):
            load_model("toy")
        path.write_bytes(original)
    (embedded / "tokenizer" / "added_tokens.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="without a checksum, tokenizer/added_tokens"):
        load_model("toy")
    (embedded / "tokenizer" / "added_tokens.json").unlink()
    (embedded / "tokenizer" / ".DS_Store").write_bytes(b"x")
    load_model("toy")
    (embedded / "SHA256SUMS.json").unlink()
    with pytest.raises(ModelError, match=r"SHA256SUMS\.json is missing"):
        load_model("toy")
