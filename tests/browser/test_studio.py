"""Sweep, Edit, History and Learn in a real browser; and every screen as axe-core sees it."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import POLLING, has_drawn, in_colours, png, src, wait_for_other
from PIL import Image
from playwright.sync_api import Page, expect

from reweight.engine.provenance import read_png
from reweight.engine.resolving import EXAMPLES

pytestmark = pytest.mark.browser
SCREENS = ("Compare", "Importance", "Ablate", "Watch", "Sweep", "Edit", "History", "Learn")


def screen(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_function("(name) => window.reweight.screen === name", arg=name, polling=POLLING)


def saved(page: Page, button: str) -> bytes:
    """What a button saves."""
    with page.expect_download() as download:
        page.locator(button).click()
    return Path(download.value.path()).read_bytes()


def swept(page: Page, across: tuple[str, str], down: tuple[str, str]) -> None:
    """Draw a grid."""
    screen(page, "Sweep")
    expect(page.locator("#sweep-cost")).to_contain_text("pictures")
    for side, (name, values) in (("across", across), ("down", down)):
        page.locator(f"#sweep-{side}").select_option(name)
        page.locator(f"#sweep-{side}-values").fill(values)
    page.locator("#sweep-draw").click()
    page.wait_for_function("() => document.querySelector('#sweep-result').dataset.seconds", polling=POLLING)


def test_a_sweep_is_drawn_taken_away_and_brought_to_the_page(visit):
    page = visit("steps=2")
    swept(page, ("low", "0.5, 1.4"), ("high", "1.2, 1.5"))
    expect(page.locator("#sweep-grid img")).to_have_count(3)
    expect(page.locator("#sweep-grid .rw-impossible")).to_contain_text("swap them")
    with zipfile.ZipFile(io.BytesIO(saved(page, "#sweep-zip"))) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        files = [name for name in archive.namelist() if name.endswith(".png")]
        assert len(files) == len(manifest["pictures"]) == 3
        for told in manifest["pictures"]:
            asked = read_png(archive.read(told["file"]))["request"]
            assert (asked["low"], asked["high"]) == (told["changes"]["low"], told["changes"]["high"])
    lines = saved(page, "#sweep-csv").decode().splitlines()
    assert lines[0].startswith("file,low,high,ssim_with_vanilla") and len(lines) == 4
    assert saved(page, "#sweep-png").startswith(b"\x89PNG")
    before = page.evaluate("() => window.reweight.settings.low")
    page.locator("#sweep-grid td[data-at='1 0'] button").click()
    assert before != 0.5 and page.evaluate("() => [reweight.settings.low, reweight.settings.high]") == [0.5, 1.5]
    page.wait_for_function("() => new URLSearchParams(location.search).get('low') === '0.5'", polling=POLLING)
    page.locator("#sweep-draw").click()  # drawn already
    expect(page.locator("#sweep-cost")).to_contain_text("nothing left to draw")
    page.locator("#batch summary").click()
    page.locator("#batch-prompts").fill("a red cat")
    page.locator("#batch-seeds").fill("4")
    expect(page.locator("#batch-cost")).to_contain_text("3 pictures")
    with zipfile.ZipFile(io.BytesIO(saved(page, "#batch-draw"))) as archive:
        names = [f"a-red-cat_s4_{column}.png" for column in ("vanilla", "reweighted", "freeu")]
        assert archive.testzip() is None and archive.namelist() == [*names, "pictures.csv", "manifest.json"]


def test_a_saved_picture_brings_its_settings_back_and_history_does_too(visit, tmp_path):
    page = visit("steps=2&low=0.6")
    first = src(page, "reweighted")
    (tmp_path / "picture.png").write_bytes(png(page, "reweighted"))
    page.evaluate("() => window.reweight.paint(5, null, 'off')")
    wait_for_other(page, "reweighted", first)
    has_drawn(page)
    page.evaluate("() => window.reweight.set({ low: 1, seed: 3, painted: null })")
    page.wait_for_function("() => new URLSearchParams(location.search).get('seed') === '3'", polling=POLLING)
    screen(page, "History")
    page.locator("#history-file").set_input_files(tmp_path / "picture.png")
    expect(page.locator("#status")).to_contain_text("Restored")
    assert page.evaluate("() => [reweight.settings.low, reweight.settings.seed]") == [0.6, 7]
    painted = page.locator("#history-strip button", has_text="painted").first
    assert painted.locator(".rw-made span").all_text_contents() == [
        EXAMPLES[0],
        "painted · seed 7",
        "tiny-sd, 2 steps",
    ]
    painted.click()
    page.wait_for_function("() => window.reweight.settings.painted?.[0][5] === 'off'", polling=POLLING)
    page.locator("#history-script").click()
    expect(page.locator("#history-text pre")).to_contain_text("reweighted(pipe, weights, bypass=off)")
    (tmp_path / "no.png").write_bytes(b"no picture")
    page.locator("#history-file").set_input_files(tmp_path / "no.png")
    expect(page.locator("#status")).to_contain_text("choose a picture that was saved here")


def pixels(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB").tobytes()


def test_a_picture_is_edited_and_the_file_brings_everything_back(visit, tmp_path):
    page = visit("steps=4")
    screen(page, "Edit")
    page.locator("#edit-vanilla").click()
    expect(page.locator("#edit-steps")).to_contain_text("Steps 3 to 4 of 4 run")
    expect(page.locator("#edit-pictures .rw-save")).to_have_count(3)
    edited = saved(page, "[data-edited='reweighted'] .rw-save")
    assert "reweight-edit" in Image.open(io.BytesIO(edited)).text
    page.locator("#edit-strength-range").fill("0.1")
    expect(page.locator("#status")).to_contain_text("no step is left to run")
    (tmp_path / "edited.png").write_bytes(edited)
    page.evaluate("() => { reweight.set({ seed: 3 }); document.querySelector('#edit-pictures').replaceChildren(); }")
    screen(page, "History")
    page.locator("#history-file").set_input_files(tmp_path / "edited.png")
    page.wait_for_function(
        "() => window.reweight.screen === 'Edit' && window.reweight.settings.seed === 7", polling=POLLING
    )
    expect(page.locator("#edit-strength-says")).to_have_text("0.60")
    expect(page.locator("#edit-pictures .rw-save")).to_have_count(3)
    assert pixels(saved(page, "[data-edited='reweighted'] .rw-save")) == pixels(edited)


@pytest.mark.thorough
def test_an_examples_pictures_are_there_before_the_model_is_asked(visit):
    page = visit("model=toy-turbo", drawn=False)
    held = []
    page.route("**/reweight/compare/draw", lambda route: held.append(route))
    with page.expect_request("**/reweight/compare/draw"):
        page.reload()
    expect(page.locator(".rw-precomputed img")).to_have_count(3)
    expect(page.locator("#status")).to_contain_text("Precomputed")
    expect(page.locator("figure[data-column='freeu'] .rw-change")).to_contain_text("vs. vanilla")
    before = png(page, "vanilla")
    while not held:
        page.wait_for_timeout(20)
    held[-1].continue_()
    page.unroute("**/reweight/compare/draw")
    expect(page.locator(".rw-precomputed")).to_have_count(0)
    expect(page.locator("#status")).not_to_contain_text("Precomputed")
    assert read_png(png(page, "vanilla"))["request"] == read_png(before)["request"]


def test_charts_and_the_slide_are_taken_along(visit):
    page = visit("steps=2")
    page.locator("#take-along summary").click()
    lines = page.locator("#take-along .rw-chart-tools")

    def chart(tools, kind: str) -> bytes:
        with page.expect_download() as download:
            tools.get_by_role("button", name=kind).click()
        return Path(download.value.path()).read_bytes()

    slide = chart(lines.first, "PNG")
    with Image.open(io.BytesIO(slide)) as image:
        assert image.size == (1920, 1080) and EXAMPLES[0] in image.text["reweight-page"]
    svg = ElementTree.fromstring(chart(lines.first, "SVG").decode())
    told = " ".join(svg.itertext())
    assert f"“{EXAMPLES[0]}”" in told and "seed 7" in told and "made with reweight" in told
    assert [one.get("href")[:10] for one in svg.iter("{http://www.w3.org/2000/svg}image")] == ["data:image"] * 3
    weights = chart(lines.nth(1), "CSV").decode().splitlines()
    assert weights[0].startswith("step,block,weight,model,prompt,seed,steps,") and len(weights) == 1 + 2 * 7
    screen(page, "Importance")
    expect(page.locator("#rankings .rw-chart-tools")).to_have_count(2)
    ElementTree.fromstring(chart(page.locator("#rankings .rw-chart-tools").first, "SVG").decode())
    direct = chart(page.locator("#rankings .rw-chart-tools").last, "CSV").decode().splitlines()
    assert direct[0].startswith("step,block,mean_squared_error,low_95,high_95,n,model,prompt,method,seed,")
    assert len(direct) == 1 + 2 * 7 and ",,,1," in direct[1] and ",direct check," in direct[1]
    scores = chart(page.locator("#rankings .rw-chart-tools").first, "CSV").decode().splitlines()
    assert ",score,score_low_95,score_high_95," in scores[0] and scores[0].endswith(
        ",tau_b_mean_over_steps,p,prompts,noises"
    )
    assert ",empirical," in scores[1], "nothing was probed with this model"
    figure = chart(page.locator("#rankings .rw-chart-tools").first, "SVG").decode()
    assert "importance score" in figure and "weights from" not in figure and "oklab" not in figure
    assert chart(page.locator("#ranks + .rw-chart-tools"), "PNG").startswith(b"\x89PNG")
    assert chart(page.locator("#curves .rw-chart-tools"), "CSV").decode().splitlines() == weights
    assert (
        chart(page.locator("#ranks + .rw-chart-tools"), "CSV")
        .decode()
        .startswith("step,block,rank,score,score_low_95,")
    )
    screen(page, "Ablate")
    page.wait_for_function(
        "() => document.querySelectorAll('.rw-without:not(:disabled)').length === 21", polling=POLLING
    )
    ablated = list(csv.DictReader(chart(page.locator("#ablate-tools"), "CSV").decode().splitlines()))
    assert [(row["low_95"], row["high_95"], row["n"]) for row in ablated] == [("", "", "1")] * 21
    ElementTree.fromstring(chart(page.locator("#ablate-tools"), "SVG").decode())


def test_a_lesson_is_played_to_its_end(visit):
    """From its own model, steps and weights, whatever was open; a block is off where the question says; all is given back."""
    page = visit("steps=3&low=0.7&seed=5")
    page.locator("[name=rw-at]").nth(3).check(force=True)
    first = page.locator("#unet .rw-hint")
    expect(first).to_have_count(1)
    screen(page, "Learn")
    page.locator(".rw-lesson button").first.click()
    card, on = page.locator("#lesson"), page.locator(".rw-lesson-next")
    expect(card).to_contain_text("1 of 4")
    page.wait_for_function(
        """() => { const { model, steps, low, high, seed } = reweight.settings;
             return JSON.stringify([model, steps, low, high, seed, reweight.table.at]) === '["toy-turbo",2,1,1,7,null]'; }""",
        polling=POLLING,
    )
    has_drawn(page)
    expect(page.locator("#said")).to_contain_text("Every weight is 1: Re-weighted is the same as Vanilla.")
    on.click()
    expect(on).to_be_disabled()
    expect(page.locator("#tries")).to_be_hidden()
    assert first.locator("rect").evaluate_all(
        "(all) => all.every((one) => parseFloat(getComputedStyle(one).strokeWidth) === 1)"
    )
    card.get_by_text("the middle one", exact=True).click()
    card.get_by_role("button", name="See").click()
    expect(card).to_contain_text("The last one.")
    on.click()
    has_drawn(page)
    page.evaluate("() => reweight.paint(6, 1, 'off')")
    expect(card).to_contain_text("is off at step 2; this card is about every step.")
    expect(on).to_be_disabled()
    card.get_by_role("button", name="Set this card up again").click()
    page.wait_for_function("() => !reweight.settings.painted && reweight.table.at === null", polling=POLLING)
    has_drawn(page)
    for block in (6, 3):
        expect(page.locator(f"#unet .rw-block[data-block='{block}'].rw-marked")).to_have_count(1)
        expect(on).to_be_disabled()
        page.locator(f"#unet .rw-block[data-block='{block}']").press("Enter")
        assert page.evaluate("() => document.querySelector('#lesson').dataset.state") == "open"  # no picture yet
        expect(on).to_be_enabled()
        on.click()
    expect(card).to_contain_text("What a block is ✓")
    expect(card).to_contain_text("most pictures here need the last block of the decoder")
    expect(card).to_contain_text("1 of 8 lessons done. Next: Coarse to fine.")
    card.get_by_role("button", name="Back to the page").click()
    expect(card).to_have_count(0)
    page.wait_for_function(
        "() => { const { steps, low, seed } = reweight.settings; return steps === 3 && low === 0.7 && seed === 5; }"
    )
    assert page.evaluate("() => reweight.model") != "toy-turbo"
    screen(page, "Learn")
    expect(page.locator(".rw-lesson").first).to_contain_text("done ✓")


def test_an_address_opens_a_lesson_whose_card_covers_nothing_it_is_about(visit):
    page = visit("model=toy-turbo&lesson=low-and-high", drawn=False)
    covered = """() => { const card = document.querySelector('#lesson').getBoundingClientRect();
      return ['#pictures', '#unet', '#heat-weights', '#ask'].filter((one) => { const { left, right, top, bottom } = document.querySelector(one).getBoundingClientRect();
        return left < card.right && right > card.left && top < card.bottom && bottom > card.top; }); }"""
    expect(page.locator("#lesson")).to_contain_text("Low and high")
    has_drawn(page)
    assert page.evaluate(covered) == ["#ask"]
    for _ in range(2):
        page.locator(".rw-lesson-skip, .rw-lesson-next").first.click()
    expect(page.locator("#lesson")).to_contain_text("3 of 5")
    assert "#ask" not in page.evaluate(covered)  # it is about a slider there


@pytest.mark.thorough
def test_the_parabolas_numbers_have_intervals(visit):
    page = visit("steps=1")
    screen(page, "Learn")
    page.evaluate("() => document.querySelector('#lessons').replaceWith(reweight.parabola())")
    page.get_by_role("button", name="Measure it").click()
    page.locator(".rw-minima li").first.wait_for()
    with page.expect_download() as download:
        page.locator(".rw-chart-tools").get_by_role("button", name="save parabola as CSV").click()
    rows = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 7 * 5 and {row["pictures"] for row in rows} == {"6"}
    for row in rows:
        low, error, high = (float(row[name]) for name in ("low_95", "error_relative_to_weight_1", "high_95"))
        assert low <= error <= high and (row["weight"] != "1" or low == high == 0)


def test_what_a_card_is_about_is_brought_into_view(visit):
    page = visit("steps=1", viewport={"width": 1280, "height": 500})
    page.evaluate("() => window.reweight.lesson('tune-the-weights')")
    for n in (1, 2):
        expect(page.locator("#lesson")).to_contain_text(f"{n} of 5")
        page.locator(".rw-lesson-skip").click()
    expect(page.locator("#tune")).to_be_in_viewport(timeout=30_000)
    page.evaluate(
        "() => document.querySelector('#importance, main').before(Object.assign(document.createElement('div'), {style: 'height: 900px'}))"
    )
    page.wait_for_function(
        "() => { const { top } = document.querySelector('#tune').getBoundingClientRect(); return top > 0 && top < innerHeight; }"
    )


def test_a_class_gets_a_sheet_of_what_the_lessons_ask(visit):
    page = visit("steps=2")
    screen(page, "Learn")
    page.evaluate("() => { window.reweight.toPrinter = () => {}; }")  # whose dialogue would wait for a person
    page.locator("#sheet summary").click()
    expect(page.locator("#sheet-lessons input:checked")).to_have_count(8)
    page.locator("#lesson-sheet").click()
    sheet = page.frame_locator("#class-sheet").locator("body")
    expect(sheet.locator("section")).to_have_count(9)  # the U-Net to fill in comes first
    expect(sheet.locator("section").first.locator("tr")).to_have_count(8)
    expect(sheet).to_contain_text("Which one changes the picture most?")
    expect(sheet.locator("section").nth(1).locator("li")).to_have_count(3)
    expect(sheet).not_to_contain_text("SSIM")  # which the answers tell
    for box in page.locator("#sheet-lessons input").all()[1:]:
        box.uncheck()
    page.locator("#lesson-answers").click()
    expect(sheet.locator("section")).to_have_count(1)
    expect(sheet.locator("li.right")).to_have_text("the last of the decoder")
    expect(sheet).to_contain_text("SSIM")


def test_presenting_leaves_no_small_type_and_comes_back(visit):
    page = visit("steps=2")
    page.locator("#present").click()
    expect(page.locator("#ask")).to_be_hidden()
    small = page.evaluate(
        """() => [...document.querySelectorAll('.rw-main *')].filter((one) => one.offsetParent !== null || one.ownerSVGElement)
             .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) && one.getBoundingClientRect().width)
             .map((one) => [one.textContent, parseFloat(getComputedStyle(one).fontSize) * (one.currentCSSZoom ?? 1)])
             .filter(([, size]) => size < 16)"""
    )
    assert small == []
    page.keyboard.press("Escape")
    expect(page.locator("#ask")).to_be_visible()


READY = {  # what each screen shows once it has been filled
    "Compare": "#said", "Importance": "#ranks svg", "Ablate": ".rw-without img[src]", "Watch": "#films img[src]",
    "Sweep": "#sweep-grid img[src]", "Edit": "#edit-vanilla", "History": "#history-strip button", "Learn": "#lesson",
}  # fmt: skip
OF_COLOURS = ("color-contrast", "link-in-text-block")


@pytest.mark.parametrize(
    ("scheme", "rules"),
    [
        ("light", {}),
        pytest.param("dark", {"runOnly": OF_COLOURS}, marks=pytest.mark.thorough),
    ],  # the others know of none
)
def test_no_screen_has_a_serious_finding(visit, scheme, rules):
    page = visit("steps=2", color_scheme=scheme)
    page.evaluate(Axe().axe_script)
    found = {}
    for name in SCREENS:
        screen(page, name)
        if name == "Sweep":
            swept(page, ("low", "0.5, 1"), ("seed", "1, 2"))
            expect(page.locator("#sweep-title")).to_have_text(
                f"low × seed: “{EXAMPLES[0]}”"
            )  # each row has its own seed
        if name == "Learn":
            page.locator(".rw-lesson button").first.click()
        expect(page.locator(READY[name]).first).to_be_visible()
        page.wait_for_function("() => !document.querySelector('#status .rw-bar')", polling=POLLING)
        in_colours(page, scheme)
        if wrong := page.evaluate(
            """async (options) => (await axe.run(options)).violations
                 .filter(({ impact }) => ["serious", "critical"].includes(impact)).map(({ id }) => id)""",
            {"resultTypes": ["violations"], **rules},
        ):
            found[name] = wrong
    assert found == {}
