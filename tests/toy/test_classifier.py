"""The judge: what is right to answer, how answers are counted, and a training of seconds that resumes and exports."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from reweight.models.folder import ModelError
from reweight.toy.judges.classifier import (
    HEADS,
    Classifier,
    either_order_loss,
    export_classifier,
    labels,
    load_judge,
    obeyed,
    tally,
    train_classifier,
    unspoilt,
    varied,
)
from reweight.toy.train import checkpoint
from reweight.toy.world.dataset import scene_at
from reweight.toy.world.scenes import Scene, Thing, parse

CAT, DOG = Thing("cat", "red"), Thing("dog", "blue")
NAMES = list(HEADS)


def pair(relation):
    return Scene((CAT, DOG), "beach", "photo", relation)


def said(row):
    return {name: options[i] for (name, options), i in zip(HEADS.items(), row, strict=True)}


@pytest.mark.parametrize(
    ("relation", "first", "placed"),
    [("left of", "cat", "beside"), ("right of", "dog", "beside"), ("above", "cat", "above")],
)
def test_the_first_thing_is_the_left_or_the_upper_one(relation, first, placed):
    one, other = labels([pair(relation)])[:, 0]
    assert (one == other).all()
    read = said(one)
    assert (read["subject"], read["relation"]) == (first, placed)
    assert read["colour"] == {"cat": "red", "dog": "blue"}[first]
    assert {read["subject"], read["second"]} == {"cat", "dog"} and {read["colour"], read["second colour"]} == {
        "red",
        "blue",
    }


def test_next_to_allows_either_order():
    one, other = (said(row) for row in labels([pair("next to")])[:, 0])
    assert (one["subject"], one["second"]) == (other["second"], other["subject"]) == ("cat", "dog")


@pytest.mark.parametrize(
    ("caption", "wrong", "share"),
    [
        ("a photo of a red cat to the left of a blue dog on a beach", (), 1),
        ("a photo of a red cat to the left of a blue dog on a beach", ("second colour",), 6 / 7),
        ("a red cat beside a blue dog on a beach", ("size",), 1),
        ("a painting of a red cat", ("setting",), 1),
        ("a painting of a red cat on a beach", ("setting", "subject"), 2 / 4),
    ],
)
def test_what_was_obeyed_is_what_the_caption_asks_for(caption, wrong, share):
    scene = parse(caption)
    for turn in range(2 if scene.relation == "next to" else 1):
        row = labels([replace(scene, setting=scene.setting or "snow")])[turn]
        for name in wrong:
            row[0, NAMES.index(name)] += 1
        assert obeyed([caption], row)[0] == pytest.approx(share)


def test_the_loss_takes_the_order_that_fits():
    known = torch.from_numpy(labels([pair("next to"), pair("left of")]))

    def sure_of(row):
        return tuple(
            20.0 * torch.nn.functional.one_hot(row[:, i], len(options)) for i, options in enumerate(HEADS.values())
        )

    swapped = torch.stack([known[1, 0], known[1, 0]])
    assert either_order_loss(sure_of(known[0]), known) < 1e-6
    assert either_order_loss(sure_of(known[1]), known) < 1e-6
    assert either_order_loss(sure_of(swapped), known) > 10  # the second scene says which is left


def test_answers_are_counted_by_figure():
    single = Scene((CAT,), "beach", "photo")
    scenes = [single, single, pair("left of"), pair("left of"), pair("next to"), pair("above")]
    answers = labels(scenes)[0].copy()
    answers[0, NAMES.index("colour")] += 1
    answers[2] = labels([pair("right of")])[0, 0]  # both seen, places wrong
    answers[3, NAMES.index("second")] += 1  # one not seen
    answers[4] = labels([pair("next to")])[1, 0]
    counts = tally(scenes, answers)
    assert counts == {
        "subject": (2, 2), "colour": (1, 2), "setting": (2, 2), "style": (2, 2), "size": (2, 2), "relation": (2, 4),
        "relation of those seen": (2, 3),
    }  # fmt: skip


def test_figures_nothing_was_asked_of_are_left_out():
    assert "relation" not in tally([Scene((CAT,), "beach", "photo")], labels([Scene((CAT,), "beach", "photo")])[0])


def test_unspoilt_scenes_are_held_out_and_undamaged():
    scenes = unspoilt(5, 60, pairs=1.0)
    assert 50 <= len(scenes) <= 60
    assert all(
        scene.held_out and not scene.damage and scene == scene_at(5, i, 1.0, True) for i, scene in scenes.items()
    )


def test_variation_keeps_shape_and_range():
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    for seed in range(6):
        y = varied(x, np.random.default_rng(seed))
        assert y.shape == x.shape and y.abs().max() <= 1 and not torch.equal(x, y)


def test_it_stays_small():
    assert 0.5e6 < sum(p.numel() for p in Classifier().parameters()) < 0.75e6


@pytest.mark.thorough
def test_it_trains_resumes_exports_and_is_refused_when_damaged(tmp_path):
    work, folder = tmp_path / "work", tmp_path / "judge"
    work.mkdir()
    with pytest.raises(ValueError, match=r"train first\.$"):
        export_classifier(work, folder, ([], np.empty(0)), ([], np.empty(0)))
    scenes = [scene_at(1, i) for i in range(120)]
    pictures = np.random.default_rng(0).integers(0, 256, (120, 128, 128, 3), dtype=np.uint8)
    options = {"device": "cpu", "seed": 0, "on_progress": lambda *_: None}
    train_classifier(work, pictures, scenes, minutes=0.001, **options)
    first = checkpoint.load(work / "classifier.pt")
    trained = train_classifier(work, pictures, scenes, minutes=first["spent"] / 60 + 0.001, **options)
    second = checkpoint.load(work / "classifier.pt")
    assert second["step"] > first["step"] >= 1 and second["spent"] > first["spent"]

    singles, pairs = unspoilt(5, 40, pairs=0.0), unspoilt(5, 20, pairs=1.0)
    sets = [([*part.values()], pictures[: len(part)]) for part in (singles, pairs)]
    export_classifier(work, folder, *sets)
    judge = load_judge(folder)
    answers, features = judge.read(pictures[: len(singles)])
    assert judge.ceilings["subject"][1] == len(singles) and judge.ceilings["relation"][1] == len(pairs)
    np.testing.assert_allclose(judge.mean, features.mean(0), atol=1e-4)
    assert judge.covariance.shape == (128, 128)
    with torch.no_grad():
        again = trained(torch.from_numpy(pictures[:8]).permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert np.mean(answers[:8] == torch.stack([out.argmax(1) for out in again], 1).numpy()) > 0.8
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3e6
    assert set(json.loads((folder / "SHA256SUMS.json").read_text(encoding="utf-8"))) == {
        "model.safetensors",
        "reference.safetensors",
    }

    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"^The judge is damaged: [^\n]*\.$"):
        load_judge(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"python -m reweight\.toy classifier"):
        load_judge(folder)
