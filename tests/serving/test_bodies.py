"""Large bodies and uploads: the real program in public mode."""

from __future__ import annotations

import struct
import time
import zlib

import httpx
from calling import Caller, memory_of
from server import Server


def test_ten_megabytes_of_json_cost_nothing(public: Server, caller: Caller):
    before, began = memory_of(public), time.monotonic()
    for body, refusal in (
        (b'{"data": [' + b"1," * 5_000_000 + b"1]}", 413),
        (b'{"data": ' + b"[" * 900_000, 400),
        (b'{"data":["' + b"x" * 30_000_000, 413),
    ):
        for path in ("call/compare", "queue/join", "component_server", "cancel", "run/compare"):
            answer = caller.http.post(f"gradio_api/{path}", content=body, headers={"content-type": "application/json"})
            expected = {404} if path == "run/compare" else {refusal, 413}
            assert answer.status_code in expected, (path, answer.status_code)
            assert "Traceback" not in answer.text
    print(f"{memory_of(public) - before:.1f} MB, {(time.monotonic() - began) / 15:.2f} s each")
    assert memory_of(public) - before < 40


def test_sixty_uploads_in_one_request_are_too_many(public: Server, caller: Caller):
    def send(count: int, size: int) -> httpx.Response:
        files = [("files", (f"{n}.png", b"\0" * size)) for n in range(count)]
        return caller.http.post("gradio_api/upload", files=files)

    assert send(60, 2_000_000).status_code == 413
    assert send(1, 1_000_000).status_code == 200
    codes = [send(2, 1_900_000).status_code for _ in range(12)]
    assert set(codes) == {200, 429} and codes.count(200) <= 10


def test_depth_and_names_get_a_sentence(caller: Caller):
    for body in (
        b"[" * 100_000,
        b'{"data":' + b'{"a":' * 50_000,
        b'{"data":[1],"data":[2]}',
        b'{"data": 5}',
        b"[]",
        b'{"data":[]}',
    ):
        for path in ("call/compare", "call/nothing", "queue/join", "component_server", "call/v2/nothing"):
            answer = caller.http.post(f"gradio_api/{path}", content=body, headers={"content-type": "application/json"})
            assert 400 <= answer.status_code < 500 or answer.status_code == 200, (path, body[:20], answer.status_code)
            assert "Traceback" not in answer.text and ".py" not in answer.text
            if answer.status_code == 200 and path.startswith("call/"):  # without a listener, its place would be held on
                caller.http.get(f"gradio_api/{path}/{answer.json()['event_id']}")


def bomb(side: int = 20_000) -> bytes:
    """A PNG of some ten thousand bytes that unpacks to more than a gigabyte."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    pack, rows = zlib.compressobj(9), bytearray()
    for _ in range(side // 100):
        rows += pack.compress(bytes(100 * (1 + side // 8)))
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", bytes(rows) + pack.flush()) + chunk(b"IEND", b"")
    )


def test_a_picture_that_unpacks_to_a_gigabyte_is_refused(public: Server, caller: Caller):
    picture, before = bomb(), memory_of(public)
    (path,) = caller.http.post("gradio_api/upload", files={"files": ("a.png", picture)}).json()
    began = time.monotonic()
    kind, said = caller.ask("score", ({"path": path, "meta": {"_type": "gradio.FileData"}}, "a red apple", None))
    print(
        f"{len(picture) / 1000:.0f} kB, {kind} after {time.monotonic() - began:.1f} s, {memory_of(public) - before:+.0f} MB"
    )
    assert kind == "error" and said["error"].endswith(".") and memory_of(public) - before < 150
