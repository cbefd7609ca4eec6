"""One thread for whatever touches a pipeline: jobs take fair turns there, can be cancelled, and have a time limit."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

HEARTBEAT = 0.1  # seconds after which a caller that waits hears that it still does


class Stopped(Exception):
    """The caller has gone or has pressed Stop."""


class Busy(ValueError):
    """A job that is not taken, or not taken to its end, in one sentence for a person."""


@dataclass(frozen=True)
class Waiting:
    """Nothing new; `ahead` jobs have a turn before this one, 0 while it runs."""

    ahead: int


@dataclass(frozen=True)
class _End:
    error: BaseException | None


class Job:
    """One caller's work, as the work itself sees it: `emit` an event, and `check` often whether to go on."""

    def __init__(self, work: Work, client: str, seconds: float) -> None:
        self.client = client
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        self._work, self._turns = work, None
        self._seconds = self._left = seconds
        self._deadline = 0.0

    def emit(self, event: Any) -> None:
        """Hand an event to the caller."""
        self.events.put(event)

    def check(self) -> None:
        """Stopped when nobody waits for the result any more; Busy when the time is up."""
        if self.cancelled.is_set():
            raise Stopped
        if time.monotonic() > self._deadline:
            raise Busy(
                f"This was stopped after {self._seconds:g} seconds of work: ask for fewer steps or less at once."
            )

    def turn(self) -> bool:
        """Work to the end of a turn, on the worker's thread; whether there is more to do."""
        began = time.monotonic()
        self._deadline = began + self._left
        try:
            self.check()
            if self._turns is None:
                self._turns = self._work(self)
            return self._turns is not None and next(self._turns, self) is not self
        finally:
            self._left -= time.monotonic() - began

    def end(self, error: BaseException | None) -> None:
        """Let go of everything, and tell the caller."""
        if self._turns is not None:
            self._turns.close()
        self._work = self._turns = None
        self.events.put(_End(error))


Work = Callable[[Job], Generator[None, None, None] | None]


class Worker:
    """Runs jobs one at a time, on one thread of its own.

    Clients take turns, so that one with many jobs does not keep the others waiting. seconds: the most that one job may
    work. each: how many jobs a client that gives its name may have waiting.
    """

    def __init__(self, *, seconds: float = float("inf"), each: int = 8) -> None:
        self.seconds, self.each = seconds, each
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()  # the client whose turn is next comes first
        self._running: Job | None = None
        self._closed = False
        self._lock = threading.Lock()

    def stream(self, work: Work, client: str = "", seconds: float | None = None) -> Iterator[Any]:
        """Run `work(job)` and yield what it emits, and `Waiting` in between; closing the generator cancels the job.

        work does everything at once, or is a generator function that yields where other jobs may have a turn. What it
        raises comes through, but Stopped. Busy when the worker is closed, the client has too many jobs waiting, or the
        job takes too long. seconds: the most that it may work, by default the worker's.
        """
        job = Job(work, client, self.seconds if seconds is None else seconds)
        self._add(job)
        try:
            if ahead := self._ahead(job):
                yield Waiting(ahead)
            while True:
                try:
                    event = job.events.get(timeout=HEARTBEAT)
                except queue.Empty:
                    event = Waiting(self._ahead(job))
                if isinstance(event, _End):
                    break
                yield event
            if event.error is not None:
                raise event.error
        finally:
            job.cancelled.set()

    def close(self) -> None:
        """Stop the job under way at its next check, drop those that wait, and take no more."""
        with self._lock:
            self._closed = True
            jobs = [job for jobs in self._waiting.values() for job in jobs] + ([self._running] if self._running else [])
        for job in jobs:
            job.cancelled.set()
        self._thread.shutdown(wait=True)

    def _add(self, job: Job) -> None:
        with self._lock:
            alive = [other for other in self._waiting.get(job.client, ()) if not other.cancelled.is_set()]
            if job.client and len(alive) >= self.each:
                raise Busy(f"You have {len(alive)} requests waiting already: let one of them finish first.")
            self._queue(job)

    def _queue(self, job: Job) -> None:
        if self._closed:
            raise Busy("This is shutting down: start it again, then try once more.")
        self._waiting.setdefault(job.client, deque()).append(job)
        self._thread.submit(self._turn)

    def _turn(self) -> None:
        """A turn for the job that is next. The thread is asked for one for each job that waits."""
        with self._lock:
            client, jobs = self._waiting.popitem(last=False)
            job = self._running = jobs.popleft()
            if jobs:
                self._waiting[client] = jobs
        try:
            more = job.turn()
            with self._lock:
                self._running = None
                if more:
                    self._queue(job)
            if not more:
                job.end(None)
        except BaseException as error:
            with self._lock:
                self._running = None
                closed = self._closed
            _release(error)
            if isinstance(error, Stopped):
                job.end(Busy("This was stopped because the program is shutting down.") if closed else None)
            else:
                job.end(error)

    def _ahead(self, job: Job) -> int:
        """How many jobs have a turn before this one."""
        with self._lock:
            mine = [other for other in self._waiting.get(job.client, ()) if not other.cancelled.is_set()]
            if job not in mine:
                return 0
            place, earlier, others = mine.index(job), True, 0
            for client, jobs in self._waiting.items():
                if client == job.client:
                    earlier = False
                else:
                    others += min(sum(not other.cancelled.is_set() for other in jobs), place + earlier)
            return place + others + (self._running is not None)


def _release(error: BaseException | None) -> None:
    """Let go of what the frames that an error went through hold, before somebody keeps the error."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
