"""The toy scorer: what it is taught, by hand; a training of seconds that resumes and exports; the scorer's contract."""

import numpy as np
import pytest
import torch
from PIL import Image

from reweight.bench.embedded import scorer_quality as toy_scorer
from reweight.models.folder import ModelError
from reweight.scoring.toy_scorer import LENGTH, PAD, UNKNOWN, ToyScorer, TwoTowers, load_toy_scorer
from reweight.toy.judges.classifier import unspoilt
from reweight.toy.judges.damage import DAMAGES, damaged
from reweight.toy.judges.scorer_training import (
    contrastive_loss,
    export_scorer,
    graded,
    other_caption,
    quality_loss,
    train_scorer,
)
from reweight.toy.train import checkpoint
from reweight.toy.world.dataset import scene_at
from reweight.toy.world.scenes import parse, words


@pytest.fixture(scope="module")
def untrained() -> ToyScorer:
    torch.manual_seed(0)
    return ToyScorer(TwoTowers(words()), "0")


def smooth_pictures(count: int) -> torch.Tensor:
    coarse = torch.rand((count, 3, 9, 9), generator=torch.Generator().manual_seed(3)) * 1.6 - 0.8
    return torch.nn.functional.interpolate(coarse, (128, 128), mode="bicubic").clamp(-1, 1)


def test_captions_become_word_numbers():
    towers = TwoTowers(["apple", "red"])
    assert towers.tokens(["A Red apple!"])[0, :4].tolist() == [UNKNOWN, 3, 2, PAD]
    assert towers.tokens([""])[0, :2].tolist() == [UNKNOWN, PAD]
    assert towers.tokens(["red " * 99])[0].tolist() == [3] * LENGTH


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_graded_from_none_to_much(kind):
    x = smooth_pictures(3)
    far = [
        (damaged(x, kind, level, torch.Generator().manual_seed(0)) - x).abs().mean().item()
        for level in (0, 0.1, 0.4, 0.7, 1)
    ]
    assert far[0] == 0 and far == sorted(far) and far[-1] > 0.02
    assert damaged(x, kind, 1.0, torch.Generator()).abs().max() <= 1


def test_graded_pictures_come_in_rising_levels():
    x = smooth_pictures(2)
    levels, batch = graded(x, np.random.default_rng(0), torch.Generator().manual_seed(0))
    assert levels[0] == 0 and levels == sorted(levels) and len(levels) == 3
    assert torch.equal(batch[:2], x) and batch.shape == (6, 3, 128, 128)


def test_the_losses_are_small_for_what_is_right_and_large_for_what_is_not():
    right, scale = torch.eye(6, 96), torch.tensor(50.0)
    assert contrastive_loss(right, right, -right, scale) < 1e-6
    assert contrastive_loss(right, right.roll(1, 0), -right, scale) > 10
    assert contrastive_loss(right, right, right, scale) > 0.3  # as near as the altered caption is not good enough
    sure = torch.tensor([[8.0], [0.0], [-8.0]])
    assert quality_loss(sure, [0.0, 0.5, 1.0]) < quality_loss(sure.flip(0), [0.0, 0.5, 1.0]) - 3


def test_another_caption_differs_in_one_thing_and_says_everything():
    rng = np.random.default_rng(0)
    for i in range(200):
        scene = scene_at(1, i, pairs=0.5)
        said = parse(other_caption(scene, rng))
        assert said.setting and said != scene
        main, other = scene.things[0], said.things[0]
        turned = len(scene.things) == 2 and said.things[::-1] == scene.things
        changes = [
            said.setting != scene.setting, said.style != scene.style, turned,
            main.subject != other.subject and not turned, main.colour != other.colour and not turned,
        ]  # fmt: skip
        assert sum(changes) == 1, scene


def test_the_contract_of_a_scorer(untrained):
    images = [Image.effect_noise((size, size), 90) for size in (128, 64, 200)]
    scores = untrained.score(images, ["a cat", "", "a dragonfly"])
    assert scores.shape == (3,) and np.isfinite(scores).all() and untrained.name == "toy scorer"
    assert np.allclose(scores[1], untrained.score(images[1:2], [""])[0], atol=1e-5)
    assert np.allclose(np.linalg.norm(untrained.features(images), axis=1), 1, atol=1e-5)
    assert ((untrained.quality(images) > 0) & (untrained.quality(images) < 1)).all()
    assert untrained.score([], []).shape == (0,)
    with pytest.raises(ValueError, match="3 pictures and 1 prompt"):
        untrained.score(images, ["a cat"])


def test_its_figures_have_intervals(untrained):
    scenes = [*unspoilt(toy_scorer.SEED, 6, pairs=0.5).values()]
    pictures = np.random.default_rng(0).integers(0, 256, (len(scenes), 128, 128, 3), dtype=np.uint8)
    metrics = toy_scorer.measure(untrained, scenes, pictures)
    assert metrics["figures"][0]["name"] == "retrieval among 64" and metrics["pictures"] == len(scenes)
    assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in metrics["figures"])


def test_it_trains_resumes_exports_and_is_refused_when_damaged(tmp_path):
    work, folder = tmp_path / "work", tmp_path / "scorer"
    work.mkdir()
    with pytest.raises(ValueError, match=r"train first\.$"):
        export_scorer(work, folder)
    scenes = [scene_at(1, i) for i in range(120)]
    pictures = np.random.default_rng(0).integers(0, 256, (120, 128, 128, 3), dtype=np.uint8)
    options = {"device": "cpu", "seed": 0, "on_progress": lambda *_: None}
    train_scorer(work, pictures, scenes, minutes=0.001, **options)
    first = checkpoint.load(work / "scorer.pt")
    towers = train_scorer(work, pictures, scenes, minutes=first["spent"] / 60 + 0.001, **options)
    second = checkpoint.load(work / "scorer.pt")
    assert second["step"] > first["step"] >= 1

    export_scorer(work, folder)
    scorer = load_toy_scorer(folder)
    images, prompts = [Image.fromarray(picture) for picture in pictures[:4]], ["a cat", "a red dog", "an owl", "a bus"]
    same = ToyScorer(towers, "0").score(images, prompts)
    np.testing.assert_allclose(scorer.score(images, prompts), same, atol=0.02)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3e6

    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"^The toy scorer is damaged: [^\n]*\.$"):
        load_toy_scorer(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"python -m reweight\.toy scorer"):
        load_toy_scorer(folder)
