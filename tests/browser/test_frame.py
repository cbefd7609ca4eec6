"""The page within the frame of a Space's page, which is another site's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from looking import FLAGS, POLLING, SEED
from playwright.sync_api import Browser, Frame, Page, Route, TimeoutError
from server import Server

HUB = "https://huggingface.co/spaces/somebody/reweight"
OUTER = """<!doctype html><title>a Space</title><body style="margin:0"><iframe id="space" src="%s"
  style="width:1200px;height:500px;border:0" sandbox="allow-downloads allow-forms allow-modals allow-popups
  allow-popups-to-escape-sandbox allow-same-origin allow-scripts"></iframe><script>
  window.told = []; window.heights = []; window.greeted = 0;
  const frame = document.getElementById('space');
  addEventListener('message', (event) => {
    if (event.source !== frame.contentWindow) return;
    const said = event.data;
    if (typeof said === 'string' && said.startsWith('[iFrameSizer]')) {
      const [, height] = said.slice(13).split(':');
      if (+height) { heights.push(+height); frame.style.height = `${+height}px`; }
    } else if (said?.queryString !== undefined) {
      told.push(said);
      history.replaceState(null, '', `?${said.queryString}${said.hash ?? ''}`);
    }
  });
  // What the hub's resizer says to a page that it frames.
  const greet = () => ++greeted && frame.contentWindow.postMessage(
    '[iFrameSizer]space:8:false:false:32:true:true::bodyOffset::::0:false:parent:scroll:false', '*');
  frame.addEventListener('load', greet);
  setInterval(greet, 500);
</script>"""


@pytest.fixture(scope="module")
def hubs(chromium: Browser) -> Iterator[Browser]:
    """A browser to which this machine is as far away as a Space: else no public page may frame what is on it."""
    near = "LocalNetworkAccessChecks,LocalNetworkAccessForNavigations,BlockInsecurePrivateNetworkRequests"
    path = os.environ.get("REWEIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    browser = chromium.browser_type.launch(executable_path=path, args=[*FLAGS, f"--disable-features={near}"])
    yield browser
    browser.close()


@pytest.fixture
def framed(hubs: Browser, server: Server) -> Iterator[tuple[Page, list[str]]]:
    """A page of the hub's that frames ours, and what went wrong there or was asked of strangers."""
    context, wrong = hubs.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce"), []
    page = context.new_page()
    page.set_default_timeout(120_000)

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/html", body=OUTER % f"{server.url}?steps=2&seed={SEED}&size=64")

    def asked(url: str) -> None:
        if not url.startswith((server.url, "data:", "blob:", HUB)):
            wrong.append(f"request: {url}")

    context.route("https://huggingface.co/**", answer)
    page.on("request", lambda request: asked(request.url))
    page.on("console", lambda said: wrong.append(f"console: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
    page.goto(HUB)
    yield page, wrong
    context.close()


def grows_beyond(page: Page, frame: Frame, least: int) -> None:
    """Wait until the frame has told a height above least and has it; it began with 500."""
    try:
        page.wait_for_function("(least) => heights.at(-1) > least", arg=least, polling=POLLING)
    except TimeoutError:
        told = page.evaluate("() => ({ heights: heights.slice(-9), frame: frame.clientHeight, greeted })")
        told |= frame.evaluate(
            "() => ({ page: document.documentElement.scrollHeight, body: document.body.offsetHeight, listens: 'parentIFrame' in window })"
        )
        pytest.fail(f"The frame did not grow beyond {least} pixels: {told}")


def inner(page: Page, server: Server) -> Frame:
    frame = page.locator("#space").element_handle().content_frame()
    assert frame is not None
    frame.wait_for_url(lambda url: url.startswith(server.url))
    frame.wait_for_function(
        """() => { const images = [...document.querySelectorAll('#pictures img')];
             return images.length && images.every((image) => image.naturalWidth > 0)
               && !document.body.classList.contains('rw-drawing')
               && !document.querySelector('.rw-stale') && !document.querySelector('#status .rw-bar'); }""",
        polling=POLLING,
    )
    return frame


def test_the_page_works_there_its_height_is_told_and_its_settings_reach_the_outer_address(framed, server: Server):
    page, wrong = framed
    frame = inner(page, server)
    page.wait_for_function("() => told.length > 0 && heights.length > 0", polling=POLLING)
    frame.locator("#high input[type=range]").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    high = frame.evaluate("() => window.reweight.settings.high")
    page.wait_for_function(
        "(high) => +new URLSearchParams(location.search).get('high') === high", arg=high, polling=POLLING
    )
    grows_beyond(page, frame, 700)
    assert wrong == []


def test_no_other_site_may_frame_it(hubs: Browser, server: Server):
    context = hubs.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    context.route(
        "https://elsewhere.example/**", lambda route: route.fulfill(content_type="text/html", body=OUTER % server.url)
    )
    page.goto("https://elsewhere.example/")
    for _ in range(100):
        if any("frame-ancestors" in text for text in said):
            break
        page.wait_for_timeout(200)
    assert any("frame-ancestors" in text for text in said), said
    context.close()
