"""The Compare screen in a real browser, as a visitor uses it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from looking import METHODS, drag, has_drawn, number, src, wait_for_other, wait_until_dimmed, weights
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


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
    wait_until_dimmed(page, METHODS)
    wait_until_dimmed(page, METHODS[1:])
    page.locator("#stop").click()
    expect(page.locator("#status")).to_have_text("Stopped.", use_inner_text=True)
    wait_until_dimmed(page, ())
    for method in METHODS:  # those of the last whole comparison
        expect(page.locator(f"#image-{method} img")).to_have_attribute("src", before[method])
    expect(page.locator("#heat-weights .rw-cell")).to_have_count(3 * 7)
    page.wait_for_timeout(1500)
    expect(page.locator("#status")).to_have_text("Stopped.", use_inner_text=True)
    assert {method: src(page, method) for method in METHODS} == before
    number(page, "steps").fill("3")
    number(page, "steps").press("Enter")
    page.locator("#generate").click()
    has_drawn(page)


def test_what_is_asked_for_while_it_draws_is_drawn_next(visit):
    page = visit("steps=3&prompt=the%20blue%20cat%20in%20rain")
    wanted = {method: src(page, method) for method in METHODS}
    prompt = page.locator("#prompt textarea")
    prompt.fill("a red apple on table")
    page.locator("#generate").click()
    wait_for_other(page, "vanilla", wanted["vanilla"])
    page.locator("#more button").first.click()
    number(page, "steps").fill("50")
    number(page, "steps").press("Enter")
    page.locator("#generate").click()
    page.wait_for_function("() => +document.querySelector('#status [role=progressbar]')?.ariaValueNow > 0")
    number(page, "steps").fill("3")
    number(page, "steps").press("Enter")
    prompt.fill("the blue cat in rain")
    page.locator("#generate").click()
    for method in METHODS:
        expect(page.locator(f"#image-{method} img")).to_have_attribute("src", wanted[method])
    has_drawn(page)
    expect(page.locator("#heat-weights .rw-source")).to_contain_text("“the blue cat in rain”. Importance:")


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
