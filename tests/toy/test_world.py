"""The captioned world: deterministic, readable back, and painted from whatever sprites it is given."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from reweight.toy.train.tokenizer import build_tokenizer
from reweight.toy.world.dataset import scene_at
from reweight.toy.world.paint import World, read_art, recolour
from reweight.toy.world.scenes import (
    COLOURS,
    DAMAGE,
    RELATIONS,
    SETTINGS,
    SIZES,
    STYLES,
    SUBJECTS,
    Scene,
    Thing,
    draw_caption,
    parse,
    words,
)
from reweight.toy.world.sheet import captioned, world_scenes


@pytest.fixture(scope="module")
def sprites():
    """Stand-in sprites: the real art is fetched by whoever trains, and is not part of the repository."""
    art = {}
    for i, subject in enumerate(SUBJECTS):
        image = Image.new("RGBA", (256, 256))
        pen = ImageDraw.Draw(image)
        pen.ellipse([30, 30, 226, 226], fill=(40 + 5 * i, 200 - 4 * i, 120, 255))
        pen.ellipse([60, 60, 110, 100], fill=(160, 230, 200, 255))
        pen.ellipse([90, 150, 170, 210], fill=(20, 90, 60, 255))
        art[subject] = image
    return art


@pytest.fixture(scope="module")
def world(sprites):
    return World(sprites)


def test_vocabulary_sizes():
    assert len(SUBJECTS) >= 32 and len(COLOURS) >= 8 and len(SETTINGS) == 8 and len(STYLES) == 4 and len(RELATIONS) == 4


def test_every_caption_reads_back_to_its_scene():
    for i in range(3000):
        scene = scene_at(3, i, pairs=0.5)
        caption = draw_caption(scene, np.random.default_rng([4, i]))
        said = parse(caption)
        assert said.things == scene.things, caption
        assert (said.style, said.relation, said.damage) == (scene.style, scene.relation, scene.damage), caption
        assert said.setting in ("", scene.setting), caption


def test_a_caption_without_a_subject_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"names none of the known subjects.*\.$"):
        parse("a photo of nothing in particular")


def test_held_out_combinations_are_never_trained_on_and_are_about_one_in_twenty():
    assert not any(scene_at(1, i).held_out for i in range(500))
    assert all(scene_at(1, i, held_out=True).held_out for i in range(50))
    every = [
        Scene((Thing(subject, colour),), setting, style).held_out
        for subject in SUBJECTS
        for colour in ("", *COLOURS)
        for setting in SETTINGS
        for style in STYLES
    ]
    assert 0.04 < np.mean(every) < 0.06


def test_scenes_are_the_same_in_another_process():
    code = "from reweight.toy.world.dataset import scene_at; print([scene_at(1, i) for i in range(40)])"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout.strip()
    assert other == str([scene_at(1, i) for i in range(40)])


def test_pictures_are_fixed_by_scene_and_generator(world, sprites):
    for i in range(24):
        scene = scene_at(2, i, pairs=0.5)
        one = world.render(scene, np.random.default_rng(i))
        again = World(sprites).render(scene, np.random.default_rng(i))
        assert one.shape == (128, 128, 3) and one.dtype == np.uint8
        assert np.array_equal(one, again)
        assert one.std() > 8


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_word_makes_the_sprite_that_colour(sprites, colour):
    sprite = np.asarray(sprites["apple"], np.float32) / 255
    painted = recolour(sprite.copy(), colour, np.random.default_rng(0))
    seen = painted[sprite[..., 3] > 0.5][:, :3].mean(0)
    nearest = min(COLOURS, key=lambda name: np.linalg.norm(np.array(COLOURS[name]) - seen))
    assert nearest == colour
    assert np.array_equal(painted[..., 3], sprite[..., 3])


def test_left_and_right_are_where_they_say(world):
    for relation, sign in (("left of", -1), ("right of", 1)):
        scene = Scene((Thing("apple", "red"), Thing("car", "blue")), "snow", "photo", relation)
        for seed in range(6):
            picture = world.render(scene, np.random.default_rng(seed)).astype(float)
            red = np.clip(picture[..., 0] - picture[..., 2] - 60, 0, None).sum(0)
            blue = np.clip(picture[..., 2] - picture[..., 0] - 60, 0, None).sum(0)
            centres = [float(np.average(np.arange(128), weights=columns)) for columns in (red, blue)]
            assert sign * (centres[0] - centres[1]) > 20


def test_the_art_is_asked_for_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="npm pack"):
        read_art(tmp_path / "missing.tgz")
    other = tmp_path / "other.tgz"
    other.write_bytes(b"something else")
    with pytest.raises(ValueError, match="not the pinned release"):
        read_art(other)


def test_every_word_is_one_token_and_unknown_words_are_spelt():
    tokenizer = build_tokenizer()
    assert all(len(tokenizer(word).input_ids) == 3 for word in words())
    spelt = tokenizer("xylophone").input_ids
    assert len(spelt) > 4 and tokenizer.eos_token_id not in spelt[:-1]
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_the_sheet_shows_everything_that_the_world_has():
    scenes = world_scenes()
    things = [thing for scene in scenes for thing in scene.things]
    assert {thing.subject for thing in things} == set(SUBJECTS) and {thing.colour for thing in things} == {"", *COLOURS}
    assert {thing.size for thing in things} == set(SIZES) and {scene.damage for scene in scenes} == {"", *DAMAGE}
    assert {scene.relation for scene in scenes} == {"", *RELATIONS}
    assert {(scene.style, scene.setting) for scene in scenes[:32]} == {(a, b) for a in STYLES for b in SETTINGS}


def test_captions_stand_whole_under_their_pictures():
    pictures = [Image.new("RGB", (128, 128), "black")] * 3
    caption = "concept art of a blue banana above a purple strawberry in a snowy landscape"
    sheet = np.asarray(captioned(pictures, ["a fox", caption, "a fox"], 2).convert("L"))
    label = sheet[8 + 128 : -(8 + 128), 8 + 128 + 8 : -8]
    assert (sheet < 1).all(1).sum() == 0 and (sheet == 0)[:, 8:136].all(1).sum() == 2 * 128
    written = (label < 128).any(1)
    assert np.diff(written.astype(int), prepend=0).clip(0).sum() >= 3
    assert captioned(pictures, ["a fox"] * 3, 2).height < len(sheet)
