"""What a stranger sees first, does first, and keeps."""

from __future__ import annotations

import re

import pytest
from looking import (
    POLLING,
    block,
    cell,
    has_drawn,
    number,
    picture,
    slide,
    src,
    wait_for_other,
    wait_for_query,
    weights,
)
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
SMALL = {"width": 1280, "height": 720}
PLACES = """() => ['#pictures', '#unet', '#heat-weights', '#undo', '#brushes'].map((one) => {
  const { x, y, width } = document.querySelector(one).getBoundingClientRect(); return [one, x, y, width].map(String).join(' '); })"""


MAIN = "document.querySelector('figure[data-column=reweighted] img')"
PIXELS = """(image) => { if (!image.complete || !image.naturalWidth) return null;
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 64 });
  canvas.getContext('2d').drawImage(image, 0, 0, 64, 64); return canvas.toDataURL(); }"""


def test_a_small_screen_shows_the_whole_instrument_and_painting_moves_nothing(visit):
    page = visit("steps=2", viewport=SMALL)
    for seen in ("#pictures", "#said", "#unet svg", "#heat-weights svg", "#brushes", "#undo", "#unpaint"):
        box = page.locator(seen).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 720, seen
    before = page.evaluate(PLACES)
    for act in (block(page, 6), cell(page, 2, 1), page.locator("#heat-weights .rw-head[data-column='0']")):
        picture = src(page, "reweighted")
        act.click()
        wait_for_other(page, "reweighted", picture)
        expect(page.locator("#said")).to_contain_text("changed")
        assert page.evaluate(PLACES) == before


def test_the_first_acts_are_buttons_that_do_them(visit):
    page = visit("steps=2")
    hinted = page.locator("#unet .rw-hint")
    expect(hinted).to_have_attribute("data-block", "6")
    page.locator("[data-try=last]").click()
    expect(hinted).to_have_count(0)
    expect(page.locator("#said")).to_contain_text(re.compile("Decoder .* off at both steps: .*changed"))
    page.locator("[data-try=middle]").click()
    expect(cell(page, 3, 0)).to_have_text("off")
    assert cell(page, 6, 0).text_content() != "off"
    page.locator("[data-try=high]").click()
    wait_for_query(page, "painted", None)
    expect(number(page, "high")).to_have_value("2")
    expect(page.locator("#tries .rw-tried")).to_have_count(3)
    expect(page.locator("#said")).to_contain_text(re.compile(r"^high 2\.00, the most important block: .*changed"))
    page.locator("#undo").click()
    expect(cell(page, 3, 0)).to_have_text("off")
    expect(number(page, "high")).not_to_have_value("2")


def test_an_act_starts_from_the_start_and_there_is_a_way_back_to_it(visit):
    page = visit("steps=2")
    shown, again = weights(page), page.locator("#start-again")
    expect(again).to_be_disabled()
    slide(page, "low", "ArrowLeft", 5)
    page.locator("[data-try=middle]").click()
    expect(page.locator("#block-name")).to_contain_text("Middle")
    assert [cell(page, i, 0).text_content() for i in range(7) if i != 3] == [shown[2 * i] for i in range(7) if i != 3]
    again.click()
    expect(again).to_be_disabled()
    assert weights(page) == shown
    page.locator("#undo").click()
    expect(cell(page, 3, 0)).to_have_text("off")


def test_a_picture_is_explained_by_the_act_that_led_to_it_or_not_at_all(visit):
    page = visit("steps=2")
    said = page.locator("#said")
    block(page, 6).click()
    expect(page.locator("[data-try=last]")).to_have_class(re.compile("rw-tried"))
    expect(said).to_contain_text(re.compile("Decoder .* off at both steps: .*changed"))
    expect(page.locator("#since")).to_be_visible()
    changes = {
        "Another prompt": lambda: (page.locator("#prompt").fill("a photo of a car"), page.locator("#generate").click()),
        "": lambda: page.evaluate("() => reweight.set({ freeu: { ...reweight.settings.freeu, b1: 1.9 }, low: 1 })"),
        "Another number of steps": lambda: page.evaluate("() => reweight.set({ low: 1.1, steps: 1 })"),
    }
    for name, change in changes.items():
        before = src(page, "reweighted")
        change()
        wait_for_other(page, "reweighted", before)
        has_drawn(page)
        expect(said).to_have_text(re.compile(f"^{name}.*Click Decoder"))
        expect(page.locator("#since")).to_be_hidden()


def test_a_block_that_matters_little_is_said_to(visit):
    page = visit("model=toy-turbo")
    block(page, 3).click()
    expect(page.locator("#said")).to_contain_text("barely changed, so Middle 4×4 matters little for this picture")
    block(page, 6).click()
    expect(page.locator("#said")).to_contain_text(
        re.compile("Decoder 16×16 off at both steps: (changed a lot|totally changed)")
    )
    expect(page.locator("#said")).not_to_contain_text("matters little")


