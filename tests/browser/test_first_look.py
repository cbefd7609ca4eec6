"""What a stranger sees first, does first, and keeps."""

from __future__ import annotations

import re

import pytest
from looking import POLLING, block, cell, has_drawn, number, slide, src, wait_for_other, wait_for_query
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
SMALL = {"width": 1280, "height": 720}
PLACES = """() => ['#pictures', '#unet', '#heat-weights', '#undo', '#brushes'].map((one) => {
  const { x, y, width } = document.querySelector(one).getBoundingClientRect(); return [one, x, y, width].map(String).join(' '); })"""


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
    page.locator("#undo").click()
    expect(cell(page, 3, 0)).to_have_text("off")


def test_a_block_that_matters_little_is_said_to(visit):
    page = visit("model=toy-turbo")
    block(page, 3).click()
    expect(page.locator("#said")).to_contain_text("barely changed, so Middle 4×4 matters little for this picture")
    block(page, 6).click()
    expect(page.locator("#said")).to_contain_text(
        re.compile("Decoder 16×16 off at both steps: (changed a lot|totally changed)")
    )
    expect(page.locator("#said")).not_to_contain_text("matters little")


@pytest.mark.thorough
def test_why_a_short_drag_of_low_changes_little_is_said(visit):
    page = visit("model=toy-turbo")
    slide(page, "low", "ArrowLeft", 3)
    expect(page.locator("#said")).to_contain_text("Low sets the blocks that this ranking calls least important")
    slide(page, "high", "ArrowRight", 3)
    expect(page.locator("#said")).to_contain_text(re.compile(r"high 1\.63: .*changed"))
    expect(page.locator("#said")).not_to_contain_text("Low sets")


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
    for picture in pictures.all():
        assert picture.bounding_box()["width"] > 100
    expect(bare.locator("#first")).to_contain_text("Precomputed")
    bare.close()
    page = visit("model=toy-turbo")
    expect(page.locator("#first")).to_have_count(0)
