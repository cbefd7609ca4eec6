"""Commits recorded at the first loading and asked for from then on, against a hub on this machine."""

import json
import logging
from pathlib import Path

import pytest
from hub_server import COMMIT
from huggingface_hub import constants

from reweight.models import lock
from reweight.models.folder import ModelError
from reweight.models.loading import load_model
from reweight.models.registry import REGISTRY, ModelCard

NEWER = "d" * 40


@pytest.fixture
def registered(online, monkeypatch):
    """A registry model whose first repository is gone; its second is pinned to a commit."""
    repositories = {"repositories": ("gone/away", f"one/good@{COMMIT}")}
    monkeypatch.setitem(REGISTRY, "sd-turbo", ModelCard(**(vars(REGISTRY["sd-turbo"]) | repositories)))
    return online


def recorded():
    return json.loads(lock.own_file().read_text(encoding="utf-8"))


def load(name="one/good"):
    return load_model(name, local=True)


def test_the_first_commit_stays(online):
    assert load().revision == COMMIT
    assert recorded() == {"one/good": COMMIT, "format": "reweight-lock-1"}
    online.commits.append(NEWER)
    count = len(online.asked)
    assert load().revision == COMMIT
    assert len(online.asked) == count, "what is recorded and in the cache asks nobody"


def test_deleting_the_line_updates(online):
    load()
    online.commits.append(NEWER)
    path = lock.own_file()
    path.write_text(
        "".join(line for line in path.read_text(encoding="utf-8").splitlines(True) if "one/good" not in line),
        encoding="utf-8",
    )
    assert load().revision == NEWER
    assert recorded()["one/good"] == NEWER


def test_a_commit_that_is_asked_for_by_name_wins_and_is_not_recorded(online):
    online.commits.append(NEWER)
    assert load(f"one/good@{COMMIT}").revision == COMMIT
    assert not lock.own_file().exists()
    assert load().revision == NEWER
    assert load(f"one/good@{COMMIT}").revision == COMMIT and recorded()["one/good"] == NEWER


def test_a_model_of_the_registry_and_its_fallback(registered):
    assert load_model("sd-turbo").source == "one/good"
    assert list(recorded()) == ["one/good", "format"]
    lock.own_file().write_text(json.dumps({"one/good": NEWER}), encoding="utf-8")
    registered.commits.append(NEWER)
    assert load_model("sd-turbo").revision == NEWER, "the record goes before the registry"


def test_another_repository_is_added(online, sd_folder):
    load()
    online.served["another/one"] = sd_folder
    load("another/one")
    assert list(recorded()) == ["another/one", "one/good", "format"]
    assert [path.name for path in lock.own_file().parent.iterdir()] == [lock.NAME]


def test_offline(online, monkeypatch):
    load()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load().revision == COMMIT
    lock.own_file().write_text(json.dumps({"one/good": NEWER}), encoding="utf-8")
    with pytest.raises(ModelError, match="not on this machine"):
        load()


def test_a_commit_that_is_gone(online):
    lock.own_file().parent.mkdir(parents=True)
    lock.own_file().write_text(json.dumps({"one/good": NEWER}), encoding="utf-8")
    with pytest.raises(
        ModelError, match=r"version d{12} of one/good no longer exists.*delete its line in models.lock.json"
    ):
        load()
    assert recorded() == {"one/good": NEWER}


def test_a_lock_that_ships_wins(online, monkeypatch, tmp_path):
    load()
    online.commits.append(NEWER)
    shipped = tmp_path / "models.lock.json"
    shipped.write_text(json.dumps({"one/good": NEWER}), encoding="utf-8")
    monkeypatch.setattr(lock, "SHIPPED", shipped)
    assert load().revision == NEWER
    assert recorded()["one/good"] == COMMIT and json.loads(shipped.read_text(encoding="utf-8")) == {"one/good": NEWER}


def test_a_file_of_ones_own(online, monkeypatch, tmp_path):
    path = tmp_path / "new" / "mine.json"
    monkeypatch.setenv("REWEIGHT_LOCK", str(path))
    load()
    assert json.loads(path.read_text(encoding="utf-8"))["one/good"] == COMMIT
    assert not Path(constants.HF_ASSETS_CACHE).exists()


DAMAGED = [
    "", "{", "[]", "null", "\xff", '{"one/good": 3}', '{"one/good": "main"}', '{"one/good": null}',
    f'{{"good": "{COMMIT}"}}', f'{{"../../x": "{COMMIT}"}}', f'{{"a/b@c": "{COMMIT}"}}', '{"format": "other"}',
    f'{{"a/b": "{COMMIT}", "a/b": "{COMMIT}"}}', "[" * 5000, " " * 2_000_000,
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_refused_and_kept(online, text):
    lock.own_file().parent.mkdir(parents=True)
    lock.own_file().write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"^models.lock.json in .* is damaged: repair it, or delete it[^.]*\.$"):
        load()
    assert lock.own_file().read_text(encoding="latin-1") == text
    assert online.asked == []


def test_a_damaged_file_leaves_the_embedded_model_alone(online):
    lock.own_file().parent.mkdir(parents=True)
    lock.own_file().write_text("{", encoding="utf-8")
    load_model("toy")


def test_the_sentence_says_which_file(online, monkeypatch, tmp_path):
    monkeypatch.setenv("REWEIGHT_LOCK", str(tmp_path))
    with pytest.raises(ModelError, match=r"^The lock file that REWEIGHT_LOCK names cannot be read"):
        load()
    shipped = tmp_path / "shipped.json"
    shipped.write_text("{", encoding="utf-8")
    monkeypatch.setattr(lock, "SHIPPED", shipped)
    monkeypatch.delenv("REWEIGHT_LOCK")
    with pytest.raises(ModelError, match=r"^models\.lock\.json beside app.py"):
        load()


def test_where_nothing_can_be_written_the_model_still_loads(online, monkeypatch, caplog):
    monkeypatch.setenv("REWEIGHT_LOCK", "/proc/none/models.lock.json")
    with caplog.at_level(logging.WARNING):
        assert load().revision == COMMIT
    (message,) = [record.getMessage() for record in caplog.records if record.name == lock.__name__]
    assert message.startswith("The version of one/good is not recorded: models.lock.json cannot be written (")


def test_what_is_recorded_stays_and_any_line_may_be_deleted(online):
    for name, commit in (("one/good", COMMIT), ("one/good", NEWER), ("two/good", NEWER)):
        lock.record(name, commit)
    assert lock.read_lock() == {"one/good": COMMIT, "two/good": NEWER}
    text = lock.own_file().read_text(encoding="utf-8")
    for name in ("one/good", "two/good"):
        lock.own_file().write_text(
            "".join(line for line in text.splitlines(True) if name not in line), encoding="utf-8"
        )
        assert name not in lock.read_lock() and len(lock.read_lock()) == 1