def test_what_a_short_drag_changes_is_shown_and_why_it_is_little_is_said(visit):
    page = visit("model=toy-turbo")
    before = picture(page, "reweighted").evaluate(PIXELS)
    slide(page, "low", "ArrowLeft", 3)
    page.wait_for_function(
        "() => document.querySelector('#since:not(.rw-none) figure:last-child canvas')?.width === 128"
    )
    bright = page.locator("#since canvas").last.evaluate(
        "(one) => [...one.getContext('2d').getImageData(0, 0, 128, 128).data].filter((v, i) => i % 4 === 0 && v > 60).length"
    )
    assert bright > 128  # pixels that glow where nothing much is seen in the pictures themselves
    has_drawn(page)
    after = picture(page, "reweighted").evaluate(PIXELS)
    page.locator("#since-before").hover()
    page.wait_for_function(f"(before) => ({PIXELS})({MAIN}) === before", arg=before, polling=POLLING)
    page.mouse.move(5, 5)
    page.wait_for_function(f"(after) => ({PIXELS})({MAIN}) === after", arg=after, polling=POLLING)
    expect(page.locator("#said")).to_contain_text("Low acts most on the least important blocks")
    slide(page, "high", "ArrowRight", 3)
    expect(page.locator("#said")).to_contain_text(re.compile(r"high 1\.63: .*changed"))
    expect(page.locator("#said")).not_to_contain_text("Low acts")


def test_another_model_never_gets_a_low_above_its_high(visit):
    page = visit("model=toy&steps=1&low=1&high=1")
    page.locator("#model-select").fill("toy-turbo")
    page.locator("#model-select").press("Enter")
    page.wait_for_function(
        "() => reweight.settings.model === 'toy-turbo' && reweight.model === 'toy-turbo'", polling=POLLING
    )
    has_drawn(page)
    assert page.evaluate("() => [reweight.settings.low, reweight.settings.high]") == [1, 1]


@pytest.mark.thorough
def test_another_model_keeps_what_was_set_and_undo(visit):
    page = visit("steps=2")
    number(page, "high").fill("1.3")
    number(page, "high").blur()
    block(page, 1).click()
    block(page, 2).click()
    has_drawn(page)
    model = page.locator("#model-select")
    model.fill("toy-turbo")
    model.press("Enter")
    expect(page.locator("#about")).to_contain_text("toy-turbo")
    has_drawn(page)
    expect(number(page, "high")).to_have_value("1.3")
    expect(number(page, "low")).to_have_value("1.2")
    expect(cell(page, 2, 1)).to_have_text("off")
    page.locator("#undo").click()
    expect(cell(page, 2, 1)).not_to_have_text("off")
    expect(cell(page, 1, 1)).to_have_text("off")


def test_what_other_steps_cannot_have_waits_to_be_undone(visit):
    page = visit("steps=2")
    block(page, 1).click()
    page.locator("#more > summary").click()
    slide(page, "steps", "ArrowRight")
    has_drawn(page)
    expect(cell(page, 1, 2)).not_to_have_text("off")
    expect(page.locator("#undo")).to_be_disabled()
    slide(page, "steps", "ArrowLeft")
    has_drawn(page)
    page.locator("#undo").click()
    expect(cell(page, 1, 0)).to_have_text("off")


@pytest.mark.thorough
def test_a_projector_shows_the_unet_beside_the_pictures_on_every_screen(visit):
    page = visit("steps=2", viewport=SMALL)
    page.locator("#present").click()
    expect(page.locator("#present")).to_have_text("Present")
    for name in ("Compare", "Watch", "Ablate"):
        page.get_by_role("tab", name=name).click()
        page.wait_for_function("(name) => window.reweight.screen === name", arg=name, polling=POLLING)
        box = page.locator("#unet svg").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 720 and box["x"] > 640, name


def test_three_pictures_are_there_before_any_script_and_give_way_to_the_page(chromium, server, visit):
    bare = chromium.new_page(java_script_enabled=False)
    bare.goto(f"{server.url}?model=toy-turbo")
    pictures = bare.locator("#first img")
    expect(pictures).to_have_count(3)
    for one in pictures.all():
        assert one.bounding_box()["width"] > 100
    expect(bare.locator("#first")).to_contain_text("Precomputed")
    bare.close()
    page = visit("model=toy-turbo")
    expect(page.locator("#first")).to_have_count(0)


def test_the_first_sentence_is_of_what_is_shown(visit):
    page = visit("model=toy-turbo&schedule=inverted&low=0.8&high=1.4")
    expect(page.locator("#said")).to_contain_text(
        re.compile(r"^Re-weighted: blocks count \d\.\d\d to \d\.\d\d times\. Click")
    )
    page = visit('columns=["vanilla","freeu"]')
    expect(page.locator("#unet .rw-block").first).to_be_visible()
    expect(page.locator("#said")).not_to_contain_text("Re-weighted")
