"""The Importance screen: what its rankings are called, and what is said of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reweight.engine.engine import Engine
from reweight.engine.request import validate
from reweight.methods.base import Chosen
from reweight.models.registry import card_for
from reweight.schedule import ImportanceTable
from reweight.ui.live import Call
from reweight.ui.panels.curves import _apart, ranks
from reweight.ui.panels.heat import heatmap
from reweight.ui.screens.ablate import rankings
from reweight.ui.screens.importance import Importance
from reweight.ui.session import Sessions
from reweight.ui.verdict import Check, findings, relation, spoken, titled, verdict

OWN = "a photo of a fox in a wood"  # no table is shipped for it
FALLING = np.linspace(1, 0.1, 7)


@pytest.fixture(scope="module")
def engine():
    engine = Engine(("toy-turbo",))
    yield engine
    engine.close()


@pytest.fixture
def call(engine):
    return asked(engine)


def asked(engine: Engine, **given) -> Call:
    settings = validate(card_for("toy-turbo"), model="toy-turbo", prompt=OWN, steps=2, seed=7, **given).settings()
    return Call(engine, Sessions().begin(), settings, {})


def table(preset: str, done: int = 15, **others) -> ImportanceTable:
    about = {
        "runs": done,
        "blocks": tuple("0123456"),
        "model": "toy-turbo",
        "prompt": OWN,
        "scheduler": "DDIMScheduler",
        "seed": 42,
    }
    return ImportanceTable(
        scores=np.tile(FALLING, (2, 1)), method=f"probe:{preset}", settings={"runs": 15}, 
        **about | {"diagnostics": {"runs_completed": done}} | others,
    )  # fmt: skip


def shown(call: Call, act: str = "show", **given) -> dict:
    call = Call(call.engine, call.session, call.settings, given)
    *_, event = (event for event in Importance().acts()[act](call) if event and event["kind"] == "importance")
    return event


def probed(call: Call, *tables: ImportanceTable) -> None:
    for one in tables:
        call.session.tables = call.session.tables.with_probed(one)
    call.session.keep_direct(call.request().vanilla_key(), np.tile(FALLING, (2, 1)))


def test_each_table_is_called_by_its_own_preset_wherever_it_appears(engine):
    call = asked(engine, schedule="calibrated")
    probed(call, table("calibrated"))
    event = shown(call)
    papers, ours, _ = event["panels"]
    assert [one["about"]["method"] for one in (papers, ours)] == ["probe:paper-code", "probe:calibrated"]
    assert papers["title"] == "The paper's probe, mean of other prompts" and ours["title"] == "Calibrated (ours)"
    assert (
        papers["heat"] != ours["heat"] and "mean of" in papers["source"] and "just now (calibrated)" in ours["source"]
    )
    assert "The paper's probe on other prompts is no closer to the direct check" in event["verdict"]
    assert "our calibrated probe agrees with the direct check" in event["verdict"]
    assert event["of"] == "our calibrated probe" and "by our calibrated probe" in event["ranks"]
    assert (papers["name"], ours["name"]) == ("paper", "calibrated")


def test_a_table_from_a_file_takes_the_place_of_its_own_preset_alone(call):
    event = shown(call, "load", text=table("calibrated", prompt="another").to_json())
    papers, ours = event["panels"]
    assert "loaded from a file" in ours["source"] and "loaded from a file" not in papers["source"]
    assert ours["about"]["prompt"] == "another" and ours["about"]["seed"] == 42
    assert event["told"]["source"] == ours["source"].removesuffix(", seed 42, DDIM, 15 runs")


def test_pruning_calls_no_calibrated_ranking_the_papers(call):
    probed(call, table("calibrated"))
    found = rankings(call, call.request())
    assert list(found) == ["calibrated (ours)", "paper's", "static", "random"]
    assert not np.array_equal(found["calibrated (ours)"], found["paper's"])


def test_a_probe_that_has_not_ended_gives_no_verdict_and_every_drawing_shows_its_table(engine):
    call = asked(engine, schedule="calibrated")
    probed(call, table("calibrated", done=2))
    event = shown(call)
    assert "our calibrated probe is unfinished (provisional, 2 of 15 runs): no verdict yet" in event["verdict"]
    assert "2 of 15 runs" in event["panels"][1]["source"] and "provisional" in event["findings"]
    assert event["told"]["scores"] == pytest.approx(np.tile(FALLING, (2, 1)), abs=1e-5)
    probed(call, table("calibrated"))
    assert "unfinished" not in shown(call)["verdict"]


def test_captions_have_the_tables_own_seed_and_scheduler(engine):
    call = asked(engine)
    probed(call, table("paper-code"))
    event = shown(call)
    papers, _, check = event["panels"]
    assert (papers["about"]["seed"], papers["about"]["scheduler"]) == (42, "DDIMScheduler")
    assert papers["source"].endswith("seed 42, DDIM, 15 runs") and check["about"]["seed"] == 7
    assert "not the LCMScheduler of the pictures" in event["by_step"]


def test_the_heading_and_the_fold_have_one_number_and_it_is_this_pages(engine):
    call = asked(engine, schedule="calibrated")
    kept = {"tau_b_bypass": 0.123, "tau_b_scaling": 0.321, "runs_completed": 15}
    probed(call, table("calibrated"))
    event = shown(call)
    assert "tau-b +1.00" in event["verdict"] and "tau-b +1.00" in event["findings"]
    assert "tau" not in findings(table("calibrated", diagnostics=kept)), (
        "before the check of this page there is no number"
    )


@pytest.mark.parametrize(
    ("tau", "p", "words"),
    [
        (0.9, 0.001, "agrees with the direct check"),
        (-0.76, 0.01, "contradicts the direct check"),
        (0.4, 0.01, "partly agrees with the direct check"),
        (-0.4, 0.01, "partly contradicts the direct check"),
        (-0.5, 0.2, "leans against the direct check, but not beyond chance"),
        (0.5, 0.05, "leans towards the direct check, but not beyond chance"),
        (0.16, 0.6, "is no closer to the direct check than a random order"),
    ],
)
def test_a_strong_word_needs_more_than_chance(tau, p, words):
    assert relation(tau, p) == words


def test_the_verdict_says_what_was_not_measured():
    assert verdict({"a": None}, "x").startswith("Not compared with the direct check yet")
    said = verdict({"the paper's probe": Check((-0.62, -0.9), 0.004)}, "x")
    assert said == "The paper's probe contradicts the direct check (tau-b −0.76, p = 0.004). The weights follow x."


def test_scores_without_a_probe_are_not_called_one():
    empirical = Chosen(np.ones((1, 7)), "", method="empirical")
    assert (titled(empirical), spoken(empirical)) == ("Empirical, no probe", "the empirical strategy")
    own = Chosen(np.ones((1, 7)), "", method="sensitivity")
    assert (titled(own), spoken(own)) == ("Scores by sensitivity", "the ranking by sensitivity")


def test_numbers_below_one_are_not_rounded_to_it_and_twelve_steps_have_numbers():
    names = [f"block {i}" for i in range(7)]
    drawn = heatmap(np.full((12, 7), 0.9961), names, kind="importance", title="", measured=np.full((12, 7), 3e-5))
    assert ">0.99</text>" in drawn and "1.00" not in drawn
    small = heatmap(np.array([[1, 0.004]]), names[:2], kind="importance", title="", measured=np.array([[1, 0.004]]))
    assert "&lt;.01</text>" in small and "--v:0.201" in small, "a small share is seen beside the largest"
    assert 'data-value="3e-05"' in drawn and drawn.count("rw-narrow") == 84


def test_labels_are_in_the_order_of_their_lines_and_within_the_chart():
    heights = [100.0, 101, 50, 226, 226, 225, 99]
    moved = _apart(heights, 15, 226)
    assert sorted(range(7), key=moved.__getitem__) == [2, 6, 0, 1, 5, 3, 4] and max(moved) <= 226
    assert min(b - a for a, b in itertools.pairwise(sorted(moved))) >= 15
    chart = ranks(np.ones((1, 2)), ["a", "b"], interval=(np.zeros((1, 2)), np.ones((1, 2))))
    assert "score_low_95" in chart
