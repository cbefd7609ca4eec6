"""The controls in a real browser: models, examples, the address, bad input."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from looking import METHODS, drag, has_drawn, number, query_of, src, wait_for_other, weights
from playwright.sync_api import expect

from reweight.engine.provenance import read_png
from reweight.engine.resolving import EXAMPLES
from reweight.models.registry import ASSETS

pytestmark = pytest.mark.browser


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
