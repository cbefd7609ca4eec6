"""The figures of the embedded model: intervals and distances by hand, and a small measurement of what ships."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from reweight.bench.embedded import speed
from reweight.bench.embedded.levels import levels_in_use
from reweight.bench.embedded.prompt_adherence import SEED, autoencoder, distance, draw_all, full_caption, measure
from reweight.bench.stats.figure import Figure
from reweight.bench.stats.frechet import frechet
from reweight.bench.stats.intervals import bootstrap, wilson
from reweight.models import registry as models
from reweight.models.loading import load_model
from reweight.models.registry import ASSETS, REGISTRY
from reweight.toy.distill.consistency import Consistency
from reweight.toy.judges.classifier import FOLDER, Classifier, Judge, load_judge, unspoilt
from reweight.toy.train.denoiser import new_scheduler, new_unet
from reweight.toy.train.saving import write_sums
from reweight.toy.world.scenes import parse

needs_toy = pytest.mark.skipif(not (ASSETS / "toy").is_dir(), reason="the embedded model is not built yet")


def test_wilson_by_hand():
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    with pytest.raises(ValueError, match="no share"):
        wilson(0, 0)


def test_the_bootstrap_of_a_mean_is_about_two_standard_errors_wide_and_repeats():
    rows = np.random.default_rng(0).standard_normal(400)
    low, high = bootstrap(np.mean, rows, draws=1000)
    assert (low, high) == bootstrap(np.mean, rows, draws=1000)
    assert low < rows.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * rows.std() / 20, rel=0.1)


def test_the_bootstrap_of_a_few_times_stays_among_them_and_that_of_a_biased_statistic_about_it():
    seconds = np.array([0.28, 0.29, 1.73])
    low, high = bootstrap(np.median, seconds)
    assert seconds.min() <= low <= np.median(seconds) <= high <= seconds.max()
    low, high = bootstrap(lambda rows: -len(np.unique(rows)), np.arange(50.0), biased=True)
    assert low <= -50 <= high


def test_frechet_by_hand():
    rows = np.random.default_rng(1).standard_normal((500, 6))
    mean, covariance = rows.mean(0), np.cov(rows, rowvar=False)
    assert frechet(rows, mean, covariance) == pytest.approx(0, abs=1e-9)
    assert frechet(rows + 2, mean, covariance) == pytest.approx(6 * 4)
    spread = (rows - mean) * 3 + mean  # of one covariance C and 9 C: trace of C (1 + 9 - 2 * 3)
    assert frechet(spread, mean, covariance) == pytest.approx(4 * np.trace(covariance))
    flat = np.hstack([rows, np.zeros((500, 2))])  # features that never fire
    assert frechet(flat, flat.mean(0), np.cov(flat, rowvar=False)) == pytest.approx(0, abs=1e-6)


def test_a_figure_says_whether_it_meets_its_goal():
    share = Figure("subject", 0.9, 0.85, 0.93, steps=2, ceiling=0.96, goal=0.92, against="share")
    assert share.met and share.share == pytest.approx(0.9375)
    assert share.line().startswith("subject at 2 steps: 0.9 [0.85, 0.93], 0.938 of 0.96; goal share >= 0.92: met")
    slow = Figure("loading", 1.6, 1.5, 1.7, unit="s", goal=1.5, less=True)
    assert slow.met is False and slow.line() == "loading: 1.6 s [1.5, 1.7]; goal value <= 1.5: not met"
    assert Figure("size", 1, 1, 1).met is None
    assert Figure("relation", 0.5, 0, 1, ceiling=None, goal=0.85, against="share").met is None


def test_captions_leave_nothing_unsaid():
    for i, scene in unspoilt(SEED, 80, pairs=0.5).items():
        assert parse(full_caption(scene, i)) == scene


@pytest.fixture(scope="module")
def untrained() -> Judge:
    ceilings = dict.fromkeys(("subject", "colour", "setting", "style", "size", "relation"), (19, 20))
    return Judge(Classifier().eval(), ceilings, np.zeros(128), np.eye(128), "0" * 64)


@needs_toy
def test_a_measurement_holds_every_figure_with_its_interval_and_can_be_read_back(untrained):
    progress = []
    metrics = measure(
        "toy", untrained, singles=3, pairs=2, steps=(1,), timed=False, on_progress=lambda *told: progress.append(told)
    )
    figures = {figure["name"]: figure for figure in json.loads(json.dumps(metrics))["figures"]}
    assert {"subject", "colour", "setting", "style", "relation", "Frechet distance", "largest file"} <= set(figures)
    assert figures["change without the 8x8 level"]["goal"] == 0.01
    for figure in figures.values():
        assert figure["low"] <= figure["value"] <= figure["high"], figure
    assert figures["subject"]["ceiling"] == 0.95 and figures["relation"]["goal"] == 0.85
    files = [path.stat().st_size / 1e6 for path in ASSETS.rglob("*") if path.is_file()]
    assert figures["largest file"]["met"] and figures["largest file"]["value"] == pytest.approx(max(files), abs=0.01)
    assert figures["all assets"]["value"] == pytest.approx(sum(files), abs=0.1) and figures["all assets"]["goal"] == 35
    assert len(metrics["said"]) == len(metrics["figures"]) and progress[-1][1] == 1


@needs_toy
@pytest.mark.thorough
def test_the_turbo_model_is_measured_at_one_and_two_steps_without_guidance(untrained, tmp_path, monkeypatch):
    folder = shutil.copytree(ASSETS / "toy", tmp_path / "toy-turbo")
    Consistency.scheduler(new_scheduler()).save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(
        json.dumps(index | {"scheduler": ["diffusers", "LCMScheduler"]}), encoding="utf-8"
    )
    write_sums(folder)
    card = next(card for card in models._CARDS if card.key == "toy-turbo")
    monkeypatch.setitem(REGISTRY, "toy-turbo", replace(card, repositories=(str(folder),)))
    monkeypatch.setattr(speed, "ASSETS", tmp_path)
    metrics = measure("toy-turbo", untrained, singles=3, pairs=2, timed=False)
    goals = {(figure["name"], figure.get("steps")): figure.get("goal") for figure in metrics["figures"]}
    assert (goals["subject", 1], goals["subject", 2], goals["relation", 2]) == (0.85, 0.92, 0.85)
    assert metrics["guidance"] == 0 and metrics["model"] == "toy-turbo"
    seconds = {figure.name: figure for figure in speed.timing("toy-turbo", hurried=True, repeats=2)}
    assert seconds["the three methods at 2 steps"].goal == 0.26 > 0 < seconds["loading"].value


def test_only_an_embedded_model_is_measured(untrained):
    with pytest.raises(ValueError, match="not an embedded model"):
        measure("sd15", untrained, singles=1, pairs=1)


@needs_toy
def test_pictures_are_drawn_from_seeds_and_the_autoencoder_is_measured(untrained):
    loaded = load_model("toy", device="cpu")
    scenes = [*unspoilt(SEED, 2, pairs=0.0).values()]
    pictures = draw_all(loaded, scenes, 1)
    assert pictures.shape == (len(scenes), 128, 128, 3) and pictures.dtype == np.uint8
    assert np.array_equal(pictures, draw_all(loaded, scenes, 1))
    psnr, _, own = autoencoder(loaded, untrained, pictures)
    assert psnr.unit == "dB" and 15 < psnr.value < 60 and not own.met


@needs_toy
def test_a_level_that_hands_on_nothing_is_not_in_use(monkeypatch):
    loaded = load_model("toy", device="cpu")
    torch.manual_seed(0)
    unet = new_unet().eval()
    monkeypatch.setattr(loaded.pipe, "unet", unet)
    with torch.no_grad():
        last = unet.up_blocks[1].upsamplers[0].conv
        last.weight.zero_(), last.bias.zero_()
    lowest, middle = levels_in_use(loaded, ["a cat", "a red bus"])
    assert (lowest.name, middle.name) == ("change without the 4x4 level", "change without the 8x8 level")
    assert max(lowest.value, middle.value) < 1e-9 and not middle.met
    with torch.no_grad():
        last.bias.fill_(1)
    for _ in range(2):  # the second time shows that nothing was left silenced
        lowest, middle = levels_in_use(loaded, ["a cat", "a red bus"])
        assert lowest.value < 1e-9 and 1e-6 < middle.low <= middle.value <= middle.high


def test_distance_of_features_to_the_reference(untrained):
    features = np.random.default_rng(2).standard_normal((60, 128))
    figure = distance("Frechet distance", features, untrained, steps=2, ceiling=10.0, goal=2.0, against="share")
    assert figure.low < figure.value < figure.high and figure.less


@pytest.mark.slow
@pytest.mark.skipif(not (FOLDER / "model.safetensors").is_file(), reason="the judge is not trained yet")
@pytest.mark.parametrize("model", ["toy", "toy-turbo"])
def test_what_ships_measures_as_its_metrics_say(model):
    path = ASSETS / model / "metrics.json"
    if not path.is_file():
        pytest.skip(f"{model} has not been measured yet")
    shipped = json.loads(path.read_text(encoding="utf-8"))
    judge = load_judge()
    assert judge.digest.startswith(shipped["judge"])
    steps = min(figure["steps"] for figure in shipped["figures"] if "steps" in figure)
    again = measure(model, judge, singles=48, pairs=24, steps=(steps,), timed=False)
    assert again["revision"] == shipped["revision"]
    stated = {(figure["name"], figure.get("steps")): figure for figure in shipped["figures"]}
    for name in ("subject", "colour", "setting", "style", "relation"):
        ours = next(figure for figure in again["figures"] if figure["name"] == name)
        theirs = stated[name, steps]
        assert ours["low"] <= theirs["high"] and theirs["low"] <= ours["high"], name
