"""Files for visitors: whole at every moment, and each content once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from reweight.ui.files import served

DATA = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))


def test_a_file_that_another_visitor_asks_for_too_is_whole_at_every_moment():
    path, wrong, done = Path(served(DATA, "image.png")), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            if path.read_bytes() != DATA:
                wrong.append(path.stat().st_size)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        assert served(DATA, "image.png") == str(path)
    done.set()
    reader.join()
    assert wrong == []


def test_the_first_writing_is_whole_too(tmp_path: Path):
    found, go = [], threading.Barrier(4)

    def ask() -> None:
        go.wait()
        for n in range(20):
            found.append(Path(served(DATA + bytes([n]), "image.png")).read_bytes() == DATA + bytes([n]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80
    assert len(list(tmp_path.glob("*/image.png"))) == 20 and not list(tmp_path.rglob("*.tmp"))


def test_without_room_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reweight.storage.atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        served(DATA, "image.png")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
