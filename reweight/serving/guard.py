"""The ASGI middleware between the network and Gradio: who is let in, with what, and what they are told.

It mends at the boundary what Gradio leaves open, and changes nothing inside it: bodies are limited before they are
parsed, places in the queue are shared out, a job that nobody listens to is stopped, and an error is a sentence.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from .bodies import Receive, counted, drain, elsewhere, replay, too_large, whole
from .callers import PROXY_HEADERS, address_of, host_named
from .house import House
from .leaving import leaving
from .messages import FAILED, FULL, LOST, Refused, answer, ended, lost_event, told
from .places import Place
from .rules import API, LIVE, MCP, served

log = logging.getLogger(__name__)
NAMED = "The session's name must be letters and digits."
Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)
HOST = re.compile(r"[\w.:\[\]%-]{0,260}", re.ASCII)  # what Gradio writes into the page as it was sent


class Guard:
    """The middleware itself; `house` is shared with whoever starts and stops the server."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], house: House) -> None:
        self.app, self.house = app, house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.house.start()
        request = _Request(self, scope, receive, send)
        try:
            await request.serve()
        except Refused as refused:
            if refused.drain:
                await drain(receive)
            await request.answer(refused.status, refused.sentence)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task in self.house.given_up:
                task.uncancel()
                await request.lost()
            elif self.house.closing:
                await request.finish()
            else:
                raise
        except Exception as error:
            if not request.stalled:
                await request.failed(error)


