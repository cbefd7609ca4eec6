"""Starts and stops the page: Gradio's `launch` with the middleware around the app, and shutdown within seconds."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .address import bypass_proxies
from .callers import hosts_allowed
from .connections import room_for_files
from .files import Scratch
from .guard import Guard
from .house import House
from .logs import adopt_uvicorn
from .mcp_answers import mend
from .rules import Rules

log = logging.getLogger(__name__)
PIXELS = 2048 * 2048  # of a picture that a visitor uploads
LAST = 2.0  # seconds for the shutdown; then the process is ended


def rules_for(local: bool, host: str, environment: dict[str, str] | None = None, *, mcp: bool = False) -> Rules:
    """The rules of a public demo, or of a local one, which accepts only its own Host names."""
    environment = dict(os.environ) if environment is None else environment
    named = bool(environment.get("REWEIGHT_HOSTS"))
    rules = Rules(mcp=mcp, behind_proxy=bool(environment.get("SPACE_ID") or environment.get("REWEIGHT_BEHIND_PROXY")))
    if local or named:
        rules = replace(rules, hosts=hosts_allowed(host, environment))
    return replace(rules, hourly_bytes=4e9) if local else rules


def serve(
    demo: Any, engine: Any, page: dict[str, Any], *, host: str, port: int, rules: Rules, scratch: Scratch,
    stop: Stop, ready: Callable[[str], object] = lambda url: None,
) -> None:  # fmt: skip
    """Serve a demo until `stop` is set, then shut down within LAST seconds. OSError if the server cannot listen.

    page: further options for Gradio's `launch`, such as its theme. ready: called with the address when the page is up.
    """
    from fastapi.middleware import Middleware
    from PIL import Image

    files = room_for_files()
    Image.MAX_IMAGE_PIXELS = PIXELS // 2  # Pillow warns above this, and refuses above twice this
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    stop.await_it()
    house = House(rules, scratch, lambda: health(engine, demo), files)
    house.sessions.demo = demo
    demo.queue(api_open=False, max_size=2 * rules.places, default_concurrency_limit=rules.places)
    bypass_proxies(host)
    inside = page.get("app_kwargs", {})
    around = inside | {"middleware": [Middleware(Guard, house=house), *inside.get("middleware", ())]}
    demo.launch(
        **page | {"app_kwargs": around}, server_name=host, server_port=port, prevent_thread_lock=True, quiet=True,
        inline=False, max_threads=rules.places + 32, state_session_capacity=2 * rules.sessions, mcp_server=rules.mcp,
        _frontend=False,  # else it asks for the page, and ends the program where that takes 3 s, as on a busy machine
    )  # fmt: skip
    house.connections.watch(demo.server)
    if rules.mcp:
        mend(demo.mcp_server_obj, house.inside)
    adopt_uvicorn()
    scratch.keep()
    log.info("serving", extra={"fields": {"address": demo.local_url}})
    ready(demo.local_url)
    stop.wait()
    log.info("stopping")
    house.close()
    engine.cancel()
    demo.close(verbose=False)
    engine.close()


def health(engine: Any, demo: Any = None) -> dict[str, Any]:
    """The engine's state: waiting jobs, whether one runs, and seconds since the last one ended; and the sizes of the
    bounded caches: drawn pictures, and visitors' data."""
    status = engine.worker.status()
    since = None if status.since is None else round(status.since, 1)
    remembered = engine.remembered() + (demo.live.sessions.size() if demo is not None else 0)
    return {
        "waiting": status.waiting, "running": status.running, "ended": status.ended, "last_ended_seconds": since,
        "remembered_megabytes": round(remembered / 1e6, 1),
    }  # fmt: skip


class Stop:
    """Waits for SIGTERM, SIGINT, or SIGHUP (a terminal that was closed), also as the first process of a container, which
    ignores them unless it listens. A SIGHUP that is ignored already, as nohup has it, stays so.

    From the first of them the process ends within LAST seconds, even where a step under way takes longer: nothing is
    half written by then, because files are written atomically. While a model loads it ends at once.
    """

    def __init__(self, at_last: Callable[[], object] = lambda: None) -> None:
        self._asked, self._awaited, self._at_last = threading.Event(), False, at_last
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), self._heard)
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                signal.signal(signal.SIGHUP, self._heard)

    def set(self) -> None:
        """Stop as if a signal had been received."""
        self._asked.set()

    def await_it(self) -> None:
        """From now on a signal ends `wait` instead of interrupting other code."""
        self._awaited = True

    def wait(self) -> None:
        """Wait for a signal, waking regularly to notice signals that were delivered to another thread."""
        while not self._asked.wait(0.25):
            continue

    def leave(self) -> None:
        """If a signal was received, end the process at once, because deallocating models and libraries takes seconds."""
        if self._asked.is_set():
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(0)

    def _heard(self, number: int, frame: Any) -> None:
        if not self._asked.is_set():
            timer = threading.Timer(LAST, self._give_up)
            timer.daemon = True
            timer.start()
        self._asked.set()
        if not self._awaited:
            raise SystemExit(0)

    def _give_up(self) -> None:
        self._at_last()
        os._exit(0)
