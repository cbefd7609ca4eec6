"""The middleware by itself, around small apps."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from calling import finished

from reweight.serving.guard import Guard
from reweight.serving.house import House
from reweight.serving.places import Place
from reweight.serving.rules import Rules

SMALL = Rules(json_bytes=1000, upload_bytes=5000, hourly_bytes=8000, grace=1.0)


class App:
    """An app that counts the bytes it is given and answers as it is told; a job's messages never come."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.seen, self.headers, self.left = error, [], [], asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()
        self.headers = scope["headers"]
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append((scope["path"], bytes(body)))
        if self.error:
            raise self.error
        answer = json.dumps({"event_id": "f" * 32}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})


def ask(app: App, *requests: tuple[str, str, dict[str, Any]], rules: Rules = SMALL) -> list[httpx.Response]:
    """Answers to requests (method, path, options), one after another, then what the house has to do."""

    async def run() -> list[httpx.Response]:
        guard = Guard(app, House(rules, health=lambda: {"waiting": 0}))
        transport = httpx.ASGITransport(guard, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.request(method, path, **options) for method, path, options in requests]

    return finished(run())


def sentence(answer: httpx.Response) -> str:
    text = answer.json()["detail"]
    assert text.endswith(".") and "\n" not in text and "/" not in text
    return text


@pytest.mark.parametrize("path", ["/gradio_api/call/compare", "/gradio_api/queue/join", "/gradio_api/component_server"])
def test_a_large_body_is_refused_before_the_app_sees_it(path):
    async def endless():
        for _ in range(100):
            yield b"x" * 100

    app = App()
    declared, streamed = ask(app, ("POST", path, {"content": b"x" * 2000}), ("POST", path, {"content": endless()}))
    assert declared.status_code == streamed.status_code == 413 and "at most" in sentence(declared)
    assert app.seen == []


def test_uploads_may_be_larger_and_have_a_quota():
    upload = ("POST", "/gradio_api/upload", {"content": b"x" * 4000})
    *good, bad = ask(App(), upload, upload, upload)
    assert [answer.status_code for answer in good] == [200, 200] and bad.status_code == 429
    assert ask(App(), ("POST", "/gradio_api/upload", {"content": b"x" * 5001}))[0].status_code == 413


@pytest.mark.parametrize(
    "body", [b"nonsense", b'{"data": [NaN]}', b'{"data": [1e999]}', b"[" * 900, b"\xff\xfe", b'{"data":"\\ud800"}']
)
def test_what_is_no_json_gets_a_sentence(body):
    app = App()
    (answer,) = ask(app, ("POST", "/gradio_api/call/compare", {"content": body}))
    assert answer.status_code == 400 or answer.json() == {"event_id": "f" * 32}
    assert answer.status_code == 200 or (sentence(answer) and app.seen == [])


def test_every_answer_has_the_headers_and_the_apps_own_stay():
    plain, refused = ask(App(), ("GET", "/", {}), ("POST", "/gradio_api/call/x", {"content": b"x" * 2000}))
    for answer in (plain, refused):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "https://huggingface.co" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyError("secret"), 404),
        (ValueError("secret"), 400),
        (RuntimeError("secret /root/x.py"), 500),
        (OSError("secret"), 500),
    ],
)
def test_what_the_app_raises_is_a_sentence(error, status):
    (answer,) = ask(App(error), ("GET", "/config", {}))
    assert answer.status_code == status and "secret" not in sentence(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://169.254.169.254/", "/gradio_api/proxy=http://127.1/", "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/file=a%00b", "/%0d%0aset-cookie:x", "/?page=%00", "/monitoring/x", "/gradio_api/file=ftp://x",
        "/gradio_api/stream/x", "/gradio_api/custom_component/a/client/b/c", "/svelte/x", "/gradio_api/process_recording",
        "/gradio_api/upload_progress", "/gradio_api/run/compare", "/gradio_api/api/compare", "/gradio_api/vibe-edit/",
        "/gradio_api/whatever/comes/next", "/gradio_api/token", "/gradio_api",
    ],
)  # fmt: skip
def test_what_the_page_does_not_use_is_closed(path):
    app = App()
    (answer,) = ask(app, ("GET", path, {}))
    assert answer.status_code == 404 and app.seen == []


