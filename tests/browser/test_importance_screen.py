"""The Importance screen in a real browser: probing, heatmaps, tables from files."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from looking import METHODS, has_drawn, number, src, wait_for_other, weights
from playwright.sync_api import expect

from reweight.engine.provenance import read_png

pytestmark = pytest.mark.browser


def test_probe_moves_its_bar_fills_the_heatmap_and_says_what_to_think_of_it(visit):
    page = visit("steps=2")
    page.get_by_role("tab", name="Importance").click()
    before = weights(page, "#heat-importance")
    assert len(before) > 0
    number(page, "runs").fill("2")
    number(page, "runs").press("Enter")
    page.evaluate(
        """() => {
          window.seen = [];
          const look = () => {
            const now = document.querySelector('#probe-progress [role=progressbar]')?.ariaValueNow;
            if (now != null && +now !== window.seen.at(-1)) window.seen.push(+now);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    page.locator("#probe").click()
    page.wait_for_function("() => document.querySelector('#probe-progress').textContent.includes('Done:')")
    seen = page.evaluate("() => window.seen")
    assert len(seen) > 3 and seen == sorted(seen) and seen[-1] == 100
    assert weights(page, "#heat-importance") != before
    expect(page.locator("#findings")).to_contain_text("Kendall's tau-b")
    expect(page.locator("#findings")).to_contain_text("2 runs voted")
    page.locator("#heat-importance .rw-cell[data-row='1'][data-column='0']").click()
    expect(page.locator("#heat-importance .rw-note")).to_contain_text("95% interval")
    line = page.locator("#heat-importance .rw-interval").first
    expect(line).to_be_hidden()
    page.locator("#intervals input").check()
    expect(line).to_have_css("display", "inline")
    page.locator("#intervals input").uncheck()
    expect(line).to_be_hidden()
    written = page.locator("#heat-importance .rw-number").first
    expect(written).to_be_visible()
    page.locator("#numbers input").uncheck()
    expect(written).to_be_hidden()
    has_drawn(page)
    expect(page.locator("#status")).to_contain_text("probed for this prompt just now (paper-code)")
    expect(page.locator("#findings")).to_contain_text("Kendall's tau-b")
    with page.expect_download() as download:
        page.locator("#save-table").click()
    assert download.value.suggested_filename == "importance.json"
    with page.expect_download() as download:
        page.locator("#save-figure").click()
    assert download.value.suggested_filename == "importance.png"


def test_stopping_a_probe_keeps_what_is_done(visit):
    page = visit("steps=2")
    page.get_by_role("tab", name="Importance").click()
    before, drawn = weights(page, "#heat-importance"), src(page, "reweighted")
    number(page, "runs").fill("30")
    number(page, "runs").press("Enter")
    page.locator("#probe").click()
    page.wait_for_function("() => document.querySelector('#probe-progress').textContent.includes('1 runs have voted')")
    page.locator("#probe-stop").click()
    expect(page.locator("#probe-progress")).to_have_text("Stopped; what was done is kept.", use_inner_text=True)
    page.wait_for_timeout(1000)
    expect(page.locator("#probe-progress")).to_have_text("Stopped; what was done is kept.", use_inner_text=True)
    assert weights(page, "#heat-importance") != before
    expect(page.locator("#findings")).to_contain_text("voted")
    page.get_by_role("tab", name="Compare").click()
    wait_for_other(page, "reweighted", drawn)
    has_drawn(page)
    expect(page.locator("#status")).to_contain_text("probed for this prompt")


def test_cells_explain_themselves_to_mouse_and_keyboard(visit):
    page = visit()
    note = page.locator("#heat-weights .rw-note")
    page.locator("#heat-weights .rw-cell[data-row='2'][data-column='1']").click()
    expect(note).to_contain_text("Block 2, step 2 of 3: score")
    assert re.search(r"weight \d\.\d{3}\.", note.text_content())
    first = page.locator("#heat-weights .rw-cell[data-row='0'][data-column='0']")
    first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")  # the edge
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(note).to_contain_text("Block 1, step 3 of 3: score")
    assert page.locator("#heat-weights .rw-cell[tabindex='0']").count() == 1
    before = page.locator("#heat-weights .rw-chosen .rw-number").text_content()
    number(page, "high").fill("1.25")
    number(page, "high").press("Enter")
    expect(page.locator("#heat-weights .rw-chosen .rw-number")).not_to_have_text(before)
    shown = page.locator("#heat-weights .rw-chosen .rw-number").text_content()
    assert re.search(r"weight (\d\.\d{3})\.", note.text_content()).group(1).startswith(shown[:3])


def test_a_note_tells_the_score_that_its_cell_shows(visit):
    page = visit("steps=2&schedule=inverted")
    page.get_by_role("tab", name="Importance").click()
    cell = page.locator("#heat-importance .rw-cell[data-row='6'][data-column='1']")
    cell.click()
    score = cell.locator(".rw-number").text_content()
    assert score != "0.50"
    expect(page.locator("#heat-importance .rw-note")).to_contain_text(f"Block 6, step 2 of 2: score {score},")


def test_a_prompt_is_never_run(visit):
    evil = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>${window.evil=1}{{evil}}'
    page = visit(f"steps=2&prompt={quote(evil)}")
    assert page.locator("#prompt textarea").input_value() == evil
    page.get_by_role("tab", name="Importance").click()
    number(page, "runs").fill("1")
    number(page, "runs").press("Enter")
    page.locator("#probe").click()
    page.wait_for_function("() => document.querySelector('#probe-progress').textContent.includes('Done:')")
    expect(page.locator("#probe-progress")).to_contain_text("<img src=x")
    has_drawn(page)
    assert page.evaluate("() => window.evil") is None
    assert page.locator("img[src='x']").count() == 0


def test_a_table_from_a_file_serves_and_its_text_is_never_run(visit, tmp_path):
    page = visit("steps=2")
    page.get_by_role("tab", name="Importance").click()
    number(page, "runs").fill("1")
    number(page, "runs").press("Enter")
    page.locator("#probe").click()
    page.wait_for_function("() => document.querySelector('#probe-progress').textContent.includes('Done:')")
    with page.expect_download() as download:
        page.locator("#save-table").click()
    text = download.value.path().read_text(encoding="utf-8")
    prompt = re.search(r'"prompt": "([^"]*)"', text).group(1)
    (tmp_path / "table.json").write_text(text.replace(prompt, "<img src=x onerror='window.evil=1'>"), encoding="utf-8")
    (tmp_path / "bad.json").write_text('{"format": "reweight-importance-1"}', encoding="utf-8")
    other = json.loads(text)
    other["blocks"] = [f"x{label}" for label in other["blocks"]]
    (tmp_path / "other.json").write_text(json.dumps(other), encoding="utf-8")

    refused = {"bad.json": "an importance table", "other.json": "blocks x"}
    for name in (*refused, "table.json"):
        with page.expect_file_chooser() as chooser:
            page.locator("#load-table").click()
        chooser.value.set_files(tmp_path / name)
        if name in refused:
            expect(page.locator("[data-testid=toast-body]", has_text=refused[name])).to_be_visible()
    expect(page.locator("#heat-importance .rw-source")).to_contain_text("loaded from a file, probed on “<img src=x")
    has_drawn(page)
    assert page.evaluate("() => window.evil") is None

    expect(page.locator("#status")).to_contain_text("loaded from a file")
    shas = {method: read_png(page.request.get(src(page, method)).body())["table_sha256"] for method in METHODS}
    assert shas["reweighted"] and not shas["vanilla"] and not shas["freeu"]
