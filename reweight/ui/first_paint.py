"""What a visitor sees before the page's scripts are there: its headline and pictures drawn beforehand, in the HTML itself.

Gradio builds the page in the browser, which takes a second or more; until then the place would be empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .files import STATIC
from .turns import Turns

AT_ONCE = 4  # pages that are made at a time: each takes megabytes for a moment
BODY = re.compile(rb"<body\b[^>]*>")
HEADLINE = (
    "<h1>reweight</h1><p><b>Switch off one block and watch what breaks.</b> "
    "<span>Click a block in the U-Net, or paint the weights.</span></p>"
)


def markup(events: Sequence[Mapping[str, Any]], prompt: str, query: Mapping[str, str]) -> str:
    """The first view as HTML, from the events of `compare.first_view`; "" where nothing was drawn beforehand.

    The page takes it away once its own pictures are there. query: the address's, which may name a theme.
    """
    pictures = {event["column"]: event for event in events if event["kind"] == "picture"}
    if not pictures:
        return ""
    columns = next(event["columns"] for event in events if event["kind"] == "grid")
    figures = "".join(
        f'<figure><h3>{escape(column["title"])}</h3><div><img width="256" height="256" alt="" elementtiming="first-{escape(column["key"])}" '
        f'src="data:image/png;base64,{pictures[column["key"]]["png"]}"></div></figure>'
        for column in columns
        if column["key"] in pictures
    )
    theme = {"dark": ' class="dark"', "light": ' class="light"'}.get(query.get("__theme", ""), "")
    style = (STATIC / "first.css").read_text(encoding="utf-8")
    return (
        f'<div id="first"{theme} style="--columns:{len(pictures)}"><style>{style}</style><div class="page"><header>{HEADLINE}</header>'
        f'<div class="sides"><div class="card asked"><b>Prompt</b><p>{escape(prompt)}</p></div><div class="main">'
        f'<p class="says" role="status">Precomputed pictures: the page is starting…</p><div class="card pictures">{figures}</div>'
        "</div></div></div></div>"
    )


class FirstPaint:
    """ASGI middleware that puts the first view into the page's HTML. view: makes it from the address's query."""

    def __init__(self, app: ASGIApp, view: Callable[[str], str]) -> None:
        self.app, self.view, self._making = app, view, Turns(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        start: Message = {}
        body = bytearray()

        async def held(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                body.extend(message.get("body", b""))

        async with self._making.of((scope.get("client") or ("",))[0]):
            await self.app(scope, receive, held)
            at = BODY.search(body) if start["status"] == 200 else None
            if at is not None:
                body[at.end() : at.end()] = (await run_in_threadpool(self.view, query)).encode()
        headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": bytes(body)})
