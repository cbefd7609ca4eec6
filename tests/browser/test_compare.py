"""The Compare screen in a real browser, as a visitor uses it."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from looking import (
    METHODS,
    POLLING,
    has_drawn,
    number,
    picture,
    png,
    query_of,
    slide,
    sources,
    src,
    wait_for_other,
    wait_for_query,
    weights,
)  # fmt: skip
from playwright.sync_api import Error, expect

from reweight.engine.provenance import read_png

pytestmark = pytest.mark.browser


def test_a_slider_repaints_at_once_and_then_draws_only_the_reweighted_picture(visit):
    page = visit()
    before, shown = sources(page), weights(page)
    held, holding = [], True
    page.route(re.compile("compare/draw"), lambda route: held.append(route) if holding else route.continue_())
    with page.expect_request(re.compile("compare/draw")):
        slide(page, "low", "ArrowLeft", 4)
    assert weights(page) != shown
    assert sources(page) == before and held
    asked = held[-1].request.post_data_json
    holding = False
    for route in held:
        with contextlib.suppress(Error):  # the page has given up all but the last
            route.continue_()
    wait_for_other(page, "reweighted", before["reweighted"])
    has_drawn(page)
    after = sources(page)
    assert after["vanilla"] == before["vanilla"] and after["freeu"] == before["freeu"]
    assert len(asked["given"]["have"]) == 3
    wait_for_query(page, "low", number(page, "low").input_value())


def test_low_stays_below_high_and_weights_of_one_give_vanilla(visit):
    page = visit("steps=2&low=1&high=1")
    expect(page.locator('figure[data-column="reweighted"] .rw-change')).to_contain_text("vs. vanilla: not at all")
    assert set(weights(page)) == {"1.00"}
    slide(page, "low", "End")
    expect(number(page, "high")).to_have_value(number(page, "low").input_value())
    slide(page, "high", "Home")
    expect(number(page, "low")).to_have_value(number(page, "high").input_value())


def at_first_progress(page, act):
    """Run a script when the progress first moves, which may be over before a question from outside arrives."""
    page.evaluate(
        """(act) => {
          const status = document.querySelector("#status");
          const watch = new MutationObserver(() => {
            if (!(+status.querySelector("[role=progressbar]")?.ariaValueNow > 0)) return;
            watch.disconnect();
            new Function(act)();
          });
          watch.observe(status, { subtree: true, childList: true, attributes: true });
        }""",
        act,
    )


def test_stop_stops_a_drawing_and_another_can_begin(visit):
    page = visit("steps=3&prompt=a+drawing+that+is+stopped")
    page.locator("#more > summary").click()
    at_first_progress(page, "document.querySelector('#stop').click()")
    number(page, "steps").fill("24")
    expect(page.locator("#status")).to_have_text("Stopped.")
    page.wait_for_timeout(700)
    expect(page.locator("#status")).to_have_text("Stopped.")
    expect(page.locator(".rw-stale")).to_have_count(0)
    before = src(page, "vanilla")
    number(page, "steps").fill("2")
    wait_for_other(page, "vanilla", before)
    has_drawn(page)


def test_after_stop_nothing_is_said_of_what_had_arrived_already(visit):
    page = visit("steps=2")
    lines = [json.dumps({"kind": "status", "text": f"step {k}", "done": k / 3}) for k in (1, 2, 3)]
    page.route("**/compare/draw", lambda route: route.fulfill(body="\n".join(lines) + "\n"))
    end = page.evaluate(
        """() => reweight.act("compare", "draw", {}, (event) => event.text === "step 1" && reweight.stop())"""
    )
    assert end == "stopped"
    expect(page.locator("#status")).to_have_text("Stopped.")


def test_a_newer_wish_abandons_the_drawing_under_way(visit):
    page = visit("steps=3&prompt=a+drawing+that+is+abandoned")  # its own: one from the cache has no progress
    page.locator("#more > summary").click()
    at_first_progress(
        page,
        """const box = document.querySelector("#steps input[type=number]");
        box.value = 2;
        box.dispatchEvent(new InputEvent("input", { bubbles: true }));""",
    )
    number(page, "steps").fill("24")
    wait_for_query(page, "steps", "2")
    has_drawn(page)
    assert read_png(png(page, "vanilla"))["request"]["steps"] == 2


def test_columns_and_seeds_are_chosen(visit):
    page = visit("steps=2")
    page.locator("#more > summary").click()
    page.locator('[data-column="reweighted+freeu"][type=checkbox]').check()
    page.locator('[data-column="freeu"][type=checkbox]').uncheck()
    expect(picture(page, "reweighted+freeu")).to_be_visible()
    expect(picture(page, "freeu")).to_have_count(0)
    number(page, "rows").fill("2")
    number(page, "rows").press("Enter")
    expect(picture(page, "vanilla", 8)).to_be_visible()
    has_drawn(page)
    assert page.locator("#pictures figure").count() == 6
    assert read_png(png(page, "vanilla", 8))["request"]["seed"] == 8
    assert query_of(page)["rows"] == "2" and "reweighted+freeu" in query_of(page)["columns"]
    expect(page.locator('figure[data-id="vanilla 8"] .rw-seed')).to_have_text("seed 8")


def test_pairs_are_compared_side_by_side(visit):
    page = visit("steps=2")
    page.locator("#differ > summary").click()
    under, over = (page.locator(f"#image-slider .{name}") for name in ("rw-under", "rw-over"))
    expect(over).to_have_attribute("src", src(page, "vanilla"))
    expect(under).to_have_attribute("src", src(page, "reweighted"))
    page.locator("#pair-right").select_option("freeu")
    expect(under).to_have_attribute("src", src(page, "freeu"))
    page.locator("#image-slider input").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#image-slider").evaluate("e => e.style.getPropertyValue('--at')") == "51%"
    page.wait_for_function("() => document.querySelector('#difference').width > 0", polling=POLLING)


def test_a_picture_is_enlarged_within_the_window_and_downloads_have_names(visit):
    page = visit("steps=2&prompt=a+fox+in+snow", viewport={"width": 1280, "height": 720})
    picture(page, "reweighted").click()
    box = page.locator("#loupe").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 720 and box["height"] > 400
    page.keyboard.press("Escape")
    page.locator('figure[data-column="reweighted"] summary').click()
    with page.expect_download() as download:
        page.locator('figure[data-column="reweighted"] .rw-save').click()
    assert download.value.suggested_filename == "a-fox-in-snow_s7_reweighted_0.98-1.1.png"
    settings = read_png(download.value.path())
    assert settings["method"] == "reweighted" and "/" not in settings["request"]["model"]


@pytest.mark.thorough
def test_the_png_carries_its_settings(visit):
    page = visit("steps=3&low=0.95&high=1.15&seed=11&prompt=the%20blue%20cat")
    for method in METHODS:
        settings = read_png(png(page, method, 11))
        asked = settings["request"]
        assert settings["method"] == method
        assert (asked["prompt"], asked["seed"], asked["low"], asked["high"]) == ("the blue cat", 11, 0.95, 1.15)
        assert (settings["weights"] is not None) == (method == "reweighted")