def test_a_sessions_name_serves_one_address():
    app, join = App(), ("POST", "/gradio_api/queue/join", {"json": {"data": [], "session_hash": "test"}})
    listen = ("GET", "/gradio_api/queue/data?session_hash=test", {})

    def by(request, address):
        method, path, options = request
        return method, path, options | {"headers": {"x-forwarded-for": address}}

    first, *others = ask(
        app, by(join, "8.8.8.8"), by(join, "9.9.9.9"), by(listen, "9.9.9.9"), rules=Rules(behind_proxy=True)
    )
    assert first.status_code == 200 and len(app.seen) == 1
    assert all(other.status_code == 403 and "another" in sentence(other).lower() for other in others)


@pytest.mark.parametrize("path", ["heartbeat/", "queue/data?session_hash=", "call/compare/"])
def test_a_visit_has_a_short_name(path):
    app = App()
    for name in ("a" * 60_000, "a%20b", "a%3Cb%3E"):
        (answer,) = ask(app, ("GET", f"/gradio_api/{path}{name}", {}))
        assert answer.status_code == 400 and sentence(answer)
    assert app.seen == []


@pytest.mark.parametrize("host", ['"><script>x</script>', "a b", "a" * 300, "a\\b", "a@b"])
def test_what_is_no_name_of_a_server_is_not_written_into_a_page(host):
    app = App()
    (answer,) = ask(app, ("GET", "/", {"headers": {"host": host}}))
    assert answer.status_code == 400 and sentence(answer) and app.seen == []


def test_parts_of_files_are_not_asked_for():
    app = App()
    ask(app, ("GET", "/gradio_api/file=/tmp/a.png", {"headers": {"range": "bytes=0-5", "x-mine": "1"}}))
    names = {name for name, _ in app.headers}
    assert b"range" not in names and b"x-mine" in names


def test_another_sites_name_for_this_machine_is_refused_and_health_is_told():
    rules = Rules(hosts=frozenset({"localhost"}))
    rebound, health = ask(
        App(), ("GET", "/", {"headers": {"host": "evil.example"}}), ("GET", "/healthz", {"headers": {"host": "10.0.0.1"}}),
        rules=rules,
    )  # fmt: skip
    assert rebound.status_code == 403 and "REWEIGHT_HOSTS" in sentence(rebound)
    assert health.status_code == 200 and health.json()["status"] == "ok" and health.json()["waiting"] == 0


def test_only_a_trusted_proxy_may_say_under_which_name_the_page_is_served():
    headers = {
        "x-forwarded-host": "evil.example",
        "x-gradio-server": "http://evil.example",
        "x-forwarded-proto": "https",
    }
    app = App()
    ask(app, ("GET", "/", {"headers": headers}))
    assert not any(b"evil" in value for _, value in app.headers)
    ask(app, ("GET", "/", {"headers": headers}), rules=Rules(behind_proxy=True))
    kept = {name for name, _ in app.headers}
    assert b"x-forwarded-host" in kept and b"x-gradio-server" not in kept


