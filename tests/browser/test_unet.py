"""The U-Net and the heatmap as controls: blocks off and on, weights by hand, undo, keyboard, files, the address."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from looking import block, cell, has_drawn, png, query_of, slide, src, wait_for_other, wait_for_query, weights
from playwright.sync_api import expect

from reweight.engine.provenance import read_png
from reweight.weight_table import WeightTable

pytestmark = pytest.mark.browser


def test_a_click_switches_a_block_off_and_on_again_and_one_sentence_says_what_it_did(visit):
    page = visit("steps=2")
    before, vanilla, shown = src(page, "reweighted"), src(page, "vanilla"), weights(page)
    block(page, 5).click()
    expect(block(page, 5)).to_contain_text("off")
    assert [cell(page, 5, t).text_content() for t in (0, 1)] == ["off", "off"]
    wait_for_other(page, "reweighted", before)
    assert src(page, "vanilla") == vanilla
    expect(page.locator("#said")).to_contain_text(re.compile(r"off at both steps: .*changed"))
    expect(page.locator("#said")).to_contain_text("SSIM")
    assert read_png(png(page, "reweighted"))["request"]["painted"][0][5] == "off"
    block(page, 5).click()
    expect(page.locator("#said")).to_contain_text("on again")
    assert weights(page) == shown
    wait_for_query(page, "painted", None)


def test_a_step_can_be_chosen_and_a_block_has_its_own_slider(visit):
    page = visit("steps=2")
    page.locator("#steps-chosen").get_by_text("step 2").click()
    block(page, 3).click()
    expect(cell(page, 3, 1)).to_have_text("off")
    assert cell(page, 3, 0).text_content() != "off"
    expect(page.locator("#block-name")).to_contain_text("at step 2: off")
    page.evaluate("() => reweight.lookAt(0)")  # as a film does
    expect(page.locator("#block-name")).to_contain_text("at step 2: off")
    page.evaluate("() => reweight.lookAt(null)")
    page.locator("#block-weight").fill("0.5")
    expect(cell(page, 3, 1)).to_have_text("0.50")
    expect(block(page, 3)).to_contain_text("0.50")
    expect(page.locator("#said")).to_contain_text(re.compile(r"at 0\.50 at step 2: .*changed"))


@pytest.mark.thorough
def test_dragging_a_block_sets_its_weight(visit):
    page = visit("steps=2&low=1&high=1")
    box = block(page, 2).locator("rect").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 40, steps=5)
    page.mouse.up()
    assert [cell(page, 2, t).text_content() for t in (0, 1)] == ["1.50", "1.50"]
    expect(page.locator("#said")).to_contain_text(re.compile(r"at 1\.50 at both steps: .*changed"))
    page.locator("#undo").click()
    expect(cell(page, 2, 0)).to_have_text("1.00")


def test_cells_are_painted_by_dragging_over_them_and_undone(visit):
    page = visit("steps=3")
    shown = weights(page)
    first, last = (cell(page, i, 0).bounding_box() for i in (1, 3))
    page.mouse.move(first["x"] + 10, first["y"] + 10)
    page.mouse.down()
    page.mouse.move(last["x"] + 10, last["y"] + 10, steps=8)
    page.mouse.up()
    assert [cell(page, i, 0).text_content() for i in range(5)].count("off") == 3
    expect(page.locator("#said")).to_contain_text(re.compile(r"3 blocks off at step 1: .*changed"))
    page.locator("#heat-weights .rw-head[data-column='2']").click()
    assert [cell(page, i, 2).text_content() for i in range(7)] == ["off"] * 7
    page.locator("#undo").click()
    page.keyboard.press("Control+z")
    assert weights(page) == shown
    expect(page.locator("#undo")).to_be_disabled()


def swipe(touch, box, across, down):
    """A finger from within a box, by pixels."""
    x, y = box["x"] + 10, box["y"] + 10
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for part in range(1, 9):
        at = {"x": x + across * part / 8, "y": y + down * part / 8}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_on_a_phone_twelve_steps_are_readable_and_a_finger_that_scrolls_paints_nothing(chromium, server):
    page = chromium.new_page(viewport={"width": 390, "height": 800}, has_touch=True, reduced_motion="reduce")
    page.set_default_timeout(120_000)
    page.goto(f"{server.url}?steps=12")
    has_drawn(page)
    small = page.locator("#heat-weights text").evaluate_all(
        "(all) => Math.min(...all.filter((one) => one.textContent).map((one) => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a))"
    )
    assert small >= 12
    target = cell(page, 3, 4)
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    touch = page.context.new_cdp_session(page)
    assert page.evaluate(
        "() => { const place = document.querySelector('#heat-weights'); return place.scrollWidth > place.clientWidth + 80; }"
    )
    for across, down in ((-80, 0), (0, -80)):
        swipe(touch, box, across, down)
    assert page.evaluate(
        "() => [reweight.settings.painted, document.querySelector('#heat-weights').scrollLeft > 40]"
    ) == [
        None,
        True,
    ]
    first, scrolled = block(page, 6), page.evaluate("() => scrollY")
    first.scroll_into_view_if_needed()
    box = first.locator("rect").bounding_box()
    swipe(touch, box, 0, -90)
    assert page.evaluate("() => reweight.settings.painted") is None and page.evaluate("() => scrollY") != scrolled
    name, place = (page.locator(one).first.bounding_box() for one in ("#heat-weights .rw-name", "#heat-weights"))
    assert place["x"] <= name["x"] and name["x"] + name["width"] <= place["x"] + place["width"]
    cell(page, 3, 6).tap()
    expect(cell(page, 3, 6)).to_have_attribute("aria-label", re.compile("off"))
    first.tap()
    expect(first).to_have_attribute("aria-pressed", "true")
    page.close()


def test_everything_can_be_done_by_keyboard(visit):
    page = visit("steps=2&low=1&high=1")
    page.locator("#generate").focus()
    page.keyboard.press("Tab")
    seen = "() => { const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement); return [document.activeElement.id, outlineStyle, outlineWidth]; }"
    assert page.evaluate(seen) == ["stop", "solid", "2px"]
    block(page, 0).focus()
    page.keyboard.press("ArrowUp")
    expect(cell(page, 0, 1)).to_have_text("1.05")
    page.keyboard.press("Enter")
    expect(cell(page, 0, 1)).to_have_text("off")
    page.keyboard.press("Delete")
    expect(cell(page, 0, 1)).to_have_text("1.00")
    cell(page, 0, 0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(cell(page, 1, 1)).to_have_text("off")
    page.keyboard.press("+")
    expect(cell(page, 1, 1)).to_have_text("0.05")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")  # the row's header
    assert cell(page, 1, 0).text_content() == cell(page, 1, 1).text_content() == "off"
    assert "by hand" in cell(page, 1, 0).get_attribute("aria-label")
    assert block(page, 1).get_attribute("aria-pressed") == "true"


def test_what_is_painted_is_in_the_address_in_files_and_repainted_as_the_server_would(visit, tmp_path):
    page = visit("steps=2&low=0.8&high=1.4")
    block(page, 4).click()
    cell(page, 0, 1).click()
    wait_for_query(page, "painted", "~~~~x~~_x~~~~x~~")
    has_drawn(page)
    painted, picture = weights(page), png(page, "reweighted")
    again = visit(urlsplit(page.url).query)
    assert weights(again) == painted and png(again, "reweighted") == picture
    with page.expect_download() as download:
        page.locator("#painted-save").click()
    table = WeightTable.load(download.value.path())
    assert (
        table.method == "painted" and table.bypass[1, 0] and download.value.suggested_filename.endswith("2-steps.json")
    )
    page.locator("#unpaint").click()
    wait_for_query(page, "painted", None)
    table.save(tmp_path / "weights.json")
    page.locator("#painted-file").set_input_files(tmp_path / "weights.json")
    expect(page.locator("#said")).to_contain_text("Weights from a file")
    assert weights(page) == painted
    replace(table, weights=table.weights[:1], bypass=None, steps=1).save(tmp_path / "other.json")
    page.locator("#painted-file").set_input_files(tmp_path / "other.json")
    expect(page.locator("#status")).to_contain_text("with 1 steps")


def test_the_page_paints_what_the_server_computes(visit):
    page = visit("steps=3&schedule=inverted&first-step=2")
    slide(page, "low", "ArrowLeft", 4)
    wait_for_query(page, "low", page.locator("#low input[type=number]").input_value())
    has_drawn(page)
    told = read_png(png(page, "reweighted"))["weights"]
    assert weights(page) == [f"{told[t][i]:.2f}" for i in range(7) for t in range(3)]


@pytest.mark.thorough
def test_the_curves_and_the_other_screen_follow(visit):
    page = visit("steps=2")
    page.get_by_role("tab", name="Importance").click()
    expect(page.locator("#instrument")).to_be_visible()
    page.locator("#ranks svg").wait_for()
    line = page.locator("#curves polyline").nth(5)
    line.wait_for(state="attached")
    before = line.get_attribute("points")
    block(page, 5).click()
    assert line.get_attribute("points") != before
    wait_for_query(page, "painted", "~~~~~x~_~~~~~x~")
    assert query_of(page)["steps"] == "2"


def test_a_block_is_opened_and_its_weight_is_where_it_multiplies(visit):
    page = visit("steps=2&low=1&high=1")
    page.locator("#block-inside").click()
    inside = page.locator("#inside-of")
    expect(page.locator("#inside-which")).to_have_value("6")
    expect(inside.locator(".rw-stack li")).to_have_count(4)
    expect(inside).to_contain_text("16 + 8 skip → 8 channels")
    expect(inside).to_contain_text("every token attends to the 77 tokens of your prompt")
    expect(inside.locator(".rw-times .rw-w")).to_have_text("1.00")
    cell(page, 6, 1).click()
    expect(inside.locator(".rw-at-steps")).to_have_text("step 2")
    expect(inside.locator(".rw-times .rw-w")).to_have_text("off")
    expect(inside).to_contain_text("are not computed")
    page.mouse.move(2, 2)
    expect(inside.locator(".rw-at-steps")).to_have_text("step 1: 1.00, step 2: off")
    page.locator("#inside-which").select_option("3")
    expect(inside).to_contain_text("mid_block")
    expect(page.locator("#block-name")).to_contain_text("Middle")
    page.locator("#inside-which").press("Escape")
    expect(inside).to_be_hidden()
    expect(page.locator("#block-inside")).to_be_focused()
