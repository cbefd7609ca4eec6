"""Acts of the screens as streams: the page posts JSON and reads one JSON object a line, past Gradio's queue and files."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..engine.engine import Engine
from ..engine.request import Request, RequestError, validate
from ..engine.resolving import Chosen
from ..storage.strict_json import read_object
from .session import Session, Sessions
from .turns import Turns

log = logging.getLogger(__name__)
MAX_BODY = 2_000_000
SMALL_BODY = 20_000  # bytes that are read in less than a millisecond
MAX_STREAMS = 128  # of all visitors together; each holds a thread. Who gets one is decided before, in serving
BEGUN_AT_ONCE = 4
PAGE_ONLY = ("rows",)

Event = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """What a page asks of a screen's act: who asks, the settings on the page, and what else was sent along.

    address: where the visitor calls from, which shares its turns among its visitors.
    """

    engine: Engine
    session: Session
    settings: Mapping[str, Any]
    given: Mapping[str, Any]
    address: str = ""

    @property
    def client(self) -> str:
        """Who asks, as the engine's turns want to know it."""
        return f"{self.address}/{self.session.id}"

    def request(self) -> Request:
        """The request that the page's settings make. ValueError of one sentence for what cannot be drawn."""
        return request_of(self.engine, self.settings)

    def chosen(self, request: Request) -> Chosen:
        """The scores that serve a request for this visitor."""
        tables = self.session.tables
        return self.engine.chosen(request, tables.of(request.prompt), tables.loaded(request.reweighting.schedule))

    def seeds(self, request: Request) -> tuple[int, ...]:
        """Seeds of further rows of pictures, after the request's own."""
        rows = self.settings.get("rows", 1)
        if type(rows) is not int or not 1 <= rows <= 4:
            raise RequestError("There can be 1 to 4 seeds at once.")
        return tuple((request.seed + i) % 2**32 for i in range(1, rows))


Act = Callable[[Call], Iterator[Event | None]]


class Lines(StreamingResponse):
    """A generator's lines; it is closed with the connection. Else a drawing would go on for a visitor who has left, or
    has wished for another, until the generator's turn comes among the garbage."""

    def __init__(self, lines: Generator[bytes, None, None], **options: Any) -> None:
        super().__init__(lines, **options)
        self.lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.lines.close()


class Live:
    """The routes.

    start: gives a new visitor the page's first settings, from the address's query. acts: of a screen by its key;
    ValueError of one sentence where there is no such screen.
    """

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        start: Callable[[str], dict[str, Any]],
        acts: Callable[[str], Mapping[str, Act]],
    ) -> None:
        self.engine, self.sessions, self.start, self.acts = engine, sessions, start, acts
        self._beginning = Turns(BEGUN_AT_ONCE)
        self._room = threading.BoundedSemaphore(MAX_STREAMS)

    def routes(self) -> list[Route]:
        """For the app that serves the page."""
        return [
            Route("/reweight/begin", self.begin, methods=["POST"]),
            Route("/reweight/stop", self.stop, methods=["POST"]),
            Route("/reweight/{screen}/{act}", self.act, methods=["POST"]),
        ]

    async def begin(self, http: HttpRequest) -> Response:
        """A new session, and the settings that the address asks for."""
        try:
            body = await _body(http)
            query = body.get("query", "")
            if not isinstance(query, str):
                raise ValueError("The address must be text.")
            address = http.client.host if http.client else ""
            session = self.sessions.begin(address)
            async with self._beginning.of(address):
                first = await run_in_threadpool(self.start, query)
            return JSONResponse({"session": session.id} | first)
        except ValueError as error:
            return JSONResponse({"kind": "error", "text": str(error)}, 400)

    async def stop(self, http: HttpRequest) -> Response:
        """Stop whatever a visitor has running."""
        try:
            self.sessions.of((await _body(http)).get("session")).stop()
        except ValueError as error:
            return JSONResponse({"kind": "error", "text": str(error)}, 400)
        return JSONResponse({})

    async def act(self, http: HttpRequest) -> Response:
        """Run an act and stream its events."""
        try:
            body = await _body(http)
            session = self.sessions.of(body.get("session"))
            name = f"{http.path_params['screen']}/{http.path_params['act']}"
            act = self.acts(http.path_params["screen"]).get(http.path_params["act"])
            if act is None:
                raise ValueError(f"That screen has no action {http.path_params['act'][:40]!r}.")
            settings, given = body.get("settings"), body.get("given")
            if not isinstance(settings, dict) or not isinstance(given, dict):
                raise ValueError("Settings must be a JSON object, by name.")
        except ValueError as error:
            return JSONResponse({"kind": "error", "text": str(error)}, 400)
        LocalContext.request.set(gr.Request(request=http))  # where a GPU is lent, it is lent to this visitor
        call = Call(self.engine, session, settings, given, http.client.host if http.client else "")
        return Lines(self._lines(call, session, name, act), media_type="application/x-ndjson")

    def _lines(self, call: Call, session: Session, name: str, act: Act) -> Generator[bytes, None, None]:
        if not self._room.acquire(blocking=False):
            text = "Too many visitors are drawing at the moment: try again in a minute."
            yield _line({"kind": "error", "text": text})
            return
        token = session.begin(name)
        try:
            with closing(act(call)) as events:
                for event in events:
                    if not session.current(name, token):
                        yield _line({"kind": "stopped"})
                        return
                    if event is not None:
                        yield _line(event)
            yield _line({"kind": "done"})
        except (ValueError, FloatingPointError) as error:
            yield _line({"kind": "error", "text": str(error)})
        except Exception:
            log.exception("The act %s failed.", name)
            yield _line({"kind": "error", "text": "Something went wrong on the server: its console says what."})
        finally:
            session.end(name, token)
            self._room.release()


def request_of(engine: Engine, settings: Mapping[str, Any]) -> Request:
    """The request that a page's settings make; what only the page knows of is left aside."""
    raw = {name: value for name, value in settings.items() if name not in PAGE_ONLY}
    model = raw.get("model")
    if not isinstance(model, str) or not model:
        raise RequestError("No model is chosen: choose one.")
    return validate(engine.card(model), **raw)


def _line(event: Event) -> bytes:
    return json.dumps(event, allow_nan=False, separators=(",", ":")).encode() + b"\n"


async def _body(http: HttpRequest) -> dict[str, Any]:
    """The JSON object that was posted; no other site's page can post this type without asking first. A large one is read
    on another thread: half a million lists take a second."""
    if http.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise ValueError("Send JSON, with content-type application/json.")
    data = bytearray()
    async for chunk in http.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise ValueError("The message is too large: send less.")
    if len(data) < SMALL_BODY:
        return read_object(bytes(data), "a page's message", MAX_BODY)
    return await run_in_threadpool(read_object, bytes(data), "a page's message", MAX_BODY)
