"""One caller's job: its event queue, its cancel flag, its time limit and its turns on the worker's thread."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

TURN = 0.5  # seconds after which a job that can pause gives other jobs a turn


class Stopped(Exception):
    """The caller has disconnected or pressed Stop."""


class Busy(ValueError):
    """A job was refused, or stopped before its end; the message is one sentence for a person."""


@dataclass(frozen=True)
class End:
    """The last event of a job, and the error that ended it, if any."""

    error: BaseException | None


class Job:
    """One caller's job, as its work function sees it: `emit` events, and call `check` often.

    Calling the job calls `check`, so it can be passed where a callback is expected. level: which copy of the
    pipelines the job uses, 0 for the original; None before its first turn.
    """

    def __init__(self, work: Work, client: str, seconds: float) -> None:
        self.client = client
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        self.level: int | None = None
        self._work, self._turns = work, None
        self._seconds = self._left = seconds
        self._began = self._deadline = 0.0
        self._others: Callable[[bool], object] = lambda within: None

    def __call__(self) -> None:
        self.check()

    def emit(self, event: Any) -> None:
        """Send an event to the caller."""
        self.events.put(event)

    def check(self) -> None:
        """Raise Stopped when the job is cancelled, Busy when its time is up."""
        if self.cancelled.is_set():
            raise Stopped
        if time.monotonic() > self._deadline:
            raise Busy(
                f"This was stopped after {self._seconds:g} seconds of work: ask for fewer steps or less at once."
            )

    def step(self) -> None:
        """`check`, and a pause, between two denoising steps."""
        self.check()
        self.pause(within=True)

    def pause(self, within: bool = False) -> None:
        """Give other jobs a turn if this one has run for longer than TURN.

        The pipelines must be unpatched; with within=True, in the middle of a drawing, only jobs that use other copies
        of the pipelines get a turn.
        """
        now = time.monotonic()
        if now - self._began > TURN:
            self._others(within)
            away = time.monotonic() - now
            self._began, self._deadline = self._began + TURN + away, self._deadline + away
            self._left -= TURN

    def turn(self, others: Callable[[bool], object] = lambda within: None) -> bool:
        """Work for one turn, on the worker's thread; True if there is more to do. others: runs other jobs' turns."""
        self._began, self._others = time.monotonic(), others
        self._deadline = self._began + self._left
        try:
            self.check()
            if self._turns is None:
                self._turns = self._work(self)
            return self._turns is not None and next(self._turns, self) is not self
        finally:
            self._left -= time.monotonic() - self._began

    def end(self, error: BaseException | None) -> None:
        """Clean up and send `End` to the caller, with the error of the cleanup if that fails."""
        turns, self._work, self._turns = self._turns, None, None
        try:
            if turns is not None:
                turns.close()
        except BaseException as failed:
            release(failed)
            error = error or failed
        finally:
            self.events.put(End(error))


Work = Callable[[Job], Generator[None, None, None] | None]


def release(error: BaseException | None) -> None:
    """Clear the frames of an error's traceback, which would keep their tensors in memory."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
