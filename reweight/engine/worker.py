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

RUNNING = 0.25  # seconds after which the caller of the job that runs hears that it still does, and can be gone
WAITING = 1.0  # the same of one that waits for its turn, at least
TURN = 0.5  # seconds after which a job that can pause lets others have a turn
TOLD = 8  # waiting callers that hear something in a second, altogether: hearing costs as much as a denoising step


class Stopped(Exception):
    """The caller has gone or has pressed Stop."""


class Busy(ValueError):
    """A job that is not taken, or not taken to its end, in one sentence for a person."""


@dataclass(frozen=True)
class Waiting:
    """Nothing new; `ahead` jobs have a turn before this one, 0 while it runs."""

    ahead: int


@dataclass(frozen=True)
class Status:
    """How a worker is doing: jobs that wait, whether one runs, jobs that have ended, and seconds since the last."""

    waiting: int
    running: bool
    ended: int
    since: float | None


@dataclass(frozen=True)
class _End:
    error: BaseException | None


class Job:
    """One caller's work, as the work itself sees it: `emit` an event, and `check` often whether to go on.

    It can be handed on as a function that checks, and `pause` is then called where others may use the pipelines.
    level: of which copies of the pipelines it has, 0 for the pipelines themselves; None before its first turn.
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

    def step(self) -> None:
        """`check` between two steps of a drawing, and let others have a turn who have other copies of the pipelines."""
        self.check()
        self.pause(within=True)

    def pause(self, within: bool = False) -> None:
        """Let others have a turn in the midst of this one, where it lasts already.

        The pipelines must be as they were; or within a drawing, then only jobs with other copies of them have a turn.
        """
        now = time.monotonic()
        if now - self._began > TURN:
            self._others(within)
            away = time.monotonic() - now
            self._began, self._deadline = self._began + TURN + away, self._deadline + away
            self._left -= TURN

    def turn(self, others: Callable[[bool], object] = lambda within: None) -> bool:
        """Work to the end of a turn, on the worker's thread; whether there is more to do. others: gives others theirs."""
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
        """Let go of everything, and tell the caller, also where letting go fails: then that is what it is told."""
        turns, self._work, self._turns = self._turns, None, None
        try:
            if turns is not None:
                turns.close()
        except BaseException as failed:
            _release(failed)
            error = error or failed
        finally:
            self.events.put(_End(error))


Work = Callable[[Job], Generator[None, None, None] | None]


