"""Requests on their way in: names, sizes, times."""

from __future__ import annotations

import asyncio

import pytest
from around import App, ask, sentence

from reweight.serving.rules import Rules
from reweight.storage.strict_json import CONTAINERS


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


def test_who_names_two_servers_is_answered_for_neither():
    app = App()
    (answer,) = ask(app, ("GET", "/", {"headers": [("host", "evil.example"), ("host", "localhost")]}))
    assert answer.status_code == 400 and sentence(answer) and app.seen == []


def test_cookies_which_nothing_here_has_are_not_read():
    app = App()
    ask(app, ("GET", "/config", {"headers": {"cookie": 'a="' + "\\" * 50_000 + '"', "x-mine": "1"}}))
    names = {name for name, _ in app.headers}
    assert b"cookie" not in names and b"x-mine" in names


def test_who_waits_for_leave_to_send_too_much_is_refused_at_once():
    asked = []

    async def endless():
        asked.append(1)
        yield b"x" * 100_000

    for path, status in (("upload", 413), ("call/compare", 413), ("run/compare", 404)):
        headers = {"expect": "100-continue", "content-length": "100000"}
        (answer,) = ask(App(), ("POST", f"/gradio_api/{path}", {"headers": headers, "content": endless()}))
        assert answer.status_code == status and sentence(answer) and asked == []


def test_a_job_that_is_not_there_is_not_listened_to():
    app = App()
    (answer,) = ask(app, ("GET", "/gradio_api/call/compare/" + "e" * 32, {}))
    assert answer.status_code == 410 and sentence(answer) and app.seen == []


@pytest.mark.parametrize(
    "path", ["gradio_api/call/compare", "gradio_api/queue/join", "gradio_api/cancel", "reweight/compare/draw"]
)
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(path):
    app, body = App(), b'{"data": [' + b"[]," * CONTAINERS + b"1]}"
    (answer,) = ask(app, ("POST", f"/{path}", {"content": body}), rules=Rules())
    assert answer.status_code == 413 and "too many values" in sentence(answer) and app.seen == []
