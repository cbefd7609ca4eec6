"""One guest model makes room for the next where both do not fit, and comes back where the next cannot be had."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path

import pytest

from reweight.engine import memory
from reweight.engine.engine import Engine
from reweight.models.folder import ModelError


@pytest.fixture
def engine(sd_folder: Path):
    engine = Engine((str(sd_folder),), local=True, device="cpu")
    yield engine
    engine.close()


@pytest.fixture
def folders(sd_folder: Path, tmp_path: Path) -> list[str]:
    return [str(shutil.copytree(sd_folder, tmp_path / f"copy{n}")) for n in range(2)]


def whether_it_was_there(engine: Engine, name: str, pipe: weakref.ref) -> set[bool]:
    """Load a model; whether a pipeline was in memory while the parts of the new one were read."""
    seen = set()

    def progress(stage: str, fraction: float, text: str) -> None:
        seen.add(pipe() is not None)

    engine._resident.model(name, progress)
    return seen


def test_where_both_do_not_fit_the_old_guest_leaves_before_the_new_one_is_read(engine, folders, monkeypatch):
    old = weakref.ref(engine.opened(folders[0]).pipe)
    monkeypatch.setattr(memory, "free_memory", lambda device: 1)
    assert whether_it_was_there(engine, folders[1], old) == {False}


def test_where_both_fit_the_old_guest_stays_until_the_new_one_is_there(engine, folders):
    old = weakref.ref(engine.opened(folders[0]).pipe)
    assert whether_it_was_there(engine, folders[1], old) == {True}
    assert old() is None


def test_the_old_guest_comes_back_where_the_new_one_cannot_be_had(engine, folders, monkeypatch):
    old = weakref.ref(engine.opened(folders[0]).pipe)
    (weights,) = (Path(folders[1]) / "unet").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    monkeypatch.setattr(memory, "free_memory", lambda device: 1)
    with pytest.raises(ModelError, match="damaged"):
        engine.opened(folders[1])
    assert old() is None and folders[0] in engine._resident._loaded and folders[1] not in engine._resident._loaded


def test_a_folder_is_as_large_as_its_weights_and_what_is_unknown_as_what_there_is(sd_folder, engine):
    size = memory.size_on_disk(str(sd_folder))
    pipe = engine.opened(str(sd_folder)).pipe
    assert size * 0.9 < memory.size_of(pipe) < size * 1.1
    assert memory.size_on_disk("owner/name") == 0 and memory.size_on_disk("\0") == 0
    assert memory.fits(0, [pipe], "cpu", half=False)
    assert not memory.fits(1e15, [pipe], "cpu", half=False)
