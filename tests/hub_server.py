"""A hub of our own on this machine, as much of huggingface.co as loading a model needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """Serves the folders of `served`, the same files at each of `commits`, of which the last is the newest."""

    served: dict[str, Path]
    gated: set[str]
    asked: list[str]
    commits: list[str]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        self.asked.append(f"{self.command} {path}")
        about = path.startswith("api/models/")
        if about:
            name, revision = "/".join(path.split("/")[2:4]), path.partition("/revision/")[2]
        else:
            name, _, rest = path.partition("/resolve/")
            revision, _, file = rest.partition("/")
        folder, commit = self.served.get(name), revision or self.commits[-1]
        if name in self.gated:
            return self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        if folder is None:
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if commit not in self.commits:
            return self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        body = self._listing(name, folder, commit) if about else (folder / file).read_bytes()
        return self._answer(200, body, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": commit})

    def _listing(self, name, folder, commit):
        files = [path for path in folder.rglob("*") if path.is_file()]
        siblings = [{"rfilename": p.relative_to(folder).as_posix(), "size": p.stat().st_size} for p in files]
        return json.dumps({"id": name, "sha": commit, "siblings": siblings}).encode()

    def _answer(self, status, body, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextmanager
def serving_hub(folder: Path) -> Iterator[tuple[type[Hub], str]]:
    """The hub, which has the folder as one/good and holds one/gated back, and its address."""
    members = {"served": {"one/good": folder}, "gated": {"one/gated"}, "asked": [], "commits": [COMMIT]}
    kind = type("Served", (Hub,), members)
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
    try:
        yield kind, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