def test_a_caller_without_a_session_holds_a_few_places_and_a_job_without_a_listener_is_stopped():
    async def run() -> tuple[list[int], bool, int, httpx.Response]:
        app, numbers = App(), iter(range(100))

        async def numbered(scope: Any, receive: Any, send: Any) -> None:
            async def renamed(message: Any) -> None:
                if message.get("body"):
                    message["body"] = json.dumps({"event_id": f"{next(numbers):032x}"}).encode()
                await send(message)

            await app(scope, receive, renamed)

        house = House(SMALL)
        transport = httpx.ASGITransport(Guard(numbered, house), client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            codes = [(await client.post("/gradio_api/call/x", json={"data": []})).status_code for _ in range(6)]
            await asyncio.wait_for(app.left.wait(), 20)
            for _ in range(400):
                if not house.places.held:
                    break
                await asyncio.sleep(0.05)
            late = await client.get(f"/gradio_api/call/x/{0:032x}")
        return codes, app.left.is_set(), len(house.places.held), late

    codes, left, held, late = finished(run())
    assert codes == [200] * 4 + [429] * 2 and left and held == 0
    assert late.status_code == 410 and "nobody listened" in sentence(late)


def test_a_body_that_trickles_in_for_ever_is_ended():
    async def trickle():
        while True:
            await asyncio.sleep(0.02)
            yield b"x"

    app = App()
    rules = Rules(json_bytes=1000, body_seconds=0.2)
    (answer,) = ask(app, ("POST", "/gradio_api/call/compare", {"content": trickle()}), rules=rules)
    assert answer.status_code == 408 and "too long" in sentence(answer)
    assert app.seen == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_no_method_brings_a_larger_body(method):
    app = App()
    (answer,) = ask(app, (method, "/gradio_api/call/compare", {"content": b"x" * 2000}))
    assert answer.status_code == 413 and app.seen == []


def test_a_web_socket_is_closed():
    said: list[Any] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            said.append(message["type"])

        await Guard(App(), House(SMALL))({"type": "websocket", "path": "/gradio_api/queue/join"}, None, send)

    finished(run())
    assert said == ["websocket.close"]


def test_an_address_has_so_many_open_streams_and_another_still_gets_one():
    async def run() -> tuple[list[int], int, int]:
        house = House(Rules(streams_each=3, streams=5, behind_proxy=True))
        guard, codes = Guard(App(), house), []

        async def listen(address: str, left: asyncio.Event) -> None:
            async def receive() -> Any:
                await left.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    codes.append(message["status"])

            headers = [(b"x-forwarded-for", address.encode()), (b"host", b"localhost")]
            scope = {"type": "http", "method": "GET", "path": "/gradio_api/heartbeat/abc", "headers": headers,
                     "query_string": b"", "client": ("10.0.0.1", 1)}  # fmt: skip
            await guard(scope, receive, send)

        left = asyncio.Event()
        tasks = [asyncio.create_task(listen(address, left)) for address in ["8.8.8.8"] * 5 + ["9.9.9.9"] * 2]
        await asyncio.sleep(0)
        while len(codes) < 2:
            await asyncio.sleep(0.01)
        held = house.connections.open.total()
        left.set()
        await asyncio.gather(*tasks)
        return codes, held, house.connections.open.total()

    codes, held, after = finished(run())
    assert codes == [429, 429] and held == 5 and after == 0


def test_an_answer_that_nobody_takes_is_given_up_and_its_connection_dropped():
    class Taken:
        """As uvicorn's connection of a caller who does not read."""

        def __init__(self, scope: Any) -> None:
            self.scope, self.cycle, self.transport, self.aborted = scope, None, self, False

        def abort(self) -> None:
            self.aborted = True

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})

    async def run() -> bool:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")], "query_string": b"",
                 "client": ("127.0.0.1", 1)}  # fmt: skip
        house, connection = House(Rules(taken_seconds=0.1)), Taken(scope)
        house.connections.server = SimpleNamespace(server_state=SimpleNamespace(connections={connection}))
        sent = 0

        async def send(message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent > 5:
                await asyncio.Event().wait()

        await asyncio.wait_for(Guard(endless, house)(scope, None, send), 20)
        return connection.aborted

    assert finished(run())


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1/x.png", "HTTPS://example.org/x.png", " ftp://x/y", "file:///etc/passwd"]
)
def test_no_file_is_fetched_from_an_address(address):
    picture = {"path": address, "meta": {"_type": "gradio.FileData"}}
    app = App()
    for data in ([picture, "a red apple"], [{"deep": [picture]}]):
        for path in ("/gradio_api/call/score", "/gradio_api/queue/join", "/gradio_api/call/v2/score"):
            (answer,) = ask(app, ("POST", path, {"json": {"data": data, "session_hash": "abc"}}))
            assert answer.status_code == 400 and "upload" in sentence(answer)
    assert app.seen == []
    (good,) = ask(
        app, ("POST", "/gradio_api/call/score", {"json": {"data": ["http://a prompt", {"path": "/tmp/a.png"}]}})
    )
    assert good.status_code == 200


def test_a_listener_whose_job_was_dropped_without_a_word_is_told():
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def run() -> tuple[list[Any], int, int]:
        house, said = House(SMALL), []
        known = {"b" * 32: None}
        for event in ("a" * 32, "b" * 32):
            house.places.held[event] = Place("127.0.0.1", "", event)

        async def listen(event: str) -> None:
            async def send(message: Any) -> None:
                said.append((event[0], message))

            scope = {"type": "http", "method": "GET", "path": f"/gradio_api/call/x/{event}", "query_string": b"",
                     "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1)}  # fmt: skip
            await Guard(silent, house)(scope, None, send)

        tasks = [asyncio.create_task(listen(event)) for event in list(house.places.held)]
        while len(said) < 2:
            await asyncio.sleep(0.01)
        house._let_go_of_lost(known)
        await asyncio.sleep(0)
        before = sum(task.done() for task in tasks)
        house._let_go_of_lost(known)
        await asyncio.wait_for(tasks[0], 20)
        tasks[1].cancel()
        return said, before, len(house.places.held)

    said, before, held = finished(run())
    assert before == 0 and held == 1, "one that has only just ended gets a round more"
    assert said[-1][0] == "a" and b"nobody listened" in said[-1][1]["body"] and not said[-1][1]["more_body"]
