"""Whether re-weighting by importance helps, and whether a probe agrees with bypassing: by hand, on a tiny pipeline."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from reweight.bench import app
from reweight.bench.embedded.held_out import captions
from reweight.bench.stats.random_order import DRAWS, order_seed
from reweight.bench.studies import effects as effects_study
from reweight.bench.studies.ablation_agreement import SCALING, damage_to_picture, measure
from reweight.bench.studies.effects import between, controls, draw_all, effects, rankings
from reweight.bench.studies.ways import (
    RANDOM,
    RANKINGS,
    VANILLA,
    drawn_variants,
    flat_of,
    named,
    parts,
    variants,
)
from reweight.models.loading import load_model
from reweight.patching.patch import bypassed, reweighted
from reweight.probing.ablation import agreement, sensitivity
from reweight.probing.importance_probe import probe
from reweight.probing.search import PRESETS
from reweight.schedule import weights
from reweight.toy.judges.classifier import Classifier, Judge, obeyed
from reweight.toy.world.scenes import parse

PROMPTS = ["a red apple", "a blue fox"]
WHERE = {"steps": 2, "guidance": 0.0}
RANGES = ((0.5, 1.5), (1.2, 1.2))


class Redness:
    """Scores a picture by how red it is."""

    name, version = "redness", "1"

    def score(self, images, prompts):
        return np.array([np.asarray(image, dtype=float)[..., 0].mean() / 255 for image in images])


@pytest.fixture(scope="module")
def _loaded(sd_folder):
    loaded = load_model(str(sd_folder), device="cpu", local=True)
    loaded.pipe.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture
def loaded(_loaded, monkeypatch):
    """The tiny model, each of whose prompts is probed once, and briefly, for all of these tests."""
    monkeypatch.setattr(effects_study, "probe", functools.partial(probe, runs=2, iterations=6))
    monkeypatch.setattr(effects_study, "rankings", ranked)
    return _loaded


@functools.cache
def ranked(loaded, prompt, **where):
    return rankings(loaded, prompt, **where)


def test_every_way_is_drawn_from_the_same_noise_and_compared_in_pairs(loaded, tmp_path):
    rows = draw_all(loaded, PROMPTS, tmp_path, seeds=[3, 4], ranges=RANGES, scorer=Redness(), batch=3, **WHERE)
    assert len(rows) == 2 * 2 * (1 + 9 + DRAWS + 1)
    assert {row["variant"] for row in rows} == {VANILLA, *drawn_variants(RANGES)}
    assert variants(RANGES)[-1] == "equal [1.2, 1.2]" and "random [0.5, 1.5]" in variants(RANGES)
    by_key = {(row["prompt"], row["seed"], row["variant"]): row for row in rows}
    scores = ranked(loaded, PROMPTS[1], **WHERE)
    every = scores | controls(scores, [order_seed(PROMPTS[1], 4, draw) for draw in range(DRAWS)])
    for way in ("paper", "sensitivity", "reversed", "flat at empirical's mean", "random, draw 3"):
        with reweighted(loaded.pipe, weights(every[way], *RANGES[0])):
            picture = _draw(loaded.pipe, PROMPTS[1], 4)
        drawn = by_key[PROMPTS[1], 4, named(way, *RANGES[0])]["score"]
        assert drawn == pytest.approx(Redness().score([picture], [""])[0], abs=1 / 255)
    vanilla = by_key[PROMPTS[0], 3, VANILLA]
    assert vanilla["score"] == Redness().score([_draw(loaded.pipe, PROMPTS[0], 3)], [""])[0] and vanilla["ssim"] == 1

    assert vanilla["adherence"] is None
    found = {effect.variant: effect for effect in effects(rows)}
    paper = found[named("paper", *RANGES[0])]
    for over, base in ((paper.minus_vanilla, VANILLA), (paper.minus_flat, named("flat", *RANGES[0]))):
        differences = [
            np.mean([by_key[p, s, paper.variant]["score"] - by_key[p, s, base]["score"] for s in (3, 4)])
            for p in PROMPTS
        ]
        assert over[0] == pytest.approx(np.mean(differences)) and over[1] <= over[0] <= over[2]
        assert over[2] - over[1] == pytest.approx(max(differences) - min(differences))
    assert found[VANILLA].minus_vanilla == (0, 0, 0) and found[VANILLA].minus_flat is None
    assert list(found) == [VANILLA, *variants(RANGES)]

    random = found[named(RANDOM, *RANGES[0])]
    drawn = [
        np.mean([by_key[p, s, f"random, draw {k + 1} [0.5, 1.5]"]["score"] for s in (3, 4) for k in range(DRAWS)])
        - np.mean([by_key[p, s, VANILLA]["score"] for s in (3, 4)])
        for p in PROMPTS
    ]
    assert random.minus_vanilla[0] == pytest.approx(np.mean(drawn)) and random.prompts == 2
    pairs = between(rows)
    empirical = found[named("empirical", *RANGES[0])]
    assert pairs[empirical.variant]["flat at empirical's mean [0.5, 1.5]"] == empirical.minus_flat
    assert pairs[paper.variant]["equal [1.2, 1.2]"][0] == pytest.approx(paper.score - found["equal [1.2, 1.2]"].score)

    judge = Judge(Classifier().eval(), {}, np.zeros(128), np.eye(128), "0" * 64)
    asked = {"seeds": [3], "ranges": RANGES, "judge": judge} | WHERE
    with pytest.raises(ValueError, match="made with judge 'none'"):
        draw_all(loaded, PROMPTS, tmp_path, scorer=Redness(), **asked)
    looked_at = draw_all(loaded, PROMPTS[:1], tmp_path / "judged", **asked)
    shares = {row["variant"]: row["adherence"] for row in looked_at}
    answers, _ = judge.read(np.asarray(_draw(loaded.pipe, PROMPTS[0], 3))[None])
    assert shares[VANILLA] == obeyed(PROMPTS[:1], answers)[0]
    judged = {effect.variant: effect for effect in effects(looked_at)}[named("reversed", *RANGES[0])]
    assert judged.adherence == shares[judged.variant] and np.isnan(judged.score)
    assert judged.adherence_minus_vanilla[0] == shares[judged.variant] - shares[VANILLA]

    calls = []
    handle = loaded.pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    again = draw_all(loaded, PROMPTS, tmp_path, seeds=[3, 4], ranges=RANGES, scorer=Redness(), batch=3, **WHERE)
    handle.remove()
    assert again == rows and not calls, "what is there is not drawn again"
    with pytest.raises(ValueError, match=r"rows made with guidance 0\.0, not 3\.0: .*\.$"):
        draw_all(loaded, PROMPTS, tmp_path, seeds=[3], ranges=RANGES, scorer=Redness(), steps=2, guidance=3.0)


def test_a_ranking_and_its_flat_counterpart_have_the_same_mean_weight(loaded, tmp_path):
    scores = ranked(loaded, PROMPTS[0], **WHERE)
    every = scores | controls(scores, range(DRAWS))
    for way in (*RANKINGS, "inverted", "reversed", *(f"random, draw {draw + 1}" for draw in range(DRAWS))):
        flat = every[flat_of(parts(way)[0])]
        np.testing.assert_allclose(flat.mean(1), every[way].mean(1), err_msg=way)
        assert np.ptp(flat, axis=1).max() == 0
    rows = draw_all(loaded, PROMPTS[:1], tmp_path, seeds=[3], ranges=RANGES[:1], scorer=Redness(), **WHERE)
    found = {effect.variant: effect for effect in effects(rows)}
    for name, effect in found.items():
        if name != VANILLA:
            way, bounds = parts(name)
            assert effect.mean_weight == pytest.approx(found[f"{flat_of(way)} {bounds}"].mean_weight), name
    assert found["inverted [0.5, 1.5]"].mean_weight < found["paper [0.5, 1.5]"].mean_weight


def test_a_random_order_is_another_one_for_each_prompt_noise_and_draw(loaded):
    seeds = {order_seed(p, s, d): (p, s, d) for p in PROMPTS for s in (42, 21) for d in range(DRAWS)}
    assert len(seeds) == 2 * 2 * DRAWS and order_seed(PROMPTS[0], 42, 1) in seeds
    scores = ranked(loaded, PROMPTS[0], **WHERE)
    orders = {controls(scores, [seed])["random, draw 1"].tobytes() for seed in seeds}
    assert len(orders) == len(seeds)


def _draw(pipe, prompt, seed):
    noise = torch.Generator().manual_seed(seed)
    return pipe(prompt, num_inference_steps=2, guidance_scale=0.0, generator=noise, height=64, width=64).images[0]


def test_agreement_with_bypassing(loaded):
    found = measure(loaded, PROMPTS, presets=("calibrated",), runs=3, **WHERE)
    options = {"steps": 2, "seed": 42, "guidance_scale": 0.0}
    output = [sensitivity(loaded.pipe, prompt, bypass=True, **options) for prompt in PROMPTS]
    scaling = [sensitivity(loaded.pipe, prompt, **options) for prompt in PROMPTS]
    np.testing.assert_allclose(found.damage["output"], np.mean(output, axis=0))
    assert found.tau[SCALING][:, 0] == pytest.approx([agreement(*pair) for pair in zip(scaling, output, strict=True)])
    mean, low, high = found.mean_tau("calibrated", "output")
    assert low - 1e-9 <= mean <= high + 1e-9 and mean > 0.5
    assert found.samples["calibrated"].max() <= 2 * (1 + 3 * PRESETS["calibrated"].iterations)
    assert json.loads(json.dumps(found.as_json()))["prompts"] == PROMPTS


@pytest.mark.thorough
def test_agreement_goes_on_after_it_was_killed(sd_folder, tmp_path, monkeypatch):
    out = tmp_path / "agreement.json"
    asked = ["agreement", "--model", str(sd_folder), "--limit", "2", "--steps", "1", "--runs", "2", "--device", "cpu"]
    asked += ["--preset", "calibrated", "--out", str(out)]
    calls = []

    def stopped(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return probe(*args, **options)

    monkeypatch.setattr("reweight.bench.studies.ablation_agreement.probe", stopped)
    assert CliRunner().invoke(app, asked).exit_code and not out.exists()
    rows = (tmp_path / "agreement-rows" / "rows-0.jsonl").read_text(encoding="utf-8")
    assert rows.count("\n") == 3, "two prompts bypassed, one probed"
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert len(calls) == 3, "what was probed is not probed again"
    found = json.loads(out.read_text(encoding="utf-8"))
    assert len(found["prompts"]) == 2 and np.shape(found["tau"]["calibrated"]) == (2, 2)
    refused = CliRunner().invoke(app, [*asked, "--runs", "3"])
    assert isinstance(refused.exception, ValueError) and "rows made with runs 2, not 3" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["agreement", "--preset", "nobody"], "There is no preset 'nobody': choose from paper-code"),
        (["surrogate", "--preset", "nobody"], "There is no preset 'nobody': choose from paper-code"),
        (["agreement", "--limit", "0"], "at least 1 caption"),
        (["agreement", "--out", "/proc/no/where.json"], "cannot be written"),
        (["table5", "--scorer", "nobody"], "There is no scorer 'nobody': choose one of auto"),
        (["fig3", "--scorer", "nobody"], "There is no scorer 'nobody': choose one of auto"),
        (["pruning", "--scorer", "nobody", "--out", "x"], "There is no scorer 'nobody': choose one of auto"),
        (["table5", "--importance", "nobody"], "no scores from 'nobody'"),
        (["table5", "--steps", "two"], "The steps are whole numbers"),
        (["importance", "--seeds", "two", "--out", "x"], "The seeds are whole numbers"),
    ],
)
def test_what_is_wrong_is_refused_before_the_model_is_loaded(arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def load(*_, **__):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("reweight.models.loading.load_model", load)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ValueError) and message in str(result.exception)


def test_damage_to_the_picture_by_hand(loaded):
    damage = damage_to_picture(loaded, PROMPTS[0], steps=2, seed=5, guidance_scale=3.0, scorer=Redness(), batch=4)
    assert damage["picture"].shape == damage["score"].shape == (2, 7)
    mask = np.zeros((2, 7), dtype=bool)
    mask[1, 4] = True

    def draw():
        noise = torch.Generator().manual_seed(5)
        return loaded.pipe(
            PROMPTS[0],
            num_inference_steps=2,
            guidance_scale=3.0,
            generator=noise,
            output_type="np",
            height=64,
            width=64,
        ).images

    vanilla = draw()
    with bypassed(loaded.pipe, mask):
        changed = draw()
    assert damage["picture"][1, 4] == pytest.approx(np.square(changed - vanilla).mean(), rel=1e-2)
    before, after = Redness().score(loaded.pipe.numpy_to_pil(np.concatenate([vanilla, changed])), [PROMPTS[0]] * 2)
    assert damage["score"][1, 4] == pytest.approx(before - after, abs=1e-3)
    unscored = damage_to_picture(loaded, PROMPTS[0], steps=2, seed=5, guidance_scale=3.0)
    assert list(unscored) == ["picture"]


def test_held_out_captions_are_always_the_same():
    ten = captions(10)
    assert captions(3) == ten[:3] and len(set(ten)) > 5
    assert all(parse(caption).things for caption in ten)
    with pytest.raises(ValueError, match="at least 1 caption"):
        captions(0)
