"""Temporary files: where, for how long, how much."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reweight.serving import files
from reweight.serving.files import NoRoom, Scratch


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "temporary"))
    scratch = Scratch()
    yield scratch
    scratch.close()


def write(scratch: Scratch, name: str, size: int, age: float) -> Path:
    path = scratch.files / name / "image.png"
    path.parent.mkdir()
    path.write_bytes(b"\0" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_files_go_by_age_then_the_oldest_by_their_sum_and_the_pages_own_stay(scratch: Scratch):
    own = write(scratch, "own", 1000, age=9000)
    scratch.keep()
    old, big, new = write(scratch, "old", 10, 4000), write(scratch, "big", 900, 100), write(scratch, "new", 200, 10)
    assert scratch.sweep(0) == 0 and scratch.sweep(1, cap=1100) == 1 and not old.exists()
    new.touch()
    assert scratch.sweep(3601) == 1
    assert own.exists() and new.exists() and not old.exists() and not big.exists()
    assert scratch.sweep(3602) == 0 and scratch.size() == 1200


def test_a_clock_that_is_set_deletes_nothing_that_is_new(scratch: Scratch):
    future, past = write(scratch, "future", 10, -9000), write(scratch, "past", 10, 9000)
    assert scratch.sweep(0) == scratch.sweep(3000) == 0 and future.exists() and past.exists()
    assert scratch.sweep(3601) == 2


def test_a_folder_that_somebody_removed_is_made_anew(scratch: Scratch):
    shutil.rmtree(scratch.folder)
    assert not scratch.full() and scratch.files.is_dir()
    shutil.rmtree(scratch.folder)
    scratch.sweep(0)
    assert scratch.files.is_dir()


def test_the_folder_is_ones_own_and_gone_at_the_end(scratch: Scratch):
    assert scratch.folder.stat().st_mode & 0o077 == 0
    base = scratch.folder.parent
    scratch.close()
    assert list(base.iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_start_and_a_running_ones_stays(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    code = (
        "from reweight.serving.files import Scratch; import os; s = Scratch();"
        "(s.files / 'picture.png').write_bytes(b'0' * 100); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert len(list(tmp_path.glob("run-*/files/picture.png"))) == 1
    first = Scratch()
    assert not list(tmp_path.glob("run-*/files/picture.png"))
    second = Scratch()
    assert first.folder.is_dir() and second.folder.is_dir() and first.folder != second.folder
    first.close(), second.close()


def test_another_users_folder_is_not_used(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "gradio").mkdir(mode=0)  # the folder that Gradio would share with every user of a machine
    taken = tmp_path / f"reweight-{os.getuid()}"
    taken.mkdir()
    if os.getuid() == 0:
        os.chown(taken, 12345, 12345)
    else:
        taken.rmdir(), taken.symlink_to("/usr")
    scratch = Scratch()
    try:
        assert not scratch.folder.is_relative_to(tmp_path)
    finally:
        scratch.close()


def test_a_full_disk_has_the_files_in_memory_and_no_room_at_all_is_a_sentence(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    usage = files.shutil.disk_usage

    def full(path):
        return usage(path)._replace(free=1) if Path(path).is_relative_to(tmp_path) else usage(path)

    monkeypatch.setattr(files.shutil, "disk_usage", full)
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    scratch = Scratch()
    assert scratch.folder.is_relative_to("/dev/shm")
    scratch.close()
    monkeypatch.setattr(files, "LEAST", float("inf"))
    with pytest.raises(NoRoom, match=r"make room|GRADIO_TEMP_DIR"):
        Scratch()


def test_a_folder_that_is_named_may_be_a_link_or_shared_by_many(tmp_path: Path, monkeypatch):
    link, shared = tmp_path / "link", tmp_path / "shared"
    (tmp_path / "there").mkdir(), shared.mkdir(), link.symlink_to(tmp_path / "there", target_is_directory=True)
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path / "usual"))
    if os.getuid() == 0:
        os.chown(shared, 12345, 12345)
    for named, where in ((link, tmp_path / "there"), (shared, shared)):
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(named))
        scratch = Scratch()
        scratch.close()
        assert scratch.folder.is_relative_to(where)


def test_a_machine_that_tidies_up_does_not_let_another_demo_remove_what_is_used(scratch: Scratch, monkeypatch):
    def tidy() -> None:
        """Old files go, as after days; what is left of the folder looks old as well."""
        for path in scratch.folder.rglob("*"):
            if path.is_file():
                path.unlink()
        os.utime(scratch.folder, (time.time() - 9000,) * 2)

    tidy()
    Scratch().close()
    assert scratch.files.is_dir()
    shutil.rmtree(scratch.folder)
    scratch.sweep(0)
    tidy()
    Scratch().close()
    assert scratch.files.is_dir()
