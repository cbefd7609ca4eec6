"""How the page looks: sizes, colours, phones, and for those who do not see it."""

from __future__ import annotations

import re

import pytest
from looking import METHODS, contrast, has_drawn, src, wait_for_other
from playwright.sync_api import expect

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
    if width < 640:
        order = ("#generate", "#status", "#image-vanilla", "#heat-weights", "#examples", "#about")
        tops = [page.locator(selector).bounding_box()["y"] for selector in order]
        assert tops == sorted(tops) and tops[2] < 844
    for method in METHODS:
        picture = page.locator(f"#image-{method} img")
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_visible()
        page.wait_for_function(
            "(method) => document.querySelector(`#image-${method} img`).naturalWidth > 0", arg=method
        )
        box = picture.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["width"] > 100
    if width < 640:
        page.locator("#dice").click()
        expect(page.locator("#status")).to_be_in_viewport()
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
