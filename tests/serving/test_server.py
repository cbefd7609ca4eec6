"""Starting the page, on a machine that is slow to answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from server import ROOT, free_port

SERVED = """
import asyncio, sys
from types import SimpleNamespace
import gradio as gr
from starlette.middleware import Middleware
from reweight.serving.files import Scratch
from reweight.serving.server import Stop, rules_for, serve

class Busy:
    def __init__(self, app):
        self.app = app
    async def __call__(self, scope, receive, send):
        if scope.get("path") == "/":
            await asyncio.Event().wait()  # the page takes longer than anybody waits
        await self.app(scope, receive, send)

def ready(url):
    print("ready", flush=True)
    stop.set()

stop, nothing = Stop(), SimpleNamespace(cancel=int, close=int)
with gr.Blocks() as demo:
    gr.Textbox()
serve(demo, nothing, {"app_kwargs": {"middleware": [Middleware(Busy)]}}, host="127.0.0.1", port=int(sys.argv[1]),
      rules=rules_for(False, "127.0.0.1"), scratch=Scratch(), stop=stop, ready=ready)
stop.leave()
"""
BROKEN = """
import os, sys
from reweight.serving import entry

def broken(*arguments):
    raise RuntimeError("a library is not\\nwhole")

entry._serve = broken
entry.main(["--port", sys.argv[1]])
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
    return subprocess.run(
        [sys.executable, "-c", code, str(free_port())], cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8",
        timeout=120, check=False,
    )  # fmt: skip


def test_a_page_that_is_slow_at_the_start_does_not_end_the_program(tmp_path: Path):
    done = run(SERVED, tmp_path)
    assert done.stdout == "ready\n" and done.returncode == 0, done.stderr


def test_what_keeps_it_from_starting_is_said_in_a_sentence(tmp_path: Path):
    done = run(BROKEN, tmp_path)
    assert done.returncode == 1 and "a library is not whole" in done.stderr and "RuntimeError" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
