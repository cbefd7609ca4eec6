"""The container as far as it can be had without a container: its file, and the program as its user on a read-only root.

The image itself is not built here: what it would copy is, and runs alone.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from server import ROOT, START, free_port

LINES = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
ENVIRONMENT = dict(
    pair.split("=", 1) for line in LINES if line.startswith("ENV ") for pair in line.removeprefix("ENV ").split()
)
INSIDE = """
set -e
mount --make-rprivate /
mount --bind / "$R"
for home in "$@"; do  # what the user of the image has in /usr, and we under a home of root's
  mkdir -p "$K$home"; mount --bind "$home" "$K$home"
done
case "$1" in /root*) mount -t tmpfs -o mode=755 tmpfs "$R/root";; esac
for home in "$@"; do
  mkdir -p "$R$home"; mount --bind "$K$home" "$R$home"; mount -o remount,bind,ro "$R$home"
done
case "$1" in /root*) mount -o remount,ro "$R/root";; esac
mount -t proc proc "$R/proc"; mount --bind /dev "$R/dev"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$R/dev/shm"
mount -t tmpfs -o size=600m,mode=1777 tmpfs "$R/tmp"
mount -o remount,bind,ro "$R"
cd "$APP"
exec chroot "$R" setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
  env -i $VARIABLES PATH="$PATH" bash -c 'cd "$0" && (touch written 2>/dev/null && echo WRITABLE; id -u) && exec "$1" app.py --port "$2"' \
  "$APP" "$PYTHON" "$PORT"
"""


def test_everything_that_is_copied_is_there_and_goes_along():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = [name for line in LINES if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert {"app.py", "reweight", "assets", "requirements.txt"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists() and not any(fnmatch.fnmatch(name, pattern) for pattern in ignored), name


def test_it_runs_as_a_plain_user_and_ends_by_its_first_process():
    (user,) = [line.split()[1] for line in LINES if line.startswith("USER ")]
    assert user.isdigit() and int(user) > 999
    assert LINES[-1] == 'CMD ["python", "app.py"]', "a shell in between would swallow SIGTERM"
    assert [line for line in LINES if line.startswith("HEALTHCHECK")] and ENVIRONMENT["HOME"] == "/tmp"
    assert not any(word in line for line in LINES for word in ("ADD ", "curl", "wget", "--trusted-host"))


def copied(folder: Path) -> Path:
    """What the image has of this checkout, and nothing else, in a folder."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for line in LINES:
        if line.startswith("COPY "):
            *names, target = line.split()[1:]
            for name in names:
                to = folder / target / (name if (ROOT / name).is_file() else "")
                to.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, to, ignore=ignored)
                else:
                    shutil.copy2(ROOT / name, to)
    return folder


@contextmanager
def contained(port: int) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The program as user 10001, first of its processes, on a root that cannot be written; its console's file."""
    base = Path(sys.base_prefix).resolve()
    homes = [str(base)] if str(base).startswith("/root") else []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, tempfile.NamedTemporaryFile() as console:
        for name in ("root", "kept", "app"):
            Path(folder, name).mkdir()
        Path(folder).chmod(0o755)
        app = copied(Path(folder, "app"))
        variables = ENVIRONMENT | {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "GRADIO_SERVER_NAME": "127.0.0.1"}
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", INSIDE, "inside", *homes],
            env=os.environ | {"R": f"{folder}/root", "K": f"{folder}/kept", "APP": str(app), "PYTHON": sys.executable,
                              "PORT": str(port), "VARIABLES": " ".join(f"{a}={b}" for a, b in variables.items())},
            stdout=console, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        )  # fmt: skip
        try:
            yield process, Path(console.name)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(60)


@pytest.mark.full
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="a read-only root of its own needs root")
def test_it_serves_as_a_plain_user_on_a_read_only_root():
    port, began = free_port(), time.monotonic()
    with contained(port) as (process, console):
        url, ready = f"http://127.0.0.1:{port}/", None
        while ready is None and time.monotonic() - began < 2 * START:
            assert process.poll() is None, console.read_text(encoding="utf-8")
            try:
                ready = time.monotonic() - began if httpx.get(f"{url}healthz", trust_env=False).is_success else None
            except httpx.HTTPError:
                time.sleep(0.2)
        assert ready is not None, console.read_text(encoding="utf-8")
        inner = [child for child in psutil.Process(process.pid).children(recursive=True) if "app.py" in child.cmdline()]
        said = console.read_text(encoding="utf-8")
        assert "10001" in said and "WRITABLE" not in said and inner[0].uids().real == 10001
        idle = inner[0].memory_info().rss / 1e6
        session = httpx.post(f"{url}reweight/begin", json={"query": ""}, trust_env=False, timeout=60).json()
        body = {"session": session["session"], "settings": session["settings"], "given": {}}
        answer = httpx.post(f"{url}reweight/compare/draw", json=body, trust_env=False, timeout=120).text
        assert answer.count('"kind":"picture"') >= 3 and answer.rstrip().endswith('{"kind":"done"}')
        file = httpx.post(f"{url}gradio_api/upload", files={"files": ("a.png", b"\0" * 1000)}, trust_env=False)
        assert file.status_code == 200
        busy = inner[0].memory_info().rss / 1e6
        ended = time.monotonic()
        inner[0].send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        print(
            f"ready after {ready:.1f} s, {idle:.0f} MB, with a comparison {busy:.0f} MB; ended after "
            f"{time.monotonic() - ended:.1f} s; load {os.getloadavg()[0]:.0f}"
        )
