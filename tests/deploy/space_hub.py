"""A stand-in for the hub on this machine, as much of it as making a Space and uploading to it needs.

It rejects what the hub rejects: binary files that come as ordinary text, and callers without a token.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

TOKEN = "hf_standin"


@dataclass
class Spaces:
    """The files of each Space, what was stored by checksum, and how often it was committed to."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    commits: list[list[str]] = field(default_factory=list)


def binary(data: bytes) -> bool:
    try:
        return "\0" in data.decode()
    except UnicodeDecodeError:
        return True


def faults_of_card(text: str) -> list[dict[str, str]]:
    """What the hub would not take in the README's front matter."""
    head = text.split("---")[1] if text.startswith("---\n") else ""
    card = dict(line.split(": ", 1) for line in head.strip().splitlines() if ": " in line)
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    good = {
        "title": bool(card.get("title")), "sdk": card.get("sdk") == "gradio", "app_file": card.get("app_file") == "app.py",
        "colorFrom": card.get("colorFrom") in colours, "colorTo": card.get("colorTo") in colours,
        "short_description": len(card.get("short_description", "")) <= 60,
    }  # fmt: skip
    return [{"message": f"{name} is not allowed"} for name, fine in good.items() if not fine]


def handler(spaces: Spaces) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = "/".join(path.split("/")[3:5])
            if name not in spaces.files:
                return self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            listing = [
                {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for file, data in spaces.files[name].items()
            ]
            if "/tree/" in path:
                return self.answer(200, listing)
            siblings = [{"rfilename": item["path"]} for item in listing]
            return self.answer(200, {"id": name, "sha": "a" * 40, "siblings": siblings})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self.answer(401, {"error": "Invalid username or password."})
            path = self.path.partition("?")[0]
            if path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                assert asked["type"] == "space" and asked["sdk"] == "gradio"
                there = name in spaces.files
                spaces.files.setdefault(name, {".gitattributes": b"*.png filter=lfs\n"})
                return self.answer(
                    409 if there else 200, {"url": f"http://{self.headers['Host']}/spaces/{name}", "name": name}
                )
            if path == "/api/validate-yaml":
                errors = faults_of_card(json.loads(body)["content"])
                return self.answer(400 if errors else 200, {"errors": errors, "warnings": []})
            if "/preupload/" in path:
                asked = [(file["path"], base64.b64decode(file["sample"])) for file in json.loads(body)["files"]]
                modes = [
                    {"path": file, "uploadMode": "lfs" if binary(sample) else "regular", "shouldIgnore": False}
                    for file, sample in asked
                ]
                return self.answer(200, {"files": modes})
            if path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {"oid": item["oid"], "size": item["size"],
                     "actions": {"upload": {"href": f"http://{self.headers['Host']}/store/{item['oid']}"}}}
                    for item in json.loads(body)["objects"]
                ]  # fmt: skip
                return self.answer(200, {"transfer": "basic", "objects": objects})
            if "/commit/" in path:
                return self.commit("/".join(path.split("/")[3:5]), body)
            return self.answer(404, {"error": path})

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            spaces.stored[hashlib.sha256(data).hexdigest()] = data
            self.answer(200, {})

        def commit(self, name: str, body: bytes) -> None:
            files = dict(spaces.files[name])
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    data = base64.b64decode(value["content"])
                    if binary(data):
                        return self.answer(400, {"error": "binary files are rejected: use the storage for large files"})
                    files[value["path"]] = data
                elif line["key"] == "lfsFile":
                    files[value["path"]] = spaces.stored[value["oid"]]
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            spaces.files[name] = files
            spaces.commits.append(sorted(files))
            return self.answer(
                200,
                {"commitUrl": f"http://{self.headers['Host']}/spaces/{name}/commit/{'b' * 40}", "commitOid": "b" * 40},
            )

        def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            named = {"Content-Type": "application/json", "Content-Length": str(len(body))} | (headers or {})
            for name, text in named.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            return

    return Handler


@contextmanager
def space_hub() -> Iterator[tuple[Spaces, str]]:
    """The stand-in, and its address."""
    spaces = Spaces()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(spaces))
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield spaces, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
