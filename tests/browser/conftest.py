"""A real Chromium, and for each test a page that must stay clean: no errors, no strangers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from looking import FLAGS, has_drawn
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright
from server import Server

PATIENCE = 120_000  # milliseconds; a busy machine is no failure
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    path = os.environ.get("REWEIGHT_CHROMIUM") or next(filter(None, found), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            pytest.fail(
                "No Chromium could be started: install one with `apt-get install chromium` or `playwright install "
                f"chromium`, or name one in REWEIGHT_CHROMIUM. ({str(error).splitlines()[0]})"
            )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Open the page with an address's query; at the end, nothing may have gone wrong or gone elsewhere."""
    contexts, wrong = [], []

    def opened(query: str = "steps=3", *, drawn: bool = True, **options) -> Page:
        options = {"viewport": {"width": 1360, "height": 900}, "reduced_motion": "reduce"} | options
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: wrong.append(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
        page.on("request", lambda request: wrong.append(f"request: {request.url}") if _foreign(request.url) else None)
        page.goto(f"{server.url}?{query}")
        if drawn:
            has_drawn(page)
        return page

    def _foreign(url: str) -> bool:
        return not url.startswith((server.url, server.url.replace("http", "ws", 1), "data:", "blob:"))

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
