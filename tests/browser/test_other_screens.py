"""Importance, Ablate and Watch in a real browser."""

from __future__ import annotations

import csv
import json
import re
from itertools import chain

import pytest
from looking import POLLING, block, cell, has_drawn, number, query_of, wait_for_query
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_the_verdict_comes_first_and_a_probe_fills_the_heatmap(visit, tmp_path):
    page = visit("steps=2")
    page.get_by_role("tab", name="Importance").click()
    titles = page.locator("#rankings h3")
    expect(titles).to_have_text(["Empirical, no probe", "The direct check"])  # nothing was probed with this model
    expect(page.locator("#verdict")).to_contain_text("the direct check")
    before = page.locator("#rankings section").first.locator(".rw-number").all_text_contents()
    page.locator("#preset").get_by_text("calibrated").click()
    expect(page.locator("#probe-note")).to_have_text("After that, the weights follow our calibrated probe.")
    page.locator("#preset").get_by_text("paper's code").click()
    expect(page.locator("#probe-note")).to_have_text("")
    page.locator("#runs").fill("2")
    page.locator("#probe").click()
    page.wait_for_function(
        "() => document.querySelector('#findings').textContent.includes('2 runs voted')", polling=POLLING
    )
    expect(titles).to_have_text(["The paper's probe", "The direct check"])
    papers = page.locator("#rankings section").first.locator(".rw-number").all_text_contents()
    assert papers != before
    page.locator("#rankings section").first.locator(".rw-cell").nth(3).click()
    expect(page.locator("#cell-note")).to_contain_text("step 2 of 2: score")
    expect(page.locator("#definition")).to_contain_text("Direct check: each block is switched off at one step")
    page.locator("#numbers > summary").click()
    table = page.locator("#frame table").first
    expect(table.locator("tbody tr")).to_have_count(2)
    assert table.locator("thead th").nth(1).text_content().startswith("Encoder")
    with page.expect_download() as download:
        page.locator("#save-table").click()
    saved = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert saved["runs"] == 2
    with page.expect_download() as download:
        page.locator("#save-csv").click()
    numbers = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
    with page.expect_download() as download:
        page.locator("#rankings .rw-chart-tools").first.get_by_role("button", name="CSV").click()
    chart = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
    low, high = ([*chain(*saved["diagnostics"][f"interval_{end}"])] for end in ("low", "high"))
    assert [float(row["score_low_95"]) for row in numbers] == pytest.approx(low, abs=1e-3)
    assert {(row["step"], row["block"]): float(row["score_high_95"]) for row in chart} == {
        (row["step"], row["block"]): pytest.approx(end, abs=1e-3) for row, end in zip(numbers, high, strict=True)
    }
    with page.expect_download() as download:
        page.locator("#rankings .rw-chart-tools").first.get_by_role("button", name="SVG").click()
    figure = download.value.path().read_text(encoding="utf-8")
    assert download.value.suggested_filename == "importance-paper.svg" and "weights from" not in figure
    assert "95% interval" in figure and "importance score" in figure and "DDIM" in figure and "oklab" not in figure
    saved["blocks"] = [f"x{label}" for label in saved["blocks"]]
    (tmp_path / "other.json").write_text(json.dumps(saved), encoding="utf-8")
    page.locator("#table-file").set_input_files(tmp_path / "other.json")
    expect(page.locator("#status")).to_contain_text("choose those, or load another")
    page.locator("#preset").get_by_text("calibrated").click()
    page.locator("#probe").click()
    wait_for_query(page, "schedule", "calibrated")
    expect(titles).to_have_text(["The paper's probe", "Calibrated (ours)", "The direct check"])
    page.wait_for_function(
        "() => document.querySelector('#verdict').textContent.includes('our calibrated probe')", polling=POLLING
    )
    assert page.locator("#rankings section").first.locator(".rw-number").all_text_contents() == papers
    page.locator(".rw-use:not([disabled])").click()
    wait_for_query(page, "schedule", None)


@pytest.mark.thorough
def test_the_left_stop_stops_a_probe_and_what_was_done_is_kept(visit):
    page = visit("steps=3")
    page.get_by_role("tab", name="Importance").click()
    page.locator("#runs").fill("30")
    page.locator("#probe").click()
    page.wait_for_function("() => document.querySelector('#status').textContent.includes('finished')", polling=POLLING)
    page.locator("#stop").click()
    page.wait_for_timeout(800)
    assert "Probing" not in page.locator("#status").text_content()


