"""Tables of weights in the engine and on the command line: applied as they are, shipped, and tuned for one prompt."""

from contextlib import closing

import numpy as np
import pytest
from here import run_here
from PIL import Image

from reweight.engine import resolving
from reweight.engine.drawing import drawing_of, with_tables
from reweight.engine.engine import Engine, Picture, Waiting
from reweight.engine.provenance import read_png
from reweight.engine.request import RequestError, validate
from reweight.engine.resolving import choose
from reweight.models.loading import load_model
from reweight.models.registry import card_for
from reweight.patching.blocks import columns, target_blocks
from reweight.tuning.loop import TuneSnapshot
from reweight.tuning.one_prompt import PromptTuning
from reweight.weight_table import WeightTable

PROMPT = "a red apple on table"
LABELS = tuple("0123456")
W = np.linspace(0.8, 1.2, 14).reshape(2, 7)


def table(model="toy-turbo", weights=W, **over):
    return WeightTable(weights=weights, blocks=LABELS, model=model, method="tuned:gradient", **over)


@pytest.fixture(scope="module")
def turbo():
    engine = Engine(("toy-turbo",))
    yield engine
    engine.close()


def request(model="toy-turbo", **over):
    return validate(**(dict(model=model, prompt=PROMPT, steps=2) | over))


def test_a_pinned_table_is_applied_as_it_is(turbo):
    given = table(weights=[[0.5, "off", 1, 1, 1, 1, 2.0], [1] * 7])
    chosen = turbo.chosen(request(low=0.2, high=0.3), pinned=given)
    assert chosen.weight_table is given and chosen.table is None and "loaded from a file" in chosen.source
    asked = request(low=0.2, high=0.3)
    drawing = with_tables(drawing_of(asked, chosen, turbo.opened("toy-turbo")), asked)
    assert np.array_equal(drawing.weights, given.weights) and np.array_equal(drawing.bypass, given.bypass)
    painted = request(painted=[[None, 1.5, *[None] * 5], [None] * 7], first_step=1, last_step=1)
    chosen = turbo.chosen(painted, pinned=given)
    drawing = with_tables(drawing_of(painted, chosen, turbo.opened("toy-turbo")), painted)
    assert drawing.weights[0, 1] == 1.5 and drawing.bypass is None


@pytest.mark.parametrize(
    "over", [{"model": "toy"}, {"weights": W[:1]}, {"revision": "another"}, {"per": "transformer"}]
)
def test_a_table_that_does_not_fit_serves_nobody(turbo, over):
    assert turbo.chosen(request(), pinned=table(**over)).weight_table is None


def test_a_control_that_turns_scores_round_leaves_weights_alone(turbo):
    assert turbo.chosen(request(schedule="flat"), pinned=table()).weight_table is None


def test_the_tuned_schedule_takes_what_is_shipped(turbo, tmp_path, monkeypatch):
    monkeypatch.setattr(resolving, "ASSETS", tmp_path)
    folder = tmp_path / "toy-turbo" / "tuned"
    folder.mkdir(parents=True)
    table().save(folder / "2-steps.json")
    (folder / "broken.json").write_text("{", encoding="utf-8")
    blocks = turbo.blocks("toy-turbo")
    chosen = choose(request(schedule="tuned"), blocks)
    assert np.array_equal(chosen.weights, W) and "shipped" in chosen.source
    with pytest.raises(RequestError, match="No tuned weights are shipped for 3 steps of toy-turbo: choose 2 steps"):
        choose(request(schedule="tuned", steps=3), blocks)


def test_every_shipped_table_serves_its_model():
    engine = Engine(("toy", "toy-turbo"))
    try:
        for model in ("toy", "toy-turbo"):
            for shipped in resolving.shipped_weights(model):
                asked = request(model, steps=shipped.steps, schedule="tuned")
                assert engine.chosen(asked).weight_table == shipped
    finally:
        engine.close()


def test_a_picture_names_the_table_it_is_from(turbo):
    given = table()
    events = turbo.compare(request(), turbo.chosen(request(), pinned=given), ("reweighted",))
    (picture,) = (event for event in events if isinstance(event, Picture))
    assert picture.table_sha256 == given.sha256 and np.array_equal(picture.weights, W)


def test_tuning_for_one_prompt_can_be_stopped_and_keeps_what_it_has(turbo):
    settings = PromptTuning(iterations=2, noises=2)
    with closing(turbo.tune(request(steps=1), settings=settings)) as events:
        first = next(event for event in events if not isinstance(event, Waiting))
    assert isinstance(first, TuneSnapshot) and first.best.weights.shape == (1, 7)
    *_, last = (event for event in turbo.tune(request(steps=1), settings=settings) if not isinstance(event, Waiting))
    assert last.done == 1 and last.best.model == "toy-turbo" and last.best.diagnostics["iterations"] == 2
    assert turbo.chosen(request(steps=1), pinned=last.best).weight_table is last.best


def test_nothing_to_score_with_is_one_sentence(turbo):
    with pytest.raises(ValueError, match="no scorer to tune for"):
        list(turbo.tune(request(), scorer="none"))


