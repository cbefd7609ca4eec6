"""The first pictures are in the HTML itself, and nothing else of the page is changed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from reweight.ui.first_paint import AT_ONCE, FirstPaint, markup

PAGE = '<html><head></head><body style="margin: 0">\n<gradio-app></gradio-app></body></html>'
EVENTS = [
    {"kind": "grid", "columns": [{"key": "vanilla", "title": "Vanilla"}, {"key": "freeu", "title": "FreeU <1>"}]},
    {"kind": "picture", "column": "vanilla", "png": "QUJD"},
    {"kind": "picture", "column": "freeu", "png": "REVG"},
    {"kind": "measured", "column": "freeu"},
]


def test_the_pictures_of_the_first_view_are_named_and_what_a_visitor_gave_is_escaped():
    html = markup(EVENTS, "<b>a fox</b>", {"__theme": "dark"})
    assert html.startswith('<div id="first" class="dark"')
    assert html.count('src="data:image/png;base64,') == 2 and "QUJD" in html and "REVG" in html
    assert "FreeU &lt;1&gt;" in html and "&lt;b&gt;a fox&lt;/b&gt;" in html and "<b>a fox" not in html


def test_without_pictures_there_is_no_first_view():
    assert markup([], "a fox", {}) == ""


@pytest.fixture
def client():
    routes = [Route("/", lambda request: HTMLResponse(PAGE)), Route("/other", lambda request: HTMLResponse(PAGE))]
    routes.append(Route("/text", lambda request: PlainTextResponse("<body>")))
    return TestClient(FirstPaint(Starlette(routes=routes), lambda query: f"<p>{query}</p>" if query else ""))


def test_it_comes_first_in_the_body_of_the_page_alone(client):
    page = client.get("/?a=1")
    assert page.text == PAGE.replace("\n", "<p>a=1</p>\n") and int(page.headers["content-length"]) == len(page.content)
    assert (
        client.get("/").text == PAGE and client.get("/other?a=1").text == PAGE and client.get("/text").text == "<body>"
    )
    assert client.head("/?a=1").status_code == 200


def test_few_pages_are_made_at_a_time_and_who_does_not_take_theirs_keeps_nobody_waiting():
    making, most, offered = 0, 0, 0

    async def app(scope, receive, send):
        nonlocal making, most
        making += 1
        most = max(most, making)
        for _ in range(5):
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"<body>"})
        making -= 1

    async def run():
        nonlocal offered
        all_offered = asyncio.Event()

        async def send(message):
            nonlocal offered
            offered += 1
            if offered == 20:
                all_offered.set()
            await asyncio.Event().wait()

        page = FirstPaint(app, lambda query: "")
        scopes = [{"type": "http", "method": "GET", "path": "/", "client": (f"9.0.0.{i}", 1)} for i in range(20)]
        tasks = [asyncio.create_task(page(scope, None, send)) for scope in scopes]
        await asyncio.wait_for(all_offered.wait(), 20)
        for task in tasks:
            task.cancel()

    with ThreadPoolExecutor(1) as threads:  # a browser's session may have a loop in this one
        threads.submit(asyncio.run, run()).result()
    assert most == AT_ONCE and offered == 20
