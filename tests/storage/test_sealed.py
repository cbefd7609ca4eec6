"""Atomic writes, and files that prove to be whole."""

from __future__ import annotations

import os
import time

import pytest

from reweight.storage.atomic import sweep_drafts, write_atomic
from reweight.storage.sealed import DamagedFile, quarantine, read_sealed, write_sealed

KEY, PAYLOAD = '{"prompt": "Käse\n"}', bytes(range(0, 256, 8))


def test_comes_back_as_it_was(tmp_path):
    for key, payload in ((KEY, PAYLOAD), ("", b""), ("key", b"\n\n")):
        write_sealed(tmp_path / "file", key, payload)
        assert read_sealed(tmp_path / "file") == (key, payload)


def test_every_flipped_bit_and_every_cut_is_seen(tmp_path):
    file = tmp_path / "file"
    write_sealed(file, KEY, PAYLOAD)
    content = file.read_bytes()
    damaged = [content[:n] for n in range(len(content))] + [content + b"\n", content + content]
    for i in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[i // 8] ^= 1 << i % 8
        damaged.append(bytes(flipped))
    for wrong in damaged:
        file.write_bytes(wrong)
        with pytest.raises(DamagedFile, match=r"damaged.*\.$"):
            read_sealed(file)


def test_a_part_moved_between_key_and_payload_is_seen(tmp_path):
    write_sealed(tmp_path / "a", "ab", b"c")
    write_sealed(tmp_path / "b", "a", b"bc")
    assert read_sealed(tmp_path / "a") != read_sealed(tmp_path / "b")
    assert (tmp_path / "a").read_bytes().split()[1] != (tmp_path / "b").read_bytes().split()[1]


def test_a_file_in_quarantine_is_out_of_the_way(tmp_path, caplog):
    file = tmp_path / "file"
    for content in (b"one", b"two"):
        file.write_bytes(content)
        quarantine(file)
    assert [path.name for path in tmp_path.iterdir()] == ["file.damaged"]
    assert (tmp_path / "file.damaged").read_bytes() == b"two" and "file is damaged" in caplog.text
    quarantine(file)


class TestAtomic:
    def test_a_failed_write_leaves_what_was_there(self, tmp_path, monkeypatch):
        file = tmp_path / "file"
        write_atomic(file, b"before")
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            write_atomic(file, b"after")
        assert file.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1

    def test_drafts_of_killed_writes_go_with_the_next_write(self, tmp_path):
        old, young = (tmp_path / f".file.{digit * 16}.tmp" for digit in "ab")
        other, unlike = tmp_path / f".other.{'c' * 16}.tmp", tmp_path / ".file.mine.tmp"
        for path in (old, young, other, unlike):
            path.write_bytes(b"half")
        for path in (old, other, unlike):
            os.utime(path, (time.time() - 7200,) * 2)
        write_atomic(tmp_path / "file", b"content")
        assert {path.name for path in tmp_path.iterdir()} == {"file", young.name, other.name, unlike.name}
        sweep_drafts(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"file", young.name, unlike.name}
        sweep_drafts(tmp_path / "nowhere")

    def test_names_are_taken_as_they_are(self, tmp_path):
        draft = tmp_path / f".a[b].{'0' * 16}.tmp"
        draft.write_bytes(b"half")
        os.utime(draft, (0, 0))
        write_atomic(tmp_path / "a[b]", b"content")
        assert [path.name for path in tmp_path.iterdir()] == ["a[b]"]
