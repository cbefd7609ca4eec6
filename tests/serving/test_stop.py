"""The end of the program: nothing that is taken apart after it keeps the process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from server import ROOT

SLOW = """
import signal, sys
from reweight.serving.server import Stop

signal.signal(getattr(signal, sys.argv[1]), signal.SIG_DFL)  # where the tests run under nohup, SIGHUP is ignored

class Slow:
    def __del__(self, sleep=__import__("time").sleep):
        sleep(60)  # as large libraries take long to go

slow, stop = Slow(), Stop()
try:
    stop.await_it()
    print("ready", flush=True)
    stop.wait()
    print("closed", end="")
finally:
    stop.leave()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_the_process_goes_as_soon_as_everything_is_closed(name: str):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, name], cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(getattr(signal, name))
    said, _ = process.communicate(timeout=30)
    assert said == "closed" and process.returncode == 0