def test_the_grid_of_ablations_and_a_click_that_paints_one(visit):
    page = visit("steps=2")
    page.evaluate(
        """() => { window.told = new Set(); const place = document.body;
          new MutationObserver(() => told.add(document.querySelector('#ablate-cost')?.textContent)).observe(place, { subtree: true, childList: true }); }"""
    )
    page.get_by_role("tab", name="Ablate").click()
    page.wait_for_function("() => document.querySelectorAll('.rw-without img[src]').length === 21", polling=POLLING)
    told = page.evaluate("() => [...told]")
    assert {"Drawing: 0 of 21 pictures", "Drawing: 7 of 21 pictures"} <= set(told)
    one = page.locator('.rw-without[data-row="5"][data-column="2"]')
    one.hover()
    expect(page.locator("#ablate-says")).to_contain_text(re.compile(r"at all steps: .*changed"))
    assert page.locator("#ablate-vanilla").get_attribute("src")
    one.click()
    expect(block(page, 5)).to_contain_text("off")
    expect(cell(page, 5, 1)).to_have_text("off")
    page.locator("#prune > summary").click()
    page.locator("#prune-start").click()
    expect(page.locator("#prune-chart polyline")).to_have_count(
        2
    )  # without a probe there are a static and a random ranking
    with page.expect_download() as download:
        page.locator("#prune-chart + .rw-chart-tools").get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2 * 6 and {(row["low_95"], row["high_95"], row["n"]) for row in rows} == {("", "", "1")}


def test_what_takes_long_says_what_it_costs_and_waits_to_be_asked(visit):
    page = visit("steps=12", viewport={"width": 1280, "height": 720})
    asked = []
    page.on("request", lambda request: asked.append(request.url.partition("/reweight/")[2]))
    page.get_by_role("tab", name="Ablate").click()
    expect(page.locator("#ablate-cost")).to_contain_text("91 pictures of 12 steps")
    expect(page.locator(".rw-without")).to_have_count(7 * 13)
    names = page.locator("#ablations .rw-top").all_text_contents()
    assert names[:2] == ["all steps", "1"] and names[-1] == "12"
    grid, last = page.locator("#ablations").bounding_box(), page.locator("#ablations .rw-top").last.bounding_box()
    beside = page.locator("#ablate-large").bounding_box()
    assert last["x"] + last["width"] <= grid["x"] + grid["width"] + 1
    assert grid["x"] + grid["width"] <= beside["x"] and beside["x"] + beside["width"] <= 1280
    page.get_by_role("tab", name="Importance").click()
    expect(page.locator("#direct")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("Not compared with the direct check yet")
    assert "ablate/grid" not in asked and "importance/direct" not in asked


@pytest.mark.thorough
def test_what_was_asked_for_is_checked_directly(visit):
    page = visit("steps=8")
    page.get_by_role("tab", name="Importance").click()
    page.locator("#direct").click()
    expect(page.locator("#verdict")).to_contain_text("tau-b")


def test_the_film_is_scrubbed_and_does_not_play_for_those_who_want_no_motion(visit):
    page = visit("steps=4")
    page.get_by_role("tab", name="Watch").click()
    page.wait_for_function(
        "() => document.querySelector('#watch-says').textContent === 'step 1 of 4' && !document.querySelector('#status .rw-bar')",
        polling=POLLING,
    )
    expect(page.locator("#watch-play")).to_have_text("Play")
    expect(page.locator("#watch-drawn")).to_have_text("")  # it is the drawing that Compare shows
    before = page.locator("#films img").first.get_attribute("src")
    page.locator("#watch-step").fill("3")
    expect(page.locator("#watch-says")).to_have_text("step 3 of 4")
    assert page.locator("#films img").first.get_attribute("src") != before
    expect(page.locator("#heat-weights .rw-now")).to_contain_text("step 3")
    page.locator("#watch-play").click()
    expect(page.locator("#watch-play")).to_have_text("Pause")
    page.wait_for_function("() => document.querySelector('#watch-says').textContent !== 'step 3 of 4'", polling=POLLING)
    page.locator("#watch-play").click()


@pytest.mark.thorough
def test_previews_and_other_screens_leave_the_pictures_as_they_are(visit):
    from looking import png

    page = visit("steps=4")
    first = png(page, "vanilla")
    page.get_by_role("tab", name="Watch").click()
    page.wait_for_function("() => document.querySelector('#watch-says').textContent.includes('of 4')", polling=POLLING)
    fresh = visit("steps=4")
    assert png(fresh, "vanilla") == first
    assert query_of(fresh)["steps"] == "4"
    number(page, "seed").fill("9")
    number(page, "seed").press("Enter")
    has_drawn(page)
