"""Tuning through the real pipeline: it climbs, stops, goes on exactly, and says what is wrong."""

import numpy as np
import pytest
import torch

from reweight.patching.blocks import target_blocks
from reweight.scoring.scorer import Look
from reweight.scoring.toy_scorer import load_toy_scorer
from reweight.tuning.differentiable_sampling import Sampling, pictures
from reweight.tuning.loop import TuningStopped, iter_tune, tune
from reweight.tuning.tuning_settings import Tuning

PROMPTS = ["a red apple on table", "the blue cat in rain", "red cat", "blue apple", "low quality cat"]
OPTIONS = dict(steps=2, guidance_scale=3.0)
QUICK = dict(iterations=4, batch=2, validate_every=2, checkpointing=False, trust=0.0)


class Near:
    """The nearer to a pipeline's pictures with some weights, the higher: a known hill, whose top lies there."""

    name, version = "near", "1"

    def __init__(self, pipe, weights):
        self.pipe, self.weights = pipe, torch.as_tensor(weights)
        self.known, self.seeds = {}, {}

    def look(self, pictures_, prompts):
        targets = torch.stack([self.target(p) for p in prompts])
        score = -(pictures_ - targets).square().mean((1, 2, 3)) * 1e4
        return Look(score, torch.zeros_like(score), torch.ones(len(score), 1))

    def target(self, prompt):
        return self.known[prompt]

    def learn(self, pairs):
        with torch.no_grad():
            made = pictures(self.pipe, pairs, Sampling(2, 3.0), self.weights)
        self.known |= {prompt: picture for (prompt, _), picture in zip(pairs, made, strict=True)}


class ByScore:
    """The same without gradients."""

    name, version = "near", "1"

    def __init__(self, near):
        self.near = near

    def score(self, images, prompts):
        x = torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1).float() / 255 for i in images])
        return self.near.look(x, prompts).score.numpy()


def hill(pipe, w=0.9):
    from reweight.tuning.loop import _pairs

    near = Near(pipe, np.full((2, 7), w))
    for pairs in _pairs(PROMPTS, None, Tuning(**QUICK)):
        near.learn(pairs)
    return near


def test_the_gradient_climbs_a_known_hill(sd_pipe):
    before = {name: p.requires_grad for name, p in sd_pipe.unet.named_parameters()}
    seen = []
    table = tune(
        sd_pipe, PROMPTS, hill(sd_pipe), on_progress=seen.append, **OPTIONS, **(QUICK | dict(iterations=8, batch=4, rate=0.02)),
    )  # fmt: skip
    assert table.diagnostics["validation_gain"] > 0
    assert table.weights.mean() < 1 and table.weights.shape == (2, 7)
    assert [s.iteration for s in seen] == list(range(1, 9)) and seen[-1].done == 1
    assert {name: p.requires_grad for name, p in sd_pipe.unet.named_parameters()} == before
    assert not sd_pipe.unet.is_gradient_checkpointing


def test_evolution_climbs_the_same_hill_without_gradients(sd_pipe):
    pytest.importorskip("cma")
    table = tune(
        sd_pipe, PROMPTS, ByScore(hill(sd_pipe, 0.8)), by="cma", one_number=True, **OPTIONS,
        **(QUICK | dict(iterations=6, batch=3, population=6)),
    )  # fmt: skip
    assert table.method == "tuned:cma" and table.diagnostics["validation_gain"] > 0
    assert np.ptp(table.weights) == 0 and table.weights[0, 0] < 0.97


@pytest.mark.parametrize(
    "by", [pytest.param("gradient", marks=pytest.mark.thorough), "cma"]
)  # test_kills has the other
def test_a_resumed_tuning_ends_as_one_without_a_break(sd_pipe, tmp_path, by):
    if by == "cma":
        pytest.importorskip("cma")
    options = OPTIONS | QUICK | dict(by=by, population=3 if by == "cma" else 0, together=4)
    scorer = load_toy_scorer()
    whole = [s.weights for s in iter_tune(sd_pipe, PROMPTS, scorer, **options)]
    broken = []
    for _ in range(4):
        events = iter_tune(sd_pipe, PROMPTS, scorer, resume=tmp_path / "state.json", **options)
        broken.append(next(events))
        events.close()
    assert np.array_equal(np.stack(whole), np.stack([s.weights for s in broken]))
    (again,) = iter_tune(sd_pipe, PROMPTS, scorer, resume=tmp_path / "state.json", **options)
    assert again.best == broken[-1].best
    with pytest.raises(ValueError, match="another settings"):
        next(iter_tune(sd_pipe, PROMPTS, scorer, resume=tmp_path / "state.json", **(options | {"trust": 0.5})))