def test_tune_writes_a_table_that_generate_draws_with(sd_folder, tmp_path):
    (tmp_path / "prompts.txt").write_text("a red apple\nthe blue cat\nred cat in rain\na table\n", encoding="utf-8")
    common = ["--model", sd_folder, "--steps", 2]
    done = run_here(
        "tune", *common, "--prompts", tmp_path / "prompts.txt", "--limit", 4, "--scorer", "toy", "--iterations", 2,
        "--batch", 2, "--size", 64, "--guidance", 2, "--out", tmp_path / "new" / "w.json",
        "--resume", tmp_path / "state.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "paired difference from vanilla on the validation set" in done.stderr
    made = WeightTable.load(tmp_path / "new" / "w.json")
    assert made.steps == 2 and made.diagnostics["iterations"] == 2
    drawn = run_here(
        "generate", PROMPT, *common, "--size", 64, "--guidance", 2, "--table", tmp_path / "new" / "w.json",
        "--method", "reweighted", "--out", tmp_path,
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    assert read_png(tmp_path / "reweighted.png")["weights"] == made.weights.tolist()
    refused = run_here("generate", PROMPT, *common, "--table", tmp_path / "new" / "w.json", "--schedule", "flat")
    assert refused.returncode == 1 and "applied as it is" in refused.stderr


def test_a_table_for_each_transformer_is_applied_and_painted_over(turbo):
    blocks = turbo.blocks("toy-turbo")
    labels, _ = columns(blocks, "transformer")
    stage = np.array([int(label.split(".")[0]) for label in labels])
    cells = np.linspace(0.8, 1.2, 2 * len(labels)).reshape(2, -1).tolist()
    cells[1][-1] = "off"
    fine = WeightTable(weights=cells, blocks=labels, per="transformer", model="toy-turbo", method="tuned:gradient")
    chosen = turbo.chosen(request(), pinned=fine)
    assert chosen.weight_table is fine and chosen.bypass is not None and chosen.weights.shape == (2, 7)
    assert np.allclose(chosen.weights[:, 6], fine.weights[:, stage == 6].mean(1))
    loaded = turbo.opened("toy-turbo")
    drawing = with_tables(drawing_of(request(), chosen, loaded), request())
    assert np.array_equal(drawing.weights, fine.weights) and np.array_equal(drawing.bypass, fine.bypass)
    painted = request(painted=[[None, 1.5, *[None] * 5], [*[None] * 6, 0.5]], last_step=2)
    drawing = with_tables(drawing_of(painted, turbo.chosen(painted, pinned=fine), loaded), painted)
    assert (drawing.weights[0, stage == 1] == 1.5).all() and (drawing.weights[1, stage == 6] == 0.5).all()
    assert drawing.bypass is None and np.array_equal(drawing.weights[0, stage != 1], fine.weights[0, stage != 1])
    (picture,) = (event for event in turbo.compare(request(), chosen, ("reweighted",)) if isinstance(event, Picture))
    assert picture.table_sha256 == fine.sha256 and picture.weights.shape == (2, len(labels))


def test_generate_draws_with_a_weight_for_each_transformer_and_asks_for_its_table_again(sd_folder, tmp_path):
    labels, _ = columns(target_blocks(load_model(str(sd_folder), local=True, device="cpu").pipe.unet), "transformer")
    weights = np.linspace(0.5, 1.5, 2 * len(labels)).reshape(2, -1)
    fine = WeightTable(weights=weights, blocks=labels, per="transformer", model=str(sd_folder), method="tuned:cma")
    fine.save(tmp_path / "w.json")
    common = ["--model", sd_folder, "--size", 64, "--method", "reweighted"]
    drawn = run_here("generate", PROMPT, *common, "--table", tmp_path / "w.json", "--out", tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert read_png(tmp_path / "reweighted.png")["weights"] == fine.weights.tolist()
    again = ["generate", "--from", tmp_path / "reweighted.png", *common]
    refused = run_here(*again, "--out", tmp_path / "without")
    assert refused.returncode == 1 and f"drawn with {len(labels)} weights a step" in refused.stderr
    with_it = run_here(*again, "--table", tmp_path / "w.json", "--out", tmp_path / "with")
    assert with_it.returncode == 0, with_it.stderr
    one, other = (np.asarray(Image.open(folder / "reweighted.png")) for folder in (tmp_path, tmp_path / "with"))
    assert np.array_equal(one, other)


def test_an_unknown_card_is_no_reason_to_look_for_weights():
    assert resolving.shipped_weights("somebody/else") == () and card_for("toy-turbo").embedded


def test_the_page_says_what_shipped_weights_gain_and_cost(turbo):
    source = turbo.chosen(request(prompt="a boat", schedule="tuned")).source
    assert source.startswith(
        "weights tuned on 96 other prompts for the toy scorer, shipped with the model; on 191 further"
    )
    assert source.endswith("score +0.005, prompt adherence -0.001 from vanilla")
