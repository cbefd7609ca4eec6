"""Words the model knows: chips, unknown words named, and a random caption."""

from __future__ import annotations

import re

import pytest
from looking import POLLING, contrast, has_drawn, in_colours, src, wait_for_other
from playwright.sync_api import expect

from reweight.models.registry import ASSETS
from reweight.toy.world import scenes as world
from reweight.ui.files import STATIC

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (ASSETS / "toy").is_dir(), reason="the embedded model is not built yet"),
]
VOCABULARY = world.vocabulary()


@pytest.fixture(scope="module")
def put(chromium):
    """What prompts become when a chip is clicked, by the page's own script on a page without anything else."""
    page = chromium.new_page()
    page.add_script_tag(path=STATIC / "words.js")
    known = VOCABULARY.model_dump(mode="json")
    yield lambda *asked: page.evaluate(
        "([asked, known]) => asked.map((one) => window.reweightPut(...one, known))", [asked, known]
    )
    page.close()


@pytest.mark.parametrize(
    ("prompt", "group", "name", "expected"),
    [
        ("", "subjects", "apple", "an apple"),
        ("a photo of a red apple on a table", "subjects", "cat", "a photo of a red cat on a table"),
        ("a big cat", "subjects", "owl", "a big owl"),
        ("A cat", "subjects", "owl", "An owl"),
        ("a painting of a dragonfly at night", "subjects", "butterfly", "a painting of a butterfly at night"),
        ("a photo of a red apple", "colours", "orange", "a photo of an orange apple"),
        ("a cat next to a red dog", "colours", "blue", "a blue cat next to a red dog"),
        ("an owl", "colours", "pink", "a pink owl"),
        ("a red apple", "settings", "snow", "a red apple in the snow"),
        ("a red apple in front of a sunset", "settings", "table", "a red apple on a table"),
        ("a red apple, anime", "settings", "beach", "a red apple on a beach, anime"),
        ("a photo of a red apple", "styles", "painting", "a painting of a red apple"),
        ("An owl, anime, beautiful", "styles", "photo", "a photo of an owl, beautiful"),
        ("anime style, a fox in the woods", "styles", "concept art", "concept art of a fox in the woods"),
        ("a unicorn and a cat", "colours", "white", "a unicorn and a white cat"),
        ("a catalogue", "colours", "red", "a catalogue red"),
    ],
)
def test_a_chip_goes_where_it_belongs(put, prompt, group, name, expected):
    assert put((prompt, group, name), (expected, group, name)) == [expected, expected]


def test_every_chip_is_understood_by_the_world(put):
    chips = [("subjects", "owl"), ("subjects", "bus"), ("colours", "orange"), ("settings", "room")]
    chips += [("styles", style) for style in world.STYLES]
    asked = [(VOCABULARY.surprise(seed), *chip) for seed in range(40) for chip in chips]
    for (caption, group, name), made in zip(asked, put(*asked), strict=True):
        before, after = world.parse(caption), world.parse(made)
        if group == "styles":
            assert after.style == name and after.things == before.things and after.setting == before.setting
        else:
            got = {"subjects": after.things[0].subject, "colours": after.things[0].colour}
            assert got.get(group, after.setting) == name, caption
            assert (after.style, after.relation) == (before.style, before.relation), caption


def test_unknown_words_are_named_while_one_types_and_nothing_is_asked_of_the_server(visit):
    page = visit("model=toy&steps=1")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    box, notice = page.locator("#prompt"), page.locator("#unknown")
    expect(notice).to_be_hidden()
    place = page.locator("#generate").bounding_box()
    box.fill("a photo of a Dragonfly, éclair and <b>rain</b> on a table")
    said = "The embedded model does not know “dragonfly”, “éclair”, “b”, “rain”; it knows dragon, butterfly, "
    expect(notice).to_have_text(re.compile(f"^{said}[a-z]+, [a-z]+ and 32 other subjects\\.$"))
    assert contrast(page, "#unknown") >= 4.5
    assert page.locator("#generate").bounding_box() == place
    box.fill("a photo of a dragon on a table")
    expect(notice).to_be_hidden()
    assert asked == []


def test_an_unknown_word_in_the_address_is_named_an_emoji_too(visit):
    page = visit("model=toy&steps=1&prompt=a%20zebra%20🦓")
    expect(page.locator("#unknown")).to_contain_text("does not know “zebra”, “🦓”")


def test_a_dollar_in_the_prompt_stays_one(put):
    assert put(("a $& cat", "styles", "painting")) == ["a painting of a $& cat"]


def test_chips_by_keyboard_draw(visit):
    page = visit("model=toy&steps=1&prompt=a%20cat")
    chip = page.locator("#words [data-name='red']")
    expect(chip).to_be_hidden()
    page.locator("#words summary").press("Enter")
    expect(chip).to_be_visible()
    before = src(page, "vanilla")
    chip.press("Enter")
    expect(page.locator("#prompt")).to_have_value("a red cat")
    wait_for_other(page, "vanilla", before)
    page.locator("#words [data-name='anime']").press(" ")
    expect(page.locator("#prompt")).to_have_value("anime style, a red cat")
    page.wait_for_function(
        "() => new URLSearchParams(location.search).get('prompt') === 'anime style, a red cat'", polling=POLLING
    )


def test_the_chips_can_be_read_on_a_phone(visit):
    page = visit("model=toy&steps=1", drawn=False, color_scheme="light", viewport={"width": 390, "height": 800})
    page.locator("#words summary").click()
    chips = page.locator("#words .rw-chip")
    expect(chips.first).to_be_visible()
    assert chips.count() == 36 + 9 + 8 + 4
    for scheme in ("light", "dark"):
        in_colours(page, scheme)
        assert contrast(page, "#words .rw-known") >= 4.5
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert min(chips.evaluate_all("all => all.map(chip => chip.getBoundingClientRect().height)")) >= 24


@pytest.mark.thorough
def test_surprise_draws_a_caption_by_chance(visit):
    page = visit("model=toy&steps=1")
    prompt, before = page.locator("#prompt").input_value(), src(page, "vanilla")
    page.locator("#surprise").click()
    expect(page.locator("#prompt")).not_to_have_value(prompt)
    world.parse(page.locator("#prompt").input_value())
    wait_for_other(page, "vanilla", before)
    has_drawn(page)


@pytest.mark.thorough
def test_a_model_that_declares_no_words_says_nothing_of_them(visit, sd_folder):
    page = visit("model=toy&steps=1&prompt=a%20zebra")
    model, notice = page.locator("#model-select"), page.locator("#unknown")
    expect(notice).to_contain_text("does not know “zebra”")
    model.fill(str(sd_folder))
    model.press("Enter")
    for selector in ("#words summary", "#unknown", "#surprise"):
        expect(page.locator(selector)).to_be_hidden()
    expect(page.locator("#about")).to_contain_text("tiny-sd")
    model.fill("toy")
    model.press("Enter")
    expect(notice).to_contain_text("does not know “zebra”")
    expect(page.locator("#surprise")).to_be_visible()