@pytest.mark.thorough
def test_static_and_one_number_share_their_weights(sd_pipe):
    scorer = load_toy_scorer()
    static = list(iter_tune(sd_pipe, PROMPTS, scorer, static=True, **OPTIONS, **QUICK))[-1].weights
    assert np.array_equal(static[0], static[1]) and np.ptp(static[0]) > 0
    number = list(iter_tune(sd_pipe, PROMPTS, scorer, one_number=True, **OPTIONS, **QUICK))[-1].weights
    assert np.ptp(number) == 0 and number[0, 0] != 1


def test_a_weight_for_each_transformer(sd_pipe):
    table = tune(sd_pipe, PROMPTS, load_toy_scorer(), per="transformer", **OPTIONS, **QUICK)
    count = sum(len(block.transformers) for block in target_blocks(sd_pipe.unet))
    assert count > 7 and table.weights.shape == (2, count) and table.per == "transformer"


def test_trust_keeps_weights_near_one_and_a_floor_keeps_pictures_like_vanilla(sd_pipe):
    far, near, like = (
        list(iter_tune(sd_pipe, PROMPTS, hill(sd_pipe, 0.5), **OPTIONS, **(QUICK | dict(rate=0.05) | more)))[-1].weights
        for more in ({}, {"trust": 1e6}, {"floor": 1.0, "hold": 0.0})
    )
    assert abs(near - 1).max() < abs(far - 1).max()
    assert like.shape == (2, 7)


def test_it_stops_early_and_keeps_vanilla_where_nothing_is_better(sd_pipe):
    nearest = hill(sd_pipe, 1.0)
    seen = list(iter_tune(sd_pipe, PROMPTS, nearest, **OPTIONS, **(QUICK | dict(iterations=40, patience=1, rate=0.05))))
    assert len(seen) == 2 and seen[-1].done == 1
    assert (seen[-1].best.weights == 1).all() and seen[-1].validation_gain == 0
    assert seen[-1].best.diagnostics["ended"] == "no better on the validation set"


def test_a_score_that_is_no_number_loses_nothing(sd_pipe):
    class Nan(Near):
        calls = 0

        def look(self, *given):
            self.calls += 1
            seen = super().look(*given)
            return seen._replace(score=seen.score * (float("nan") if self.calls > 8 else 1))

    near = hill(sd_pipe)
    near.__class__ = Nan
    seen = []
    with pytest.raises(TuningStopped, match=r"not a finite number.*is kept") as caught:
        tune(sd_pipe, PROMPTS, near, on_progress=seen.append, **OPTIONS, **(QUICK | dict(iterations=20, batch=3)))
    assert seen and caught.value.table.weights.shape == (2, 7)
    assert not sd_pipe.unet._forward_pre_hooks and any(p.requires_grad for p in sd_pipe.unet.parameters())


def test_memory_that_runs_out_loses_nothing(sd_pipe):
    class Full(Near):
        def look(self, *given):
            raise torch.OutOfMemoryError("CUDA out of memory")

    near = hill(sd_pipe)
    near.__class__ = Full
    with pytest.raises(TuningStopped, match="not enough memory"):
        tune(sd_pipe, PROMPTS, near, **OPTIONS, **QUICK)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (dict(scorer=None), "no scorer"),
        (dict(scorer=ByScore(None)), "No gradient flows through near"),
        (dict(prompts=[]), "no prompts to tune on"),
        (dict(prompts=["", "a"]), "blank"),
        (dict(prompts="a cat"), "list of texts"),
        (dict(validation=[]), "no validation prompts"),
        (dict(validation=PROMPTS[:1]), "is also a tuning prompt"),
        (dict(steps=0), "1 to 50"),
        (dict(start=np.ones((1, 7))), "shape"),
        (dict(batch=0), "batch must be"),
        (dict(floor=2.0), "floor"),
        (dict(by="luck"), "by is"),
    ],
)
def test_bad_input_is_one_sentence(sd_pipe, given, said):
    options = dict(prompts=PROMPTS, scorer=load_toy_scorer(), steps=2) | given
    with pytest.raises(ValueError, match=said):
        tune(sd_pipe, options.pop("prompts"), options.pop("scorer"), **options)


def test_a_damaged_state_is_refused(sd_pipe, tmp_path):
    (tmp_path / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="not the state of a tuning"):
        tune(sd_pipe, PROMPTS, load_toy_scorer(), resume=tmp_path / "state.json", **OPTIONS, **QUICK)