class Worker:
    """Runs jobs one at a time, on one thread of its own.

    Clients take turns, so that one with many jobs does not keep the others waiting. A client named "place/visitor" shares
    the turns of its place: places take turns, and within one its visitors do, so that one machine that gives itself many
    names gets no more than any other. seconds: the most that one job may work. each: how many jobs a client that gives
    its name may have waiting. levels: how many copies of the pipelines there are, so that one job can be in the midst of
    a drawing while another draws.
    """

    def __init__(self, *, seconds: float = float("inf"), each: int = 8, levels: int = 1) -> None:
        self.seconds, self.each, self.levels = seconds, each, levels
        self._within: set[int] = set()  # levels whose pipelines are in the midst of a drawing
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
        self._waiting: OrderedDict[str, OrderedDict[str, deque[Job]]] = OrderedDict()  # the next turn's come first
        self._running: list[Job] = []  # the last one works, and the others have paused for it
        self._closed = False
        self._ended, self._last = 0, None
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
            if ahead := self._ahead(job)[0]:
                yield Waiting(ahead)
            while True:
                ahead, waiting = self._ahead(job)
                try:
                    event = job.events.get(timeout=max(WAITING, waiting / TOLD) if ahead else RUNNING)
                except queue.Empty:
                    event = Waiting(self._ahead(job)[0])
                if isinstance(event, _End):
                    break
                yield event
            if event.error is not None:
                raise event.error
        finally:
            job.cancelled.set()

    def status(self) -> Status:
        """How it is doing."""
        with self._lock:
            waiting = sum(not job.cancelled.is_set() for job in self._order())
            since = None if self._last is None else time.monotonic() - self._last
            return Status(waiting, bool(self._running), self._ended, since)

    def cancel(self) -> None:
        """Stop the job under way at its next check, drop those that wait, and take no more; returns at once."""
        with self._lock:
            self._closed = True
            jobs = [*self._order(), *self._running]
        for job in jobs:
            job.cancelled.set()

    def close(self) -> None:
        """`cancel`, and wait until the last job has ended."""
        self.cancel()
        self._thread.shutdown(wait=True)

    def _add(self, job: Job) -> None:
        with self._lock:
            mine = self._waiting.get(_place(job.client), {}).get(job.client, ())
            alive = [other for other in mine if not other.cancelled.is_set()]
            if job.client and len(alive) >= self.each:
                raise Busy(f"You have {len(alive)} requests waiting already: let one of them finish first.")
            self._queue(job)

    def _queue(self, job: Job) -> None:
        if self._closed:
            raise Busy("This is shutting down: start it again, then try once more.")
        clients = self._waiting.setdefault(_place(job.client), OrderedDict())
        clients.setdefault(job.client, deque()).append(job)
        self._thread.submit(self._turn)

    def _next(self) -> Job | None:
        """The job whose turn it is, taken out; its client and its place go behind the others. None where all that wait
        need pipelines that are in the midst of a drawing."""
        for place, clients in self._waiting.items():
            for client, jobs in clients.items():
                if jobs[0].level not in self._within:
                    job = jobs.popleft()
                    del clients[client], self._waiting[place]
                    if jobs:
                        clients[client] = jobs
                    if clients:
                        self._waiting[place] = clients
                    return job
        return None

    def _turn(self) -> None:
        """A turn for the job that is next, if there is one. The thread is asked for one for each job that waits."""
        with self._lock:
            job = self._next()
            if job is None:
                return
            if job.level is None:
                job.level = next(level for level in range(self.levels) if level not in self._within)
            self._running.append(job)
        ending: BaseException | None = None
        more = False
        try:
            more = job.turn(self._between)
        except BaseException as error:
            _release(error)
            ending = error
        with self._lock:
            self._running.remove(job)
            closed = self._closed
            if more:
                try:
                    self._queue(job)
                    return
                except Busy as error:
                    ending = error
            self._ended, self._last = self._ended + 1, time.monotonic()
        if isinstance(ending, Stopped):
            ending = Busy("This was stopped because the program is shutting down.") if closed else None
        job.end(ending)

    def _between(self, within: bool) -> None:
        """A turn for each place that waits, in the midst of a job that has paused. within: in the midst of a drawing."""
        with self._lock:
            places, mine = len(self._waiting), self._running[-1].level
            if within and len(self._within) + 1 >= self.levels:
                return
            if within:
                self._within.add(mine)
        try:
            for _ in range(places):
                self._turn()
        finally:
            if within:
                self._within.discard(mine)

    def _order(self) -> list[Job]:
        """The jobs that wait, in the order of their turns."""
        rounds: list[tuple[int, int, Job]] = []
        for p, clients in enumerate(self._waiting.values()):
            turns = sorted(
                ((n, c, job) for c, jobs in enumerate(clients.values()) for n, job in enumerate(jobs)),
                key=lambda turn: turn[:2],
            )
            rounds += [(n, p, job) for n, (_, _, job) in enumerate(turns)]
        return [job for _, _, job in sorted(rounds, key=lambda turn: turn[:2])]

    def _ahead(self, job: Job) -> tuple[int, int]:
        """How many jobs of others have a turn before this one, and how many wait at all. Those of its own client are
        not others, and one that is cancelled is about to end."""
        with self._lock:
            order = [other for other in self._order() if not other.cancelled.is_set()]
            if job not in order:
                return 0, len(order)
            others = [
                one
                for one in (*self._running[-1:], *order[: order.index(job)])
                if not job.client or one.client != job.client
            ]
            return sum(not one.cancelled.is_set() for one in others), len(order)


def _place(client: str) -> str:
    return client.partition("/")[0]


def _release(error: BaseException | None) -> None:
    """Let go of what the frames that an error went through hold, before somebody keeps the error."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
