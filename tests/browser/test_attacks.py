"""Prompts and addresses that would be scripts: nothing of them runs, and nothing is asked of strangers."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from looking import has_drawn
from playwright.sync_api import Page

HIT = "window.hit=(window.hit||0)+1"
PROMPTS = (
    f"<img src=x onerror={HIT}>",
    f'"><script>{HIT}</script>',
    f"</textarea></title></style><svg onload={HIT}>",
    f"' onmouseover='{HIT}' x='",
    "![](http://127.0.0.1:9/a.png) [a](javascript:alert(1))",
    "$& $` $' $1 \\1 %s {0} {{7*7}} ${7*7}",
    "\u05d0\u05e4\u05dc",
    "\U0001f9d1\u200d\U0001f680" * 100,
    "<style>*{display:none}</style><base href=//127.0.0.1:9/>",
    "a" * 1999 + "<",
)
REFUSED = ("a" * 100_000, "\u0000", "   ", "\u202ean apple that runs backwards\u202c \u2066\u2069")


def settled(page: Page) -> None:
    page.wait_for_function(
        """() => document.querySelector('#status .rw-wrong') || (!document.querySelector('.rw-stale')
             && !document.querySelector('#status .rw-bar') && window.reweight.settings)"""
    )


def asked(page: Page, prompt: str) -> None:
    page.evaluate(
        """(text) => { const box = document.querySelector('[data-setting="prompt"]'); box.focus(); box.value = text;
             box.dispatchEvent(new Event('input', { bubbles: true }));
             box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true })); }""",
        prompt,
    )


def untouched(page: Page) -> None:
    assert page.evaluate("() => window.hit") is None
    assert page.locator("#pictures script, #status script, #said img, #status img, base").count() <= page.evaluate(
        "() => document.querySelectorAll('head base').length"
    )
    assert page.locator("#pictures").is_visible()


@pytest.mark.full
def test_prompts_are_texts_wherever_they_appear(visit):
    page = visit("steps=1&columns=%5B%22vanilla%22%5D")
    for prompt in PROMPTS:
        asked(page, prompt)
        page.wait_for_function(
            "(text) => [...document.querySelectorAll('#pictures img')].some((one) => one.alt.includes(text))",
            arg=prompt.strip(),
        )
        has_drawn(page)
        untouched(page)
        assert page.evaluate("() => new URLSearchParams(location.search).get('prompt')") == prompt.strip()
    for prompt in REFUSED:
        asked(page, prompt)
        page.locator("#status .rw-wrong").wait_for()
        untouched(page)
    asked(page, "a red apple")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#pictures img')].some((one) => one.alt.includes('red apple'))"
    )


@pytest.mark.full
@pytest.mark.parametrize("name", ["prompt", "model", "negative_prompt", "schedule", "columns", "painted", "nothing"])
def test_addresses_are_texts_too(visit, name):
    page = visit(f"steps=1&{name}={quote(PROMPTS[0])}", drawn=False)
    has_drawn(page)
    untouched(page)