class _Request:
    """One request on its way in, and its answer on the way out."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.app, self.house, self.rules = guard.app, guard.house, guard.house.rules
        self.scope, self.receive, self._send = scope, receive, send
        self.path, self.method = scope["path"], scope["method"]
        self.started = self.done = self.stalled = False
        headers = {name: value for name, value in scope["headers"]}
        self.length = headers.get(b"content-length", b"")
        self.host = headers.get(b"host", b"").decode("latin-1")
        peer = (scope.get("client") or ("", 0))[0]
        forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
        self.address = address_of(peer, forwarded, self.rules.behind_proxy)

    async def serve(self) -> None:
        """Check what is asked, and have it done."""
        if self.path == "/healthz":
            await self._healthz()
            return
        if self.house.closing:
            raise Refused(503, "This demo is shutting down: try again in a minute.")
        if not HOST.fullmatch(self.host):
            raise Refused(400, "The address that this was asked for by is not one.")
        if self.rules.hosts is not None and not host_named(self.host, self.rules.hosts):
            raise Refused(403, "This server is not known by that name: open it by its address, or set REWEIGHT_HOSTS.")
        if any(letter < " " or letter == "\x7f" for letter in self.path) or b"%00" in self.scope.get(
            "query_string", b""
        ):
            raise Refused(404, "There is nothing of that name here.")
        by_mcp = self.rules.mcp and MCP.fullmatch(self.path) is not None
        if not by_mcp and not served(self.path):
            raise Refused(404, "There is nothing of that name here.", drain=self.method == "POST")
        self._vouch()
        stream = self._stream()
        if stream and not SESSION.fullmatch(stream):
            raise Refused(400, NAMED)
        if by_mcp:
            await self._mcp()
            return
        if self.method == "POST" and self.path.startswith((f"{API}/queue/join", f"{API}/call/")):
            await self._join()
        elif self.method == "POST" and self.path.startswith(f"{LIVE}/"):
            await self._live()
        elif stream is not None:
            await self._listen(stream)
        else:
            if self.method not in ("GET", "HEAD"):
                self.receive = self._limit(*self._allowance())
            await self.app(self.scope, self.receive, self.send)

    def _vouch(self) -> None:
        """Let the app know who asks, and nothing that only a proxy may say; parts of files are not served, as what Gradio
        answers then repeats the request's headers."""
        port = (self.scope.get("client") or ("", 0))[1]
        drop = {b"x-gradio-server", b"range"} | (set() if self.rules.behind_proxy else set(PROXY_HEADERS))
        self.scope["headers"] = [pair for pair in self.scope["headers"] if pair[0] not in drop]
        self.scope["client"] = (self.address, port)

    def _stream(self) -> str | None:
        """The visit whose messages a request listens to, or that it keeps open; None for any other request."""
        if self.method != "GET":
            return None
        if self.path.rstrip("/") == f"{API}/queue/data":
            query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
            return query.get("session_hash", [""])[0]
        if self.path.startswith(f"{API}/call/"):
            event = self.path.rstrip("/").rpartition("/")[2]
            if event in self.house.recent:  # Gradio would have its listener wait for ever
                raise Refused(410, LOST)
            place = self.house.places.held.get(event)
            return place.session if place else event
        if self.path.startswith(f"{API}/heartbeat/"):
            return self.path.rstrip("/").rpartition("/")[2]
        return None

    async def _listen(self, session: str) -> None:
        """Pass a stream of messages on, and know when it has been left."""
        house, task, rules = self.house, asyncio.current_task(), self.rules
        page = "/heartbeat/" in self.path
        if refusal := house.connections.refusal(self.address, rules.streams_each, rules.streams):
            raise Refused(429, refusal)
        if not page:
            self._own(session)
        house.connections.listens(self.address, 1)
        house.sessions.seen(session, self.address, time.monotonic(), page)
        house.sessions.opened(session)
        if task is not None:
            house.streams.add(task)
            if not page:
                house.listeners.setdefault(session, set()).add(task)
        try:
            await self.app(self.scope, self.receive, self.send)
        finally:
            if task is not None:
                house.streams.discard(task)
                house.listeners.get(session, set()).discard(task)
                if not house.listeners.get(session):
                    house.listeners.pop(session, None)
            house.connections.listens(self.address, -1)
            house.sessions.closed(session)
            if not page:
                for event in house.places.of_session(session):
                    house.release(event)
                if self.path.endswith(session):
                    house.sessions.forget(session)

    def _own(self, session: str) -> None:
        """Refuse what another address has named its own, such as "test": one would get the other's pictures."""
        if not self.house.sessions.belongs(session, self.address):
            raise Refused(403, "Another visitor's session has that name: choose another, or reload the page.")

    async def _join(self) -> None:
        """Give a job a place, where the caller may have another one."""
        body = await self._body(self.rules.json_bytes)
        asked = self._asked(body)
        if elsewhere(asked.get("data")):
            raise Refused(400, "Nothing is fetched from an address: upload the file.")
        session = asked.get("session_hash")
        session = session if isinstance(session, str) and session else None
        if session and not SESSION.fullmatch(session):
            raise Refused(400, NAMED)
        if session:
            self._own(session)
        house, visitor = self.house, session or ""
        if refusal := house.places.refusal(self.address, visitor):
            raise Refused(429, refusal)
        joining = f"joining {id(self)}"
        house.places.held[joining] = Place(self.address, visitor, session or joining)
        answered = bytearray()

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                answered.extend(message.get("body", b""))
                if not message.get("more_body"):
                    house.places.held.pop(joining, None)
                    self._joined(bytes(answered), visitor)
            await self.send(message)

        if session:
            house.sessions.seen(session, self.address, time.monotonic())
        try:
            await self.app(self.scope, replay(body, self.receive), send)
        finally:
            house.places.held.pop(joining, None)

    async def _live(self) -> None:
        """Give an act of the page a place for as long as its answer streams."""
        body = await self._body(self.rules.live_bytes)
        if self.path in (f"{LIVE}/begin", f"{LIVE}/stop"):
            await self.app(self.scope, replay(body, self.receive), self.send)
            return
        session = self._asked(body).get("session")
        house, visitor = self.house, session[:64] if isinstance(session, str) else ""
        if refusal := house.places.refusal(self.address, visitor):
            raise Refused(429, refusal)
        event, task = f"joining {id(self)}", asyncio.current_task()
        house.places.held[event] = Place(self.address, visitor, visitor)
        if task is not None:
            house.streams.add(task)
        try:
            await self.app(self.scope, replay(body, self.receive), self.send)
        finally:
            house.streams.discard(task)
            house.places.held.pop(event, None)

    async def _mcp(self) -> None:
        """Pass a call of an MCP client on, which holds a place for as long as it takes."""
        if self.method != "POST":
            raise Refused(405, "This address is for MCP clients, which post to it.")
        body = await self._body(self.rules.live_bytes)
        try:
            asked = orjson.loads(body)
        except ValueError as error:
            raise Refused(400, "The request is not valid JSON: numbers must be finite, and text UTF-8.") from error
        if b"gradio.FileData" in orjson.dumps(asked) or elsewhere(asked, ("picture", "path")):
            raise Refused(400, "A picture is given as a data: URL: no file and no address is opened for you.")
        house, event = self.house, f"mcp {id(self)}"
        if refusal := house.places.refusal(self.address, ""):
            raise Refused(429, refusal)
        house.places.held[event] = Place(self.address, "", event)
        try:
            await self.app(self.scope, replay(body, self.receive), self.send)
        finally:
            house.places.held.pop(event, None)

    def _joined(self, answered: bytes, visitor: str) -> None:
        """Remember the place of a job that was taken, and look later whether anybody listens to it."""
        try:
            event = orjson.loads(answered)["event_id"]
        except (ValueError, KeyError, TypeError):
            return
        house, session = self.house, visitor or event
        if not isinstance(event, str) or event in house.recent:
            return
        house.places.held[event] = Place(self.address, visitor, session)
        log.info("a job has joined", extra={"fields": {"held": len(house.places.held)}})
        unheard = leaving(self.app, dict(self.scope), session)

        async def look() -> None:
            await asyncio.sleep(self.rules.grace)
            if event in house.places.held and not house.sessions.is_open(session):
                log.info("nobody listens to a job, which is stopped")
                await unheard()
                house.release(event)
                if not visitor:
                    house.sessions.forget(session)

        task = asyncio.get_running_loop().create_task(look())
        house.streams.add(task)
        task.add_done_callback(house.streams.discard)

    def _allowance(self) -> tuple[int, str]:
        if self.path.rstrip("/") == f"{API}/upload":
            return self.rules.upload_bytes, "file"
        return self.rules.json_bytes, "request"

    def _limit(self, most: int, what: str) -> Receive:
        """What receives the body, refused as soon as it is known to be too large."""
        size = int(self.length) if self.length.isdigit() else 0
        if size > most:
            raise too_large(what, most)
        if what == "file" and (refusal := self.house.uploads.refusal(self.address, size or most, time.monotonic())):
            raise Refused(429, refusal)
        return counted(self.receive, most, what, self.rules.body_seconds)

    async def _body(self, most: int) -> bytes:
        return await whole(self._limit(most, "request"))

    def _asked(self, body: bytes) -> dict[str, Any]:
        """The JSON object of a body. Refused for what is no JSON."""
        try:
            asked = orjson.loads(body)
        except ValueError as error:
            raise Refused(400, "The request is not valid JSON: numbers must be finite, and text UTF-8.") from error
        return asked if isinstance(asked, dict) else {}

    async def _healthz(self) -> None:
        house = self.house
        facts = {"status": "closing" if house.closing else "ok", "places_held": len(house.places.held)}
        facts |= {"places": house.places.total, "visits": len(house.sessions)} | house.health()
        self.started = True
        body = orjson.dumps(facts)
        status = 200 if facts["status"] == "ok" else 503
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body if self.method != "HEAD" else b""})

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass an answer on: with our headers, and with sentences in the place of nothing."""
        if message["type"] == "http.response.start":
            self.started = True
            present = {name.lower() for name, _ in message.get("headers", ())}
            ours = [(name.encode(), value.encode()) for name, value in self.rules.headers.items()]
            added = [pair for pair in ours if pair[0] not in present]
            message = dict(message) | {"headers": [*message.get("headers", ()), *added]}
        elif message.get("body", b"").startswith((b"data: ", b"event: error")):
            for event in ended(message["body"]):
                self.house.release(event)
            message = dict(message) | {"body": told(message["body"], self._instead)}
        self.done = message["type"] == "http.response.body" and not message.get("more_body")
        try:
            async with asyncio.timeout(self.rules.taken_seconds):
                await self._send(message)
        except TimeoutError:
            self.stalled = True
            self.house.connections.abort(self.scope)
            raise OSError("nobody takes the answer") from None

    def _instead(self) -> str:
        scratch = self.house.scratch
        return FULL if scratch is not None and scratch.full() else FAILED

    async def answer(self, status: int, sentence: str) -> None:
        """A sentence in the place of an answer, where none has begun."""
        if self.started:
            await self.finish()
            return
        for message in answer(status, sentence, **({"retry_after": "30"} if status in (429, 503) else {})):
            await self.send(message)

    async def lost(self) -> None:
        """Tell a listener that its job is no more."""
        if not self.started:
            await self.answer(410, LOST)
        elif not self.done:
            self.done = True
            await self._send({"type": "http.response.body", "body": lost_event(), "more_body": False})

    async def finish(self) -> None:
        """End an answer that was begun."""
        if self.started and not self.done:
            self.done = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def failed(self, error: Exception) -> None:
        """What the app raises is a sentence for the caller, and a line in the log."""
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & {"LookupError", "FnIndexInferError", "AssertionError"}:
            status, sentence = 404, "There is nothing of that name here."
        elif names & {"ValueError", "TypeError", "UnicodeError"}:
            status, sentence = 400, "This cannot be read: send what the page or the API's description says."
        elif names & {"TimeoutError"}:
            status, sentence = 408, "The request took too long to arrive: try again."
        else:
            status, sentence = 500, self._instead()
        level = logging.ERROR if status == 500 else logging.INFO
        log.log(level, "a request failed", exc_info=error, extra={"fields": {"status": status}})
        await self.answer(status, sentence)
