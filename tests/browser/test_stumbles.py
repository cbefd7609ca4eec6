"""What visitors stumbled over once."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import pytest
from looking import POLLING, block, has_drawn, number, png, query_of, slide, src, wait_for_other, wait_for_query
from playwright.sync_api import expect

from reweight.engine.provenance import read_png
from reweight.engine.resolving import EXAMPLES

pytestmark = pytest.mark.browser


def test_enter_draws_from_prompt_and_seed_and_shift_enter_is_a_new_line(visit):
    page = visit("steps=2")
    prompt, before = page.locator("#prompt"), src(page, "vanilla")
    prompt.fill("a red apple")
    prompt.press("Shift+Enter")
    assert prompt.input_value() == "a red apple\n"
    prompt.fill("a red apple $& on table")
    prompt.press("Enter")
    wait_for_other(page, "vanilla", before)
    has_drawn(page)
    assert read_png(png(page, "vanilla"))["request"]["prompt"] == "a red apple $& on table"
    number(page, "seed").fill("12")
    number(page, "seed").press("Enter")
    expect(page.locator('figure[data-id="vanilla 12"] .rw-seed')).to_have_text("seed 12")


def test_number_boxes_are_clamped_and_come_back_when_emptied(visit):
    page = visit("steps=2")
    page.route("**/compare/draw", lambda route: route.fulfill(body='{"kind": "stopped"}\n'))  # none of it is drawn
    page.locator("#more > summary").click()
    typed = (
        ("seed", "1.7", "2"), ("seed", "", "7"), ("seed", "-4", "0"), ("low", "9", "2"), ("low", "", "0.98"),
        ("steps", "", "2"), ("steps", "500", "50"),
    )  # fmt: skip
    for control, text, value in typed:
        page.evaluate("() => reweight.set({ ...structuredClone(reweight.facts.defaults), steps: 2 }, { draw: false })")
        box = number(page, control)
        box.fill(text)
        box.blur()
        expect(box).to_have_value(value)
        if control == "seed":
            expect(page.locator("#seed-note")).to_contain_text(f"it is {value} now")
        page.locator("#stop").click()


def test_the_address_restores_every_setting_and_follows_them(visit):
    query = (
        f"prompt={quote('the blue cat')}&low=0.9&high=1.2&seed=5&steps=3&schedule=inverted&guidance=2.5"
        '&negative_prompt=ugly&first_step=2&last_step=3&blocks=[1,2]&freeu.b1=1.25&size=64&columns=["vanilla","freeu"]'
    )
    page = visit(query)
    asked = read_png(png(page, "freeu", 5))["request"]
    expected = {
        "prompt": "the blue cat",
        "low": 0.9,
        "high": 1.2,
        "seed": 5,
        "steps": 3,
        "schedule": "inverted",
        "guidance": 2.5,
    }
    expected |= {"negative_prompt": "ugly", "first_step": 2, "last_step": 3, "blocks": [1, 2], "size": 64}
    assert {name: asked[name] for name in expected} == expected and asked["freeu"]["b1"] == 1.25
    found = query_of(page)
    again = visit(urlsplit(page.url).query)
    assert query_of(again) == found
    page.locator("#more > summary").click()
    assert number(page, "freeu-b1").input_value() == "1.25"
    page.locator("#reset").click()
    wait_for_query(page, "guidance", None)
    assert set(query_of(page)) == {"prompt", "model", "columns"}


@pytest.mark.parametrize(
    "query",
    [
        "low=1.2&high=0.9&seed=-1&steps=1e9&model=x&schedule=x&painted=q&prompt=%20",
        pytest.param("steps=2&low=nan&high=9", marks=pytest.mark.thorough),
        pytest.param("steps=2&low=1.2&high=0.9&prompt=%20", marks=pytest.mark.thorough),
        pytest.param("seed=-1&steps=1e9&model=x&schedule=x&painted=q", marks=pytest.mark.thorough),
    ],
)
def test_what_an_address_cannot_have_is_left_out(visit, query):
    page = visit(query, drawn=False)
    expect(page.locator("#prompt")).to_have_value(EXAMPLES[0])
    values = {name: number(page, name).input_value() for name in ("low", "high", "seed")}
    assert values == {"low": "0.98", "high": "1.1", "seed": "7"}
    page.locator("#stop").click()


@pytest.mark.thorough
def test_within_a_frame_the_outer_page_is_told_the_address(visit, server):
    page = visit("steps=2")
    page.evaluate(
        """(url) => { window.told = []; addEventListener('message', (event) => window.told.push(event.data));
             const frame = document.createElement('iframe'); frame.src = url; frame.style.width = '900px'; document.body.append(frame); }""",
        f"{server.url}?steps=2&seed=3",
    )
    frame = page.frames[-1]
    frame.wait_for_function("() => window.reweight?.settings", polling=POLLING)
    frame.evaluate("() => { window.reweight.outer = '*'; window.reweight.draw(); }")
    page.wait_for_function("() => window.told.some((one) => one?.queryString?.includes('seed=3'))", polling=POLLING)


def test_examples_dice_and_a_bad_prompt(visit):
    page = visit("steps=2")
    before = src(page, "vanilla")
    page.locator(f'#examples [data-prompt="{EXAMPLES[1]}"]').click()
    wait_for_other(page, "vanilla", before)
    expect(page.locator("#prompt")).to_have_value(EXAMPLES[1])
    has_drawn(page)
    page.locator("#dice").click()
    wait_for_query(page, "seed", number(page, "seed").input_value())
    assert number(page, "seed").input_value() != "7"
    has_drawn(page)
    for prompt, sentence in (("   ", "is empty"), ("x" * 2500, "longer than 2000")):
        page.locator("#prompt").evaluate(
            "(box, text) => { box.value = text; box.dispatchEvent(new Event('input', {bubbles: true})); }", prompt
        )
        page.locator("#generate").click()
        expect(page.locator("#status")).to_contain_text(sentence)
    assert page.locator("#pictures img").count() == 3


def test_a_wrong_model_changes_nothing_and_an_opened_one_survives_a_reload(visit, server):
    page = visit("steps=2")
    model = page.locator("#model-select")
    model.fill("no such model")
    model.press("Enter")
    expect(page.locator("#status")).to_contain_text("There is no model, folder or hub id")
    expect(page.locator("#status")).to_contain_text("Still using")
    expect(model).to_have_value(server.model)
    model.fill("toy-turbo")
    model.press("Enter")
    expect(page.locator("#about")).to_contain_text("toy-turbo")
    has_drawn(page)
    wait_for_query(page, "model", "toy-turbo")
    page.reload()
    has_drawn(page)
    expect(page.locator("#about")).to_contain_text("toy-turbo")


def test_on_a_phone_the_picture_is_in_view_while_one_slides_and_nothing_is_cut_off(visit):
    page = visit("steps=2", viewport={"width": 390, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    strip = page.locator("#strip")
    expect(strip).to_be_hidden()
    page.locator("#low input[type=range]").scroll_into_view_if_needed()
    expect(strip.locator('[data-column="reweighted"]')).to_be_in_viewport()
    before = strip.locator('[data-column="reweighted"]').get_attribute("src")
    slide(page, "low", "ArrowLeft", 9)
    expect(strip.locator('[data-column="reweighted"]')).not_to_have_attribute("src", before)
    page.set_viewport_size({"width": 844, "height": 390})  # a phone is turned
    expect(strip).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("() => scrollTo(0, 0)")
    expect(strip).to_be_hidden()
    block(page, 5).click()
    expect(page.locator("#said")).to_contain_text(re.compile(r"off at both steps: .*changed"))


TRANSLATED = """() => { const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  for (const text of texts) {
    if (!text.textContent.trim() || text.parentElement.closest("script, style, textarea, [translate=no]")) continue;
    const outer = document.createElement("font"), inner = document.createElement("font");
    inner.textContent = `X${text.textContent}`; outer.append(inner); text.replaceWith(outer); } }"""


def test_a_page_that_the_browser_has_translated_still_knows_its_screens(visit):
    page = visit()
    page.evaluate(TRANSLATED)
    page.locator('#screens [role="tab"]').nth(1).click()
    page.wait_for_function("() => window.reweight.screen === 'Importance'", timeout=20_000)
