"""The page in a real browser, as a visitor uses it."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlsplit

import pytest
from looking import METHODS, contrast, drag, has_drawn, number, query_of, src, wait_for_other, weights
from playwright.sync_api import expect

from reweight.models import ASSETS
from reweight.provenance import read_png
from reweight.tables import EXAMPLES

pytestmark = pytest.mark.browser


def test_three_pictures_captions_and_nothing_below_the_fold(visit):
    page = visit()
    for method in METHODS:
        expect(page.locator(f"#caption-{method} b")).to_be_visible()
    for selector in ("#prompt", "#low", "#high", "#generate", *(f"#image-{method}" for method in METHODS)):
        box = page.locator(selector).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900, selector
    heat = page.locator("#heat-weights svg").bounding_box()
    assert (900 - heat["y"]) / heat["height"] > 0.8
    expect(page.locator("footer")).to_contain_text("Use via API")


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
@pytest.mark.parametrize("control", ["low", "high"])
def test_a_slider_repaints_at_once_and_then_draws_only_the_reweighted_picture(visit, control, by):
    page = visit()
    before = {method: src(page, method) for method in METHODS}
    shown, value = weights(page), number(page, control).input_value()
    held, holding = [], True
    page.route(re.compile("queue/join"), lambda route: held.append(route) if holding else route.continue_())
    if by == "mouse":
        drag(page, control, 0.1 if control == "low" else 0.9)
    else:
        page.locator(f"#{control} input[type=range]").focus()
        for _ in range(4):
            page.keyboard.press("ArrowLeft" if control == "low" else "ArrowRight")
    page.wait_for_function(
        "(shown) => [...document.querySelectorAll('#heat-weights .rw-number')].some((n, i) => n.textContent !== shown[i])",
        arg=shown,
    )
    assert number(page, control).input_value() != value
    assert {method: src(page, method) for method in METHODS} == before  # the server knows nothing yet
    page.wait_for_timeout(300)
    assert held
    holding = False
    for route in held:
        route.continue_()
    wait_for_other(page, "reweighted", before["reweighted"])
    has_drawn(page)
    after = {method: src(page, method) for method in METHODS}
    assert after["vanilla"] == before["vanilla"] and after["freeu"] == before["freeu"]
    page.wait_for_function(
        "([key, value]) => new URLSearchParams(location.search).get(key) === value",
        arg=[control, number(page, control).input_value()],
    )


def test_the_page_paints_what_the_server_would(visit):
    page = visit()
    drag(page, "low", 0.1)
    page.wait_for_function(
        "() => { const low = new URLSearchParams(location.search).get('low');"
        " return low < 0.9 && +low === +document.querySelector('#low input[type=number]').value; }"
    )
    has_drawn(page)
    painted = weights(page)
    lines = page.locator("#curves polyline").evaluate_all(
        "all => all.map(l => [...l.points].map(p => Math.round(p.y)))"
    )
    fresh = visit(urlsplit(page.url).query)
    assert weights(fresh) == painted
    again = fresh.locator("#curves polyline").evaluate_all(
        "all => all.map(l => [...l.points].map(p => Math.round(p.y)))"
    )
    assert all(
        abs(a - b) <= 1 for line, other in zip(again, lines, strict=True) for a, b in zip(line, other, strict=True)
    )


def test_low_stays_below_high(visit):
    page = visit()
    drag(page, "low", 0.9)
    expect(number(page, "high")).to_have_value(number(page, "low").input_value())
    assert float(number(page, "low").input_value()) > 1.1
    drag(page, "high", 0.2)
    expect(number(page, "low")).to_have_value(number(page, "high").input_value())
    assert float(number(page, "high").input_value()) < 1


def test_weights_of_one_give_vanilla(visit):
    page = visit("steps=3&low=1&high=1")
    expect(page.locator("#caption-reweighted")).to_contain_text("identical to vanilla")
    assert set(weights(page)) == {"1.00"}


def test_stop_stops_a_generation(visit):
    page = visit()
    before = {method: src(page, method) for method in METHODS}
    page.locator("#more button").first.click()
    number(page, "steps").fill("50")
    number(page, "steps").press("Enter")
    page.locator("#generate").click()
    page.locator("#status [role=progressbar]").wait_for()
    page.wait_for_function("() => +document.querySelector('#status [role=progressbar]')?.ariaValueNow > 0")
    page.locator("#stop").click()
    expect(page.locator("#status")).to_have_text("Stopped.", use_inner_text=True)
    page.wait_for_timeout(1500)
    expect(page.locator("#status")).to_have_text("Stopped.", use_inner_text=True)
    assert src(page, "freeu") == before["freeu"]
    number(page, "steps").fill("3")
    number(page, "steps").press("Enter")
    page.locator("#generate").click()
    has_drawn(page)


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
    has_drawn(page)
    expect(page.locator("#status")).to_contain_text("probed for this prompt, just now")
    with page.expect_download() as download:
        page.locator("#save-table").click()
    assert download.value.suggested_filename == "importance.json"
    with page.expect_download() as download:
        page.locator("#save-figure").click()
    assert download.value.suggested_filename == "importance.png"


def test_stopping_a_probe_keeps_what_is_done(visit):
    page = visit("steps=2")
    page.get_by_role("tab", name="Importance").click()
    before = weights(page, "#heat-importance")
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
    page.locator("#generate").click()
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


def test_the_model_can_be_switched_and_a_wrong_name_changes_nothing(visit, server):
    page = visit()
    before = {method: src(page, method) for method in METHODS}
    model = page.locator("#model input")
    assert model.input_value() == server.model

    model.fill("no such model")
    model.press("Enter")
    toast = page.locator("[data-testid=toast-body]")
    expect(toast).to_contain_text("There is no model, folder or hub id")
    expect(model).to_have_value(server.model)
    assert {method: src(page, method) for method in METHODS} == before
    page.locator("#dice").click()
    wait_for_other(page, "freeu", before["freeu"])
    has_drawn(page)

    expect(page.locator("#about")).to_contain_text("tiny-sd")
    if not (ASSETS / "toy").is_dir():
        return
    before = src(page, "freeu")
    model.fill("toy")
    model.press("Enter")
    expect(page.locator("#about")).to_contain_text("toy")
    wait_for_other(page, "freeu", before)
    has_drawn(page)
    before = src(page, "freeu")
    model.fill(server.model)
    model.press("Enter")
    expect(page.locator("#about")).to_contain_text("tiny-sd")
    wait_for_other(page, "freeu", before)
    has_drawn(page)


@pytest.mark.parametrize(("prompt", "sentence"), [("   ", "is empty"), ("x" * 3000, "longer than 2000 characters")])
def test_a_bad_prompt_gets_a_sentence_and_the_pictures_stay(visit, prompt, sentence):
    page = visit()
    before = {method: src(page, method) for method in METHODS}
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#generate").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text(sentence)
    assert {method: src(page, method) for method in METHODS} == before
    for method in METHODS:
        expect(page.locator(f"#image-{method} img")).to_be_visible()
        assert "Error" not in page.locator(f"#image-{method}").inner_text()


def test_the_address_restores_settings_and_follows_them(visit):
    page = visit(f"prompt={quote('the blue cat')}&low=0.9&high=1.2&seed=5&steps=2&schedule=inverted")
    page.locator("#more button").first.click()
    assert page.locator("#prompt textarea").input_value() == "the blue cat"
    values = {name: number(page, name).input_value() for name in ("low", "high", "seed", "steps")}
    assert values == {"low": "0.9", "high": "1.2", "seed": "5", "steps": "2"}
    expect(page.locator("#schedule input")).to_have_value(re.compile("Inverted"))
    assert page.locator("#heat-weights .rw-cell").count() == 14
    page.locator("#prompt textarea").fill("a red apple")
    page.locator("#generate").click()
    page.wait_for_function("() => new URLSearchParams(location.search).get('prompt') === 'a red apple'")
    assert query_of(page)["seed"] == "5" and query_of(page)["schedule"] == "inverted"


@pytest.mark.parametrize(
    "query",
    ["steps=2&low=nan&high=9", "steps=2&low=1.2&high=0.9&prompt=%20", "seed=-1&steps=1e9&model=nonsense&schedule=x"],
)
def test_what_an_address_cannot_have_is_left_out(visit, query):
    page = visit(query)
    assert page.locator("#prompt textarea").input_value() == EXAMPLES[0]
    values = {name: number(page, name).input_value() for name in ("low", "high", "seed")}
    assert values == {"low": "0.98", "high": "1.1", "seed": "7"}


def test_an_example_is_drawn(visit):
    page = visit()
    before = src(page, "vanilla")
    page.locator("#examples").get_by_text(EXAMPLES[1]).click()
    wait_for_other(page, "vanilla", before)
    expect(page.locator("#prompt textarea")).to_have_value(EXAMPLES[1])
    has_drawn(page)


def test_the_dice_and_reset(visit):
    page = visit("steps=3&low=0.9&high=1.3&schedule=flat")
    before = src(page, "vanilla")
    page.locator("#dice").click()
    wait_for_other(page, "vanilla", before)
    has_drawn(page)
    assert number(page, "seed").input_value() != "7"
    page.locator("#reset").click()
    expect(number(page, "low")).to_have_value("0.98")
    expect(number(page, "high")).to_have_value("1.1")
    expect(page.locator("#schedule input")).to_have_value(re.compile("Importance"))
    page.wait_for_function("() => document.querySelectorAll('#heat-weights .rw-cell').length === 140")
    page.wait_for_function("() => new URLSearchParams(location.search).get('steps') === '20'")


def test_reset_repaints_what_a_slider_had_painted(visit):
    page = visit("steps=3")
    page.locator("#live input").uncheck()
    shown = weights(page)
    drag(page, "low", 0.1)
    page.wait_for_function(
        "(shown) => [...document.querySelectorAll('#heat-weights .rw-number')].some((n, i) => n.textContent !== shown[i])",
        arg=shown,
    )
    drag(page, "low", 0.36)
    number(page, "low").fill("0.98")
    number(page, "low").press("Enter")
    page.wait_for_function(
        "(shown) => [...document.querySelectorAll('#heat-weights .rw-number')].every((n, i) => n.textContent === shown[i])",
        arg=shown,
    )


def test_another_pair_to_compare(visit):
    page = visit()
    slider = page.locator("#image-slider")
    page.wait_for_function("() => document.querySelectorAll('#image-slider img').length >= 2")
    before = slider.locator("img").evaluate_all("all => all.map(i => i.src)")
    page.locator("#pair").get_by_text("vanilla | FreeU").click()
    page.wait_for_function(
        "(before) => [...document.querySelectorAll('#image-slider img')].some((i, n) => i.src !== before[n])",
        arg=before,
    )


def test_pictures_never_flash_empty_and_nothing_jumps(visit):
    page = visit()
    page.evaluate(
        """() => {
          window.bad = [];
          const place = () => JSON.stringify(['image-vanilla', 'heat-weights']
            .map((id) => Math.round(document.getElementById(id).getBoundingClientRect().top)));
          const start = place();
          const look = () => {
            for (const method of ['vanilla', 'reweighted', 'freeu']) {
              const image = document.querySelector(`#image-${method} img`);
              const before = document.getElementById(`image-${method}`).style.backgroundImage;
              if (!image?.naturalWidth && !before) window.bad.push(`${method} has no picture`);
              if (image && !image.getBoundingClientRect().height) window.bad.push(`${method} has no height`);
            }
            if (place() !== start) window.bad.push(`${start} became ${place()}`);
            window.looks = (window.looks ?? 0) + 1;
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    before = src(page, "reweighted")
    page.locator("#high input[type=range]").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wait_for_other(page, "reweighted", before)
    has_drawn(page)
    before = src(page, "freeu")
    page.locator("#dice").click()
    wait_for_other(page, "freeu", before)
    has_drawn(page)
    assert page.evaluate("() => window.looks") > 10
    assert page.evaluate("() => [...new Set(window.bad)]") == []


@pytest.mark.parametrize("width", [390, 768])
def test_on_a_phone_nothing_is_cut_off(visit, width):
    page = visit(drawn=False, viewport={"width": width, "height": 844})
    expect(
        page.locator("#caption-freeu b")
    ).to_be_attached()  # pictures out of sight are loaded when they are scrolled to
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    above, below = (page.locator(selector).bounding_box() for selector in ("#generate", "#image-vanilla"))
    if width < 640:
        assert above["y"] < below["y"]
    for method in METHODS:
        picture = page.locator(f"#image-{method} img")
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_visible()
        page.wait_for_function(
            "(method) => document.querySelector(`#image-${method} img`).naturalWidth > 0", arg=method
        )
        box = picture.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["width"] > 100
    page.get_by_role("tab", name="Importance").click()
    page.locator("#probe").scroll_into_view_if_needed()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_can_be_read(visit, scheme):
    page = visit(color_scheme=scheme)
    page.locator("#heat-weights .rw-cell").first.click()
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert background.startswith("rgb(")
    lightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 765
    assert lightness < 0.2 if scheme == "dark" else lightness > 0.8
    selectors = [
        "#status",
        "#header",
        "#about",
        *(f"#caption-{method}" for method in METHODS),
        "#heat-weights .rw-beside",
    ]
    for selector in (*selectors, "#generate", "#stop", "#low label", "#prompt label"):
        assert contrast(page, selector) >= 4.5, selector
    page.get_by_role("tab", name="Importance").click()
    for selector in ("#findings", "#heat-importance .rw-beside"):
        assert contrast(page, selector) >= 4.5, selector


def test_the_png_carries_its_settings(visit):
    page = visit("steps=3&low=0.95&high=1.15&seed=11&prompt=the%20blue%20cat")
    for method in METHODS:
        url = page.locator(f"#image-{method} img").evaluate("image => image.src")
        settings = read_png(page.request.get(url).body())
        asked = settings["request"]
        assert settings["method"] == method
        assert (asked["prompt"], asked["seed"], asked["low"], asked["high"]) == ("the blue cat", 11, 0.95, 1.15)
        assert (settings["weights"] is not None) == (method == "reweighted")
        assert "/" not in asked["model"]


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
    text = download.value.path().read_text()
    prompt = re.search(r'"prompt": "([^"]*)"', text).group(1)
    (tmp_path / "table.json").write_text(text.replace(prompt, "<img src=x onerror='window.evil=1'>"))
    (tmp_path / "bad.json").write_text('{"format": "reweight-importance-1"}')
    other = json.loads(text)
    other["blocks"] = [f"x{label}" for label in other["blocks"]]
    (tmp_path / "other.json").write_text(json.dumps(other))

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

    page.get_by_role("tab", name="Compare").click()
    before = src(page, "reweighted")
    page.locator("#generate").click()
    wait_for_other(page, "reweighted", before)
    has_drawn(page)
    shas = {method: read_png(page.request.get(src(page, method)).body())["table_sha256"] for method in METHODS}
    assert shas["reweighted"] and not shas["vanilla"] and not shas["freeu"]


def test_names_roles_and_texts_for_those_who_do_not_see_it(visit):
    page = visit()
    page.wait_for_function("() => document.querySelectorAll('#image-slider img').length >= 2")
    without = page.locator("img:visible").evaluate_all("all => all.filter(i => !i.alt.trim()).map(i => i.outerHTML)")
    assert without == []
    expect(page.locator("#status [role=status]")).to_have_count(1)
    for tab in ("Compare", "Importance"):
        page.get_by_role("tab", name=tab).click()
        nameless = page.locator("button:visible").evaluate_all(
            """all => all.filter((b) => !(b.textContent.trim() || b.getAttribute('aria-label') || b.title
                 || b.querySelector('img')?.alt || b.getAttribute('aria-labelledby'))).map((b) => b.outerHTML.slice(0, 200))"""
        )
        assert nameless == []
        unlabelled = page.locator("input:visible, textarea:visible").evaluate_all(
            """all => all.filter((i) => !(i.labels?.length || i.getAttribute('aria-label') || i.title
                 || i.getAttribute('aria-labelledby'))).map((i) => i.outerHTML.slice(0, 200))"""
        )
        assert unlabelled == []
    assert page.locator("html").get_attribute("lang")
    assert page.locator("h1").count() == 1
