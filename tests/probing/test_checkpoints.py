"""Probes whose state cannot be written, is damaged, or belongs to another."""

from __future__ import annotations

import errno
import os
import time

import numpy as np
import pytest

from reweight.probing import loss_cache
from reweight.probing.checkpoints import checkpoint, resumed
from reweight.probing.importance_probe import iter_probe, probe
from reweight.probing.loss_cache import StateError
from reweight.probing.probe_request import ProbeRequest
from reweight.storage.sealed import read_sealed, write_sealed

PROMPT = "a red apple on the table"
OPTIONS = {"steps": 1, "guidance_scale": 0.0, "height": 32, "width": 32, "runs": 2, "iterations": 4, "batch_size": 1}
REQUEST = ProbeRequest.of(PROMPT, **OPTIONS)
ABOUT = {"prompt": PROMPT}


class Search:
    """Searches, and counts how often one begins, and the U-Net samples taken."""

    def __init__(self, pipe, request=REQUEST):
        self.pipe, self.request, self.begun, self.calls = pipe, request, 0, 0

    def __call__(self, file):
        self.begun += 1
        return iter_probe(self.pipe, self.request, check=self.count, resume=file)

    def count(self):
        self.calls += 1

    def table(self, folder):
        *_, last = resumed(folder, ABOUT, self)
        return last.table


def begun(pipe, folder):
    """The state of a search that was left after its third iteration, and the calls that it took."""
    search = Search(pipe)
    snapshots = resumed(folder, ABOUT, search)
    for _ in range(3):
        next(snapshots)
    snapshots.close()
    return checkpoint(folder, ABOUT), search.calls


@pytest.fixture
def full_disk(monkeypatch):
    """After a number of writes, there is no room for more."""
    written, room = [], [np.inf]

    def write(path, key, payload):
        if len(written) >= room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(write_sealed(path, key, payload))

    monkeypatch.setattr(loss_cache, "write_sealed", write)
    return room


@pytest.mark.parametrize("writes", [1, 2, 4])
def test_a_disk_that_fills_up_costs_no_work(sd_pipe, tmp_path, full_disk, caplog, writes):
    whole = Search(sd_pipe)
    expected = whole.table(None)
    full_disk[0] = writes
    search = Search(sd_pipe)
    assert search.table(tmp_path) == expected and search.begun == 1 and search.calls == whole.calls
    assert caplog.text.count("continues without saving its state: No space left") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_was_saved_before_the_disk_was_full_is_kept(sd_pipe, tmp_path, full_disk):
    full_disk[0] = 2
    file, _ = begun(sd_pipe, tmp_path)
    kept = file.read_bytes()
    full_disk[0] = 0
    search = Search(sd_pipe)
    snapshots = resumed(tmp_path, ABOUT, search)
    next(snapshots), next(snapshots), next(snapshots)
    snapshots.close()
    assert file.read_bytes() == kept


def test_a_disk_that_is_full_from_the_start_keeps_nothing(sd_pipe, tmp_path, full_disk):
    full_disk[0] = 0
    search = Search(sd_pipe)
    assert search.table(tmp_path).runs == 2 and search.begun == 2
    with pytest.raises(OSError, match="No space"):
        probe(sd_pipe, PROMPT, resume=tmp_path / "probe.state", **OPTIONS)


def test_a_named_file_goes_on_without_saving_too(sd_pipe, tmp_path, full_disk):
    full_disk[0] = 3
    assert probe(sd_pipe, PROMPT, resume=tmp_path / "probe.state", **OPTIONS) == probe(sd_pipe, PROMPT, **OPTIONS)


def test_a_damaged_file_is_put_aside_and_computed_again(sd_pipe, tmp_path):
    expected = Search(sd_pipe).table(None).to_json()
    file, _ = begun(sd_pipe, tmp_path)
    content = file.read_bytes()
    flips = np.random.default_rng(0).integers(8 * len(content), size=12)
    edited = content.replace(read_sealed(file)[1][-8:], np.float64(1e-9).tobytes())
    damages = [b"", b"x" * 300, content[:100], edited]
    for i in flips:
        flipped = bytearray(content)
        flipped[i // 8] ^= 1 << i % 8
        damages.append(bytes(flipped))
    for damaged in damages:
        file.write_bytes(damaged)
        with pytest.raises(StateError, match="is not the state of a probe"):
            next(iter_probe(sd_pipe, REQUEST, resume=file))
        search = Search(sd_pipe)
        snapshots = resumed(tmp_path, ABOUT, search)
        next(snapshots)
        snapshots.close()
        assert search.begun == 2 and file.with_name(f"{file.name}.damaged").read_bytes() == damaged
    assert Search(sd_pipe).table(tmp_path).to_json() == expected


def test_the_state_of_another_version_is_put_aside(sd_pipe, tmp_path):
    file, _ = begun(sd_pipe, tmp_path)
    for key in ('{"versions": {"torch": "1.0"}}', "[]", "no JSON"):
        write_sealed(file, key, read_sealed(file)[1] if file.exists() else b"")
        with pytest.raises(StateError, match="another probe, whose blocks differs"):
            next(iter_probe(sd_pipe, REQUEST, resume=file))
        search = Search(sd_pipe)
        snapshots = resumed(tmp_path, ABOUT, search)
        next(snapshots)
        snapshots.close()
        assert search.begun == 2


def test_an_error_of_the_search_itself_comes_through(sd_pipe, tmp_path):
    def fails():
        raise OSError("the model's disk is gone")

    def search(file):
        return iter_probe(sd_pipe, REQUEST, check=fails, resume=file)

    with pytest.raises(OSError, match="disk is gone"):
        list(resumed(tmp_path, ABOUT, search))


def test_drafts_of_killed_writes_are_swept(tmp_path):
    old = tmp_path / f".{'0' * 64}.state.{'a' * 16}.tmp"
    old.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    checkpoint(tmp_path, ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_two_programs_on_one_folder_both_come_to_the_same_table(sd_pipe, tmp_path):
    expected = Search(sd_pipe).table(None).to_json()
    streams, tables = [resumed(tmp_path, ABOUT, Search(sd_pipe)) for _ in range(2)], []
    while streams:
        for stream in list(streams):
            last = next(stream, None)
            if last is None:
                streams.remove(stream)
            elif last.done == 1:
                tables.append(last.table.to_json())
    assert tables == [expected] * 2
