"""The ASGI middleware between the network and Gradio: each request is checked, passed on, and answered.

It adds what Gradio lacks, without modifying Gradio: bodies are limited before they are parsed, places in the queue are
shared fairly, a job without a listener is stopped, and errors are sentences.
"""

from __future__ import annotations

import asyncio

from .answering import Answering, Send
from .arriving import Arriving, Scope
from .bodies import Receive, drain
from .holding import App, act, call_of_mcp, join, listen, opening
from .house import House
from .messages import Refused
from .rules import API, LIVE


class Guard:
    """The middleware; `house` is shared with the code that starts and stops the server."""

    def __init__(self, app: App, house: House) -> None:
        self.app, self.house = app, house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.house.start()
        answer = Answering(scope, send, self.house)
        try:
            await self._serve(Arriving(scope, receive, self.house), answer)
        except Refused as refused:
            if refused.drain:
                await drain(receive)
            await answer.say(refused.status, refused.sentence)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task in self.house.given_up:
                task.uncancel()
                await answer.lost()
            elif self.house.closing:
                await answer.finish()
            else:
                raise
        except Exception as error:
            if not answer.stalled:
                await answer.failed(error)

    async def _serve(self, asked: Arriving, answer: Answering) -> None:
        if asked.path == "/healthz":
            await answer.health()
            return
        asked.check()
        asked.vouch()
        stream = asked.stream()
        if asked.by_mcp:
            await call_of_mcp(self.app, asked, answer)
        elif asked.method == "POST" and asked.path.startswith((f"{API}/queue/join", f"{API}/call/")):
            await join(self.app, asked, answer)
        elif asked.method == "POST" and asked.path.startswith(f"{LIVE}/"):
            await act(self.app, asked, answer)
        elif stream is not None:
            await listen(self.app, asked, answer, stream)
        elif asked.path == "/" and asked.method == "GET":
            with opening(asked):
                await self.app(asked.scope, asked.receive, answer.send)
        else:
            receive = asked.receive if asked.method in ("GET", "HEAD") else await asked.checked()
            await self.app(asked.scope, receive, answer.send)
