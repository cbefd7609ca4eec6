"""Requests that take a place in the queue: jobs, the page's acts, calls of MCP clients; and event streams."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import orjson

from ..storage.strict_json import read_object
from .answering import Answering, Send
from .arriving import NAMED, SESSION, Arriving, Scope, read
from .bodies import Receive, elsewhere, replay
from .leaving import leaving
from .messages import Refused
from .places import LEAST, Place
from .rules import LIVE

log = logging.getLogger(__name__)
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def listen(app: App, asked: Arriving, answer: Answering, session: str) -> None:
    """Pass a stream of messages on, and notice when the client has disconnected."""
    house, task, rules = asked.house, asyncio.current_task(), asked.rules
    page = "/heartbeat/" in asked.path
    refusal = house.connections.refusal(asked.address, rules.streams_each, rules.streams)
    if refusal and not asked.inside:
        raise Refused(429, refusal)
    if not page:
        asked.own(session)
    house.connections.listens(asked.address, 1)
    house.sessions.seen(session, asked.owner, time.monotonic(), page)
    house.sessions.opened(session)
    if task is not None:
        house.streams.add(task)
        if not page:
            house.listeners.setdefault(session, set()).add(task)
    try:
        await app(asked.scope, asked.receive, answer.send)
    finally:
        if task is not None:
            house.streams.discard(task)
            house.listeners.get(session, set()).discard(task)
            if not house.listeners.get(session):
                house.listeners.pop(session, None)
        house.connections.listens(asked.address, -1)
        house.sessions.closed(session)
        if not page:
            for event in house.places.of_session(session):
                house.release(event)
            if asked.path.endswith(session):
                house.sessions.forget(session)


async def join(app: App, asked: Arriving, answer: Answering) -> None:
    """Give a job a place in the queue, if the caller may have another one."""
    body = await asked.body(asked.rules.json_bytes)
    given = _object(body)
    if elsewhere(given.get("data")):
        raise Refused(400, "Nothing is fetched from an address: upload the file.")
    session = given.get("session_hash")
    session = session if isinstance(session, str) and session else None
    if session and not SESSION.fullmatch(session):
        raise Refused(400, NAMED)
    if session:
        asked.own(session)
    house, visitor, joining = asked.house, session or "", f"joining {id(asked)}"
    if asked.inside:  # the call of the MCP client holds the place
        house.sessions.seen(visitor, asked.owner, time.monotonic())
        await app(asked.scope, replay(body, asked.receive), answer.send)
        return
    answered = bytearray()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            answered.extend(message.get("body", b""))
            if not message.get("more_body"):
                house.places.held.pop(joining, None)
                _joined(app, asked, bytes(answered), visitor)
        await answer.send(message)

    with _held(asked, joining, visitor, session or joining):
        if session:
            house.sessions.seen(session, asked.address, time.monotonic())
        await app(asked.scope, replay(body, asked.receive), send)


async def act(app: App, asked: Arriving, answer: Answering) -> None:
    """Give an act of the page a place while its answer is streamed."""
    body = await asked.body(asked.rules.live_bytes)
    if asked.path == f"{LIVE}/begin":
        with opening(asked):
            await app(asked.scope, replay(body, asked.receive), answer.send)
        return
    if asked.path == f"{LIVE}/stop":
        await app(asked.scope, replay(body, asked.receive), answer.send)
        return
    session = _object(body).get("session")
    visitor, task = session[:64] if isinstance(session, str) else "", asyncio.current_task()
    with _held(asked, f"joining {id(asked)}", visitor, visitor):
        if task is not None:
            asked.house.streams.add(task)
        try:
            await app(asked.scope, replay(body, asked.receive), answer.send)
        finally:
            asked.house.streams.discard(task)


async def call_of_mcp(app: App, asked: Arriving, answer: Answering) -> None:
    """Pass a call of an MCP client on, with a place in the queue until it ends. Its message is read here first, beside
    the server's loop, because the library that reads it there cannot bear depth, long numbers or many values."""
    if asked.method != "POST":
        raise Refused(405, "This address is for MCP clients, which post to it.")
    body = await asked.body(asked.rules.live_bytes)
    try:
        given = await asyncio.to_thread(read_object, body, "a message of an MCP client", asked.rules.live_bytes)
    except ValueError as error:
        raise Refused(400, str(error)) from error
    if b"gradio.FileData" in orjson.dumps(given) or elsewhere(given, ("picture", "path")):
        raise Refused(400, "A picture is given as a data: URL: no file and no address is opened for you.")
    if len(body) > LEAST and (refusal := asked.house.uploads.refusal(asked.address, len(body), time.monotonic())):
        raise Refused(429, refusal)
    event = f"mcp {id(asked)}"
    with _held(asked, event, "", event):
        await app(asked.scope, replay(body, asked.receive), answer.send)


@contextmanager
def opening(asked: Arriving) -> Iterator[None]:
    """Count a page that is being made. Refused for an address that has too many of them: each takes the processor for a
    moment, for which others wait."""
    making = asked.house.opening
    if making[asked.address] >= asked.rules.pages_each:
        raise Refused(429, "Many pages are being opened from your address: reload this one in a minute.")
    making[asked.address] += 1
    try:
        yield
    finally:
        making[asked.address] -= 1
        if not making[asked.address]:
            del making[asked.address]


@contextmanager
def _held(asked: Arriving, event: str, visitor: str, session: str) -> Iterator[None]:
    """A place for an event until the end of the block. Refused if the caller gets none."""
    held = asked.house.places.held
    if refusal := asked.house.places.refusal(asked.address, visitor):
        raise Refused(429, refusal)
    held[event] = Place(asked.address, visitor, session)
    try:
        yield
    finally:
        held.pop(event, None)


def _joined(app: App, asked: Arriving, answered: bytes, visitor: str) -> None:
    """Register the place of an accepted job, and check later whether anybody listens to it."""
    try:
        event = orjson.loads(answered)["event_id"]
    except (ValueError, KeyError, TypeError):
        return
    house, session = asked.house, visitor or event
    if not isinstance(event, str) or event in house.recent:
        return
    house.places.held[event] = Place(asked.address, visitor, session)
    log.info("a job has joined", extra={"fields": {"held": len(house.places.held)}})
    unheard = leaving(app, dict(asked.scope), session)

    async def look() -> None:
        await asyncio.sleep(asked.rules.grace)
        if event in house.places.held and not house.sessions.is_open(session):
            log.info("nobody listens to a job, which is stopped")
            await unheard()
            house.release(event)
            if not visitor:
                house.sessions.forget(session)

    task = asyncio.get_running_loop().create_task(look())
    house.streams.add(task)
    task.add_done_callback(house.streams.discard)


def _object(body: bytes) -> dict[str, Any]:
    given = read(body)
    return given if isinstance(given, dict) else {}
