"""How the page looks: sizes, colours, phones, and for those who do not see it."""

from __future__ import annotations

import re

import pytest
from looking import POLLING, has_drawn, in_colours, slide, src, wait_for_other
from looking import contrast as least_contrast
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_pictures_and_the_unet_are_seen_without_scrolling(visit):
    page = visit("steps=2", viewport={"width": 1440, "height": 900})
    for selector in ("#prompt", "#low", "#high", "#generate", "#pictures", "#unet svg"):
        box = page.locator(selector).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900, selector
    tops = {round(figure.bounding_box()["y"]) for figure in page.locator("#pictures figure").all()}
    assert len(tops) == 1


def test_nothing_is_cut_off_and_three_columns_stand_side_by_side(visit):
    page = visit("steps=2", viewport={"width": 1440, "height": 800})
    for width in (1440, 768, 720, 560, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.get_by_role("tab", name="Compare").click()
        expect(page.locator("#pictures figure").first).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        tops = {round(figure.bounding_box()["y"]) for figure in page.locator("#pictures figure").all()}
        assert len(tops) == 1
        beyond = """() => { const edge = document.querySelector('#instrument').getBoundingClientRect().right;
          return [...document.querySelectorAll('#instrument button, #instrument input')]
            .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > edge).map((one) => one.id); }"""
        assert page.evaluate(beyond) == []
        steps = page.locator("#steps-chosen .rw-seg").all()
        assert len({round(step.bounding_box()["y"]) for step in steps}) == 1
        page.get_by_role("tab", name="Importance").click()
        expect(page.locator("#ranks svg")).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_pictures_never_flash_empty_and_nothing_jumps(visit):
    page = visit("steps=2")
    page.evaluate(
        """() => {
          window.bad = [];
          const place = () => JSON.stringify(['#pictures', '#instrument'].map((one) => Math.round(document.querySelector(one).getBoundingClientRect().top)));
          const start = place();
          const look = () => {
            for (const image of document.querySelectorAll('#pictures img'))
              if (!image.src || !image.getBoundingClientRect().height) window.bad.push('a picture is empty');
            if (place() !== start) window.bad.push(`${start} became ${place()}`);
            window.looks = (window.looks ?? 0) + 1;
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    before = src(page, "reweighted")
    slide(page, "high", "ArrowRight", 3)
    wait_for_other(page, "reweighted", before)
    has_drawn(page)
    page.locator("#dice").click()
    page.wait_for_function("() => !new URLSearchParams(location.search).get('seed')?.match(/^7$/)", polling=POLLING)
    has_drawn(page)
    assert page.evaluate("() => window.looks") > 5
    assert page.evaluate("() => [...new Set(window.bad)]") == []


def test_both_colour_schemes_can_be_read(visit):
    page = visit("steps=2", color_scheme="dark")
    for scheme in ("dark", "light"):
        in_colours(page, scheme)
        page.get_by_role("tab", name="Compare").click()
        expect(page.locator("#pictures")).to_be_visible()
        background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        lightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 765
        assert lightness < 0.2 if scheme == "dark" else lightness > 0.8
        for selector in (
            "#header",
            "#about",
            "#pictures",
            "#said",
            ".rw-foot .rw-source",
            "#generate",
            "#stop",
            "#low",
            "#ask",
        ):
            assert least_contrast(page, selector) >= 4.5, selector
        page.get_by_role("tab", name="Importance").click()
        page.locator("#ranks svg").wait_for()
        for selector in ("#verdict", "#rankings", "#probe"):
            assert least_contrast(page, selector) >= 4.5, selector


def test_names_roles_and_texts_for_those_who_do_not_see_it(visit):
    page = visit("steps=1")
    without = page.locator("main img:visible").evaluate_all(
        "all => all.filter(i => !i.alt.trim()).map(i => i.outerHTML)"
    )
    assert without == []
    expect(page.locator("[role=status]#status")).to_have_count(1)
    for tab in page.get_by_role("tab").all():
        tab.click()
        nameless = page.locator("button:visible").evaluate_all(
            """all => all.filter((b) => !(b.textContent.trim() || b.getAttribute('aria-label') || b.title
                 || b.querySelector('img')?.alt || b.getAttribute('aria-labelledby'))).map((b) => b.outerHTML.slice(0, 200))"""
        )
        assert nameless == []
        unlabelled = page.locator("input:visible, textarea:visible, select:visible").evaluate_all(
            """all => all.filter((i) => !(i.labels?.length || i.getAttribute('aria-label') || i.title
                 || i.getAttribute('aria-labelledby'))).map((i) => i.outerHTML.slice(0, 200))"""
        )
        assert unlabelled == []
    assert page.locator("html").get_attribute("lang")
    assert page.locator("h1").count() == 1
