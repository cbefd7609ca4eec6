"""What a model knows: declared by its folder, equal to the world it was trained on, and checked when it is read."""

import json

import pytest

from reweight.models.loading import load_model
from reweight.models.registry import ASSETS
from reweight.models.vocabulary import FILE, read_vocabulary
from reweight.toy.world import scenes as world

VOCABULARY = world.vocabulary()


def test_a_surprise_is_a_caption_of_the_world():
    for seed in range(300):
        caption = VOCABULARY.surprise(seed)
        assert VOCABULARY.surprise(seed) == caption
        scene = world.parse(caption)
        assert scene.setting and len(scene.things) == (2 if scene.relation else 1), caption
        assert set(caption.lower().replace(",", "").split()) <= set(VOCABULARY.words), caption
        for thing in scene.things:
            assert thing.phrase() in caption


def test_surprises_differ_and_reach_every_part_of_the_world():
    captions = {VOCABULARY.surprise(seed) for seed in range(1000)}
    assert len(captions) > 950
    scenes = [world.parse(caption) for caption in captions]
    assert {scene.things[0].subject for scene in scenes} == set(world.SUBJECTS)
    assert {scene.setting for scene in scenes} == set(world.SETTINGS)
    assert {scene.style for scene in scenes} == set(world.STYLES)
    assert {scene.relation for scene in scenes} == {"", *world.RELATIONS}


def test_the_file_gives_back_what_was_saved(tmp_path):
    assert read_vocabulary(tmp_path) is None
    VOCABULARY.save(tmp_path)
    assert read_vocabulary(tmp_path) == VOCABULARY


@pytest.mark.parametrize(
    "change",
    [
        {"format": "something else"},
        {"subjects": ["apple", "<script>"]},
        {"subjects": []},
        {"styles": {"photo": ["a photo of {} and {}"]}},
        {"styles": {"photo": ["a photo of {0.__class__}"]}},
        {"settings": {"table": []}},
        {"words": ["a" * 1000]},
        {"more": 1},
    ],
)
def test_a_file_that_cannot_be_used_is_left_out_and_said_in_the_log(tmp_path, caplog, change):
    (tmp_path / FILE).write_text(json.dumps(VOCABULARY.model_dump(mode="json") | change), encoding="utf-8")
    assert read_vocabulary(tmp_path) is None
    assert "vocabulary.json is left out: This is not a model's vocabulary" in caplog.text


def test_a_file_that_is_no_json_is_left_out(tmp_path, caplog):
    (tmp_path / FILE).write_text("words", encoding="utf-8")
    assert read_vocabulary(tmp_path) is None
    assert "not valid JSON" in caplog.text


def test_a_loaded_model_brings_its_vocabulary_and_others_have_none(sd_folder):
    assert load_model(str(sd_folder), local=True, device="cpu").vocabulary is None
    if (ASSETS / "toy").is_dir():
        assert load_model("toy", device="cpu").vocabulary == VOCABULARY
