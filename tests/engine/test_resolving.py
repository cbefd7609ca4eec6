"""Which table serves: the order, and what never serves."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from reweight.engine import resolving as tables
from reweight.engine.request import validate
from reweight.engine.resolving import choose, shipped
from reweight.models.registry import REGISTRY
from reweight.patching.blocks import TargetBlock
from reweight.schedule import ImportanceTable, empirical

BLOCKS = tuple(
    TargetBlock(i, str(i), name, stage, level, ())
    for i, (name, stage, level) in enumerate(
        [("down_blocks.0", "down", 0), ("mid", "mid", 1), ("up_blocks.0", "up", 0)]
    )
)
LABELS = tuple(block.label for block in BLOCKS)
STEPS, PROMPT = 2, "a red apple"


def table(value=0.5, **changes):
    about = {"runs": 3, "blocks": LABELS, "model": "toy", "method": "probe:paper-code", "prompt": PROMPT}
    shape = (changes.pop("steps", STEPS), len(changes.get("blocks", LABELS)))
    return ImportanceTable(scores=np.full(shape, value), **about | changes)


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """An assets folder with tables of the toy model for two prompts."""
    monkeypatch.setattr(tables, "ASSETS", tmp_path)
    folder = tmp_path / "toy" / "tables"
    folder.mkdir(parents=True)
    table(0.2, prompt="a fox").save(folder / "fox.json")
    table(0.4, prompt="a castle").save(folder / "castle.json")
    return folder


def chosen(prompt=PROMPT, model="toy", steps=STEPS, probed=(), pinned=None, revision=None, **asked):
    request = validate(prompt=prompt, model=model, steps=steps, **{"guidance": 0} | asked)
    return choose(request, BLOCKS, probed, pinned, revision=revision)


def test_the_order(assets):
    pinned, probed = table(0.9, prompt="of another"), table(0.7, prompt="a fox")
    best = chosen("a fox", probed=[probed], pinned=pinned)
    assert best.table is pinned and "of another" in best.source and "toy" in best.source
    assert chosen("a fox", probed=[probed]).table is probed
    ours = chosen("a fox")
    assert ours.table.prompt == "a fox" and (ours.scores == 0.2).all() and "shipped" in ours.source
    mean = chosen(PROMPT)
    assert mean.table is None and mean.scores == pytest.approx(np.full((2, 3), 0.3)) and "mean of 2" in mean.source
    assert chosen(PROMPT, steps=3).source.startswith("the paper's empirical strategy")


def test_the_newest_that_fits_serves():
    old, new, other = table(0.1), table(0.2), table(0.3, prompt="a fox")
    assert chosen(probed=(old, new, other)).table is new


@pytest.mark.parametrize("schedule", ["importance", "inverted", "flat"])
def test_a_calibrated_table_serves_its_own_schedule_alone(assets, schedule):
    ours, papers = table(0.9, method="probe:calibrated"), table(0.3, method="probe:paper-text")
    assert chosen(probed=[ours], schedule="calibrated").table is ours
    mean = chosen(probed=[ours], schedule=schedule)
    assert mean.table is None and mean.method == "probe:paper-code" and "mean of 2" in mean.source
    assert chosen(probed=[papers, ours], schedule=schedule).method == papers.method
    assert chosen(probed=[papers, ours], schedule="calibrated").method == ours.method
    assert chosen(probed=[papers], schedule="calibrated").method == "empirical"


def test_the_empirical_strategy_is_had_for_the_asking(assets):
    found = chosen("a fox", probed=[table(prompt="a fox")], pinned=table(), schedule="empirical")
    assert found.table is None and "Probe now" not in found.source
    assert (found.scores == empirical([(b.stage, b.level) for b in BLOCKS], STEPS)).all()


@pytest.mark.parametrize("strategy", ["inverted", "reversed", "flat", "random"])
def test_a_control_starts_from_the_probed_scores(strategy):
    assert chosen(probed=[table(0.3)], schedule=strategy).table is not None


@pytest.mark.parametrize(
    "change",
    [{"model": "sd-turbo"}, {"steps": 3}, {"blocks": ("1", "2", "3")}, {"blocks": ("0", "1")}, {"prompt": "a"}],
)
def test_what_is_of_something_else_never_serves(change):
    assert chosen(probed=[table(**change)]).table is None


@pytest.mark.parametrize("change", [{"steps": 3}, {"blocks": ("1", "2", "3")}, {"blocks": ("0", "1")}])
def test_a_pinned_table_that_does_not_fit_does_not_serve(change):
    probed = table(0.6)
    assert chosen(probed=[probed], pinned=table(**change)).table is probed


def test_a_pinned_table_of_another_model_does_not_serve():
    assert chosen(model="sd-turbo", pinned=table(model="sd21")).table is None


def test_what_a_probe_saw_otherwise_is_said():
    mine = table(guidance_scale=0.0)
    assert chosen(probed=[mine], guidance=0).source.endswith("just now (paper-code)")
    found = chosen(probed=[mine], guidance=7.5, negative_prompt="blurry")
    assert found.source.endswith("at guidance 0, not 7.5, with another negative prompt") and found.table is mine
    assert "negative" not in chosen(probed=[mine], guidance=0, negative_prompt="blurry").source


def test_tables_of_another_revision_do_not_serve(assets):
    for known, serves in ((None, True), ("a" * 12, True), ("b" * 12, False)):
        mine = table(0.8, revision=known)
        assert (chosen(probed=[mine], revision="a" * 12).table is mine) == serves
        assert chosen(probed=[mine]).table is mine  # nothing known of the model
    for name in ("fox", "castle"):
        path = assets / f"{name}.json"
        replace(ImportanceTable.load(path), revision="b" * 12).save(path)
    tables._tables.cache_clear()
    assert "empirical" in chosen("a fox", revision="a" * 12).source
    assert "mean of 2" in chosen(revision="b" * 12).source


def test_only_a_model_of_the_registry_has_shipped_tables(assets, tmp_path):
    assert len(shipped("toy")) == 2
    for name in (str(assets.parent), "../toy", "toy/../toy", "/", "", "a\0b", "x" * 5000, "sd-turbo"):
        assert shipped(name) == ()


def test_a_shipped_file_that_is_no_table_or_anothers_is_left_out(assets, caplog):
    (assets / "broken.json").write_text('{"format": 1}', encoding="utf-8")
    table(model="sd-turbo").save(assets / "other.json")
    with caplog.at_level(logging.WARNING, "reweight.engine.resolving"):
        assert {one.prompt for one in shipped("toy")} == {"a fox", "a castle"}
    assert "broken.json" in caplog.text and "other.json" in caplog.text
    assert len(shipped("toy")) == 2 and len(caplog.records) == 2  # read once


def test_what_ships_is_whole(caplog):
    for model in REGISTRY:
        for one in shipped(model):
            assert one.runs >= 10 and one.prompt and one.revision and one.steps == REGISTRY[model].steps
    assert not caplog.records
