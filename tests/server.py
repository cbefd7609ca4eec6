"""The real program as a process of its own, and a free port for it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO

import httpx

ROOT = Path(__file__).resolve().parent.parent
START = 420  # seconds that a start may take on a busy machine


@dataclass(frozen=True)
class Server:
    """A running program: where it is, the folder of its first model, where its temporary files go, its process, what
    it has written to its console."""

    url: str
    port: int
    model: str
    temporary: Path
    process: subprocess.Popen[str]
    said: Callable[[], str] = str


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(
    *options: str,
    temporary: str | None = None,
    output: IO[str] | int = subprocess.PIPE,
    changes: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    """Start `python app.py` with one thread for torch; what it says goes to `output`. changes: of the environment."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | changes
    if temporary:
        environment |= {
            "TMPDIR": temporary, "GRADIO_TEMP_DIR": f"{temporary}/gradio", "HF_ASSETS_CACHE": f"{temporary}/assets",
        } | changes  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "app.py", *options],
        cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip


@contextmanager
def serving(
    model: Path | None,
    folder: Path | None = None,
    *further: str,
    host: str = "127.0.0.1",
    changes: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """The program in local mode with a folder as its first model, until the end of the block; without one in public mode.

    further: options. changes: of the environment. folder: for its temporary and cached files, where they are to stay. Whatever its visitors did, it must not have shown
    a traceback on its console.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryFile("w+", encoding="utf-8") as console:
        temporary = str(folder or own)
        options = ("--port", str(port), *further, *(("--local", "--model", str(model)) if model else ()))
        process = program(*options, temporary=temporary, output=console, changes=changes)
        try:
            url = f"http://{host}:{port}/"
            _wait_for(process, url, console)
            yield Server(url, port, str(model), Path(temporary), process, partial(_all_of, console))
        finally:
            process.terminate()
            process.wait(30)
        said = _all_of(console)
        assert "Traceback" not in said, said


def no_insides(text: str) -> bool:
    """Whether a text for a person shows neither a traceback nor a path of this machine."""
    return not re.search(r"Traceback|File \"|\.py\b|site-packages|/(root|home|work|usr|tmp|var)/", text)


def _all_of(console: IO[str]) -> str:
    return os.pread(console.fileno(), 10**8, 0).decode(errors="replace")


def _wait_for(process: subprocess.Popen[str], url: str, console: IO[str]) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"The program has ended: {_all_of(console)}")
        try:
            if httpx.get(url, timeout=10, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"The program did not answer within {START} seconds.")
