"""Checks of an incoming request: the caller's address, the Host header, the path, and the size of the body."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from ..storage.strict_json import few
from .bodies import Receive, counted, replay, too_large, whole
from .callers import PROXY_HEADERS, address_of, host_named
from .house import House
from .messages import LOST, Refused
from .rules import API, MCP, served

Scope = MutableMapping[str, Any]
SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)
HOST = re.compile(r"[\w.:\[\]%-]{0,260}", re.ASCII)  # Gradio copies it into the page unescaped
INSIDE, CALLER = b"x-reweight-inside", b"x-reweight-caller"  # of this program's requests to itself, for a caller
NAMED = "The session's name must be letters and digits."
MANY = "The request has too many values: send fewer."
NOTHING = "There is nothing of that name here."


class Arriving:
    """An incoming request. address: the one to which quotas apply; receive: the function that gives its body; inside:
    whether this program asks itself, on behalf of an MCP client that has a place already; owner: whose its visit is."""

    def __init__(self, scope: Scope, receive: Receive, house: House) -> None:
        self.scope, self.receive, self.house, self.rules = scope, receive, house, house.rules
        self.path, self.method = scope["path"], scope["method"]
        headers = {name: value for name, value in scope["headers"]}
        self.hosts = sum(name == b"host" for name, _ in scope["headers"])
        self.expects = b"expect" in headers
        self.length = headers.get(b"content-length", b"")
        self.host = headers.get(b"host", b"").decode("latin-1")
        peer = (scope.get("client") or ("", 0))[0]
        forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
        self.address = address_of(peer, forwarded, self.rules.behind_proxy)
        self.inside = secrets.compare_digest(headers.get(INSIDE, b""), house.inside)
        if self.inside:
            self.address = headers.get(CALLER, b"").decode("latin-1") or self.address
        self.owner = "inside" if self.inside else self.address
        self.by_mcp = self.rules.mcp and MCP.fullmatch(self.path) is not None

    def check(self) -> None:
        """Refused for another Host name than this machine's, or a path that the page does not use."""
        if self.house.closing:
            raise Refused(503, "This demo is shutting down: try again in a minute.")
        if self.hosts > 1 or not HOST.fullmatch(self.host):
            raise Refused(400, "The address that this was asked for by is not one.")
        if self.rules.hosts is not None and not host_named(self.host, self.rules.hosts):
            raise Refused(403, "This server is not known by that name: open it by its address, or set REWEIGHT_HOSTS.")
        if any(letter < " " or letter == "\x7f" for letter in self.path) or b"%00" in self.scope.get(
            "query_string", b""
        ):
            raise Refused(404, NOTHING)
        if not self.by_mcp and not served(self.path):
            raise Refused(404, NOTHING, drain=self.method == "POST" and not self.expects)

    def vouch(self) -> None:
        """Pass the caller's address to the app, and remove headers that only a proxy may set. Range headers are removed,
        because Gradio's answer would repeat the request's headers; so are cookies, which are not used here, since
        Python took 8 s to parse one of 60 kB."""
        port = (self.scope.get("client") or ("", 0))[1]
        drop = {b"x-gradio-server", b"range", b"cookie", INSIDE, CALLER} | (
            set() if self.rules.behind_proxy else set(PROXY_HEADERS)
        )
        self.scope["headers"] = [pair for pair in self.scope["headers"] if pair[0] not in drop]
        self.scope["client"] = (self.address, port)

    def stream(self) -> str | None:
        """The visit whose messages the request reads, or which it keeps open; None for any other request."""
        session = self._listened()
        if session and not SESSION.fullmatch(session):
            raise Refused(400, NAMED)
        if not self.path.startswith(f"{API}/call/") or session is None:
            return session
        place = self.house.places.held.get(session)
        if place is None:  # Gradio would let the listener of an ended event wait forever
            raise Refused(410, LOST)
        return place.session

    def _listened(self) -> str | None:
        if self.method != "GET":
            return None
        if self.path.rstrip("/") == f"{API}/queue/data":
            query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
            return query.get("session_hash", [""])[0]
        if self.path.startswith((f"{API}/call/", f"{API}/heartbeat/")):
            return self.path.rstrip("/").rpartition("/")[2]
        return None

    def own(self, session: str) -> None:
        """Refuse a session that belongs to another address, such as one named "test": it would get the other's pictures."""
        if not self.house.sessions.belongs(session, self.owner):
            raise Refused(403, "Another visitor's session has that name: choose another, or reload the page.")

    async def checked(self) -> Receive:
        """A receive function for what Gradio parses itself: an upload's, limited; the whole of any other body."""
        if self.path.rstrip("/") == f"{API}/upload":
            return self.limited()
        body = await self.body(self.rules.json_bytes)
        if not few(body):
            raise Refused(413, MANY)
        return replay(body, self.receive)

    def limited(self) -> Receive:
        """A receive function that refuses an upload as soon as it is too large, or exceeds the hourly quota."""
        most = self.rules.upload_bytes
        receive = self._at_most(most, "file")
        if self.inside:
            return receive
        if refusal := self.house.uploads.refusal(self.address, self._size() or most, time.monotonic()):
            raise Refused(429, refusal)
        return receive

    async def body(self, most: int) -> bytes:
        """The whole body, of at most `most` bytes."""
        return await whole(self._at_most(most, "request"))

    def _at_most(self, most: int, what: str) -> Receive:
        if self._size() > most:
            raise too_large(what, most, drain=not self.expects)  # a client that waits for "100 Continue" sends nothing
        return counted(self.receive, most, what, self.rules.body_seconds)

    def _size(self) -> int:
        return int(self.length) if self.length.isdigit() else 0


def read(body: bytes) -> Any:
    """A body parsed as JSON. Refused if it is not JSON, or has too many values."""
    if not few(body):
        raise Refused(413, MANY)
    try:
        return orjson.loads(body)
    except ValueError as error:
        raise Refused(400, "The request is not valid JSON: numbers must be finite, and text UTF-8.") from error
