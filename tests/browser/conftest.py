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
USUAL = {"width": 1360, "height": 900}


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


class Tabs:
    """Pages that one visit after another uses: what the browser has read and compiled stays, what a visitor left goes."""

    def __init__(self, browser: Browser) -> None:
        self.browser, self.free = browser, []

    def take(self, url: str, viewport: dict[str, int], color_scheme: str) -> Page:
        """A page at no address yet, with nothing stored for url."""
        page = self.free.pop() if self.free else self.browser.new_page(reduced_motion="reduce")
        page.set_default_timeout(PATIENCE)
        page.goto(f"{url}healthz")
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        page.mouse.move(0, 0)
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme, reduced_motion="reduce")
        return page

    def give_back(self, page: Page) -> None:
        """End whatever runs in a page."""
        page.unroute_all(behavior="ignoreErrors")
        page.goto("about:blank")
        page.context.clear_cookies()
        self.free.append(page)


@pytest.fixture(scope="session")
def tabs(chromium: Browser) -> Tabs:
    return Tabs(chromium)


@pytest.fixture
def visit(tabs: Tabs, server: Server) -> Iterator[Callable[..., Page]]:
    """Open the page with an address's query; at the end, nothing may have gone wrong or gone elsewhere."""
    pages, wrong = [], []

    def opened(
        query: str = "steps=3", *, drawn: bool = True, viewport: dict[str, int] = USUAL, color_scheme: str = "light"
    ) -> Page:
        page = tabs.take(server.url, viewport, color_scheme)
        pages.append(page)
        for name, act in heard.items():
            page.on(name, act)
        page.goto(f"{server.url}?{query}")
        if drawn:
            has_drawn(page)
        return page

    def _foreign(url: str) -> bool:
        return not url.startswith((server.url, server.url.replace("http", "ws", 1), "data:", "blob:"))

    heard = {
        "console": lambda said: wrong.append(f"console: {said.text}") if said.type == "error" else None,
        "pageerror": lambda error: wrong.append(f"page error: {error}"),
        "request": lambda request: wrong.append(f"request: {request.url}") if _foreign(request.url) else None,
    }
    yield opened
    for page in pages:
        for name, act in heard.items():
            page.remove_listener(name, act)
        tabs.give_back(page)
    assert wrong == []
