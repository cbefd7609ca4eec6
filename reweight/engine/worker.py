"""The one thread that uses the pipelines: it runs jobs in fair turns."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .job import Busy, End, Job, Stopped, Work, release

RUNNING = 0.25  # seconds between the `Waiting` events of the running job's caller, who can disconnect at each
WAITING = 1.0  # the same for the caller of a waiting job, at least
EVENTS = 8  # `Waiting` events a second for all waiting callers: one costs as much as a denoising step


@dataclass(frozen=True)
class Waiting:
    """Nothing new. ahead: how many jobs have a turn before this one, 0 while it runs."""

    ahead: int


@dataclass(frozen=True)
class Status:
    """A worker's state: waiting jobs, whether one runs, jobs that have ended, and seconds since the last one ended."""

    waiting: int
    running: bool
    ended: int
    since: float | None


class Worker:
    """Runs jobs one at a time on its own thread.

    Clients take turns, so one with many jobs does not block the others. A client named "address/visitor" shares the
    turns of its address: addresses take turns, and so do the visitors of one address, so a machine gains nothing by
    using many names. seconds: time limit of a job. each: how many waiting jobs a named client may have. levels: how
    many copies of the pipelines there are, so that one job can draw while another is paused in the middle of a drawing.
    """

    def __init__(self, *, seconds: float = float("inf"), each: int = 8, levels: int = 1) -> None:
        self.seconds, self.each, self.levels = seconds, each, levels
        self._within: set[int] = set()  # levels whose pipelines are in the middle of a drawing
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
        self._waiting: OrderedDict[str, OrderedDict[str, deque[Job]]] = (
            OrderedDict()
        )  # in the order of their next turns
        self._running: list[Job] = []  # the last one runs, the others are paused
        self._closed = False
        self._ended, self._last = 0, None
        self._lock = threading.Lock()

    def stream(self, work: Work, client: str = "", seconds: float | None = None) -> Iterator[Any]:
        """Run `work(job)` and yield what it emits, with `Waiting` in between; closing the generator cancels the job.

        work: a function, or a generator function that yields where other jobs may have a turn. Its errors are raised
        here, except Stopped. seconds: the job's time limit, by default the worker's. Busy when the worker is closed,
        the client has too many waiting jobs, or the time is up.
        """
        job = Job(work, client, self.seconds if seconds is None else seconds)
        self._add(job)
        try:
            if ahead := self._ahead(job)[0]:
                yield Waiting(ahead)
            while True:
                ahead, waiting = self._ahead(job)
                try:
                    event = job.events.get(timeout=max(WAITING, waiting / EVENTS) if ahead else RUNNING)
                except queue.Empty:
                    event = Waiting(self._ahead(job)[0])
                if isinstance(event, End):
                    break
                yield event
            if event.error is not None:
                raise event.error
        finally:
            job.cancelled.set()

    def status(self) -> Status:
        """The worker's state."""
        with self._lock:
            waiting = sum(not job.cancelled.is_set() for job in self._order())
            since = None if self._last is None else time.monotonic() - self._last
            return Status(waiting, bool(self._running), self._ended, since)

    def cancel(self) -> None:
        """Stop the running job at its next check, drop waiting jobs and refuse new ones; returns at once."""
        with self._lock:
            self._closed = True
            jobs = [*self._order(), *self._running]
        for job in jobs:
            job.cancelled.set()

    def close(self) -> None:
        """`cancel`, then wait until the last job has ended."""
        self.cancel()
        self._thread.shutdown(wait=True)

    def _add(self, job: Job) -> None:
        with self._lock:
            mine = self._waiting.get(_address(job.client), {}).get(job.client, ())
            alive = [other for other in mine if not other.cancelled.is_set()]
            if job.client and len(alive) >= self.each:
                raise Busy(f"You have {len(alive)} requests waiting already: let one of them finish first.")
            self._queue(job)

    def _queue(self, job: Job) -> None:
        if self._closed:
            raise Busy("This is shutting down: start it again, then try once more.")
        clients = self._waiting.setdefault(_address(job.client), OrderedDict())
        clients.setdefault(job.client, deque()).append(job)
        self._thread.submit(self._turn)

    def _next(self) -> Job | None:
        """Remove and return the job whose turn it is; its client and address go to the end of the queue. None if every
        waiting job needs pipelines that are in the middle of a drawing."""
        for address, clients in self._waiting.items():
            for client, jobs in clients.items():
                if jobs[0].level not in self._within:
                    job = jobs.popleft()
                    del clients[client], self._waiting[address]
                    if jobs:
                        clients[client] = jobs
                    if clients:
                        self._waiting[address] = clients
                    return job
        return None

    def _turn(self) -> None:
        """Run one turn of the next job, if there is one. It is submitted to the thread once for each waiting job."""
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
            release(error)
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
        """Run a turn for each waiting address while a job is paused. within: it is in the middle of a drawing."""
        with self._lock:
            addresses, mine = len(self._waiting), self._running[-1].level
            if within and len(self._within) + 1 >= self.levels:
                return
            if within:
                self._within.add(mine)
        try:
            for _ in range(addresses):
                self._turn()
        finally:
            if within:
                self._within.discard(mine)

    def _order(self) -> list[Job]:
        """The waiting jobs, in the order of their turns."""
        rounds: list[tuple[int, int, Job]] = []
        for p, clients in enumerate(self._waiting.values()):
            turns = sorted(
                ((n, c, job) for c, jobs in enumerate(clients.values()) for n, job in enumerate(jobs)),
                key=lambda turn: turn[:2],
            )
            rounds += [(n, p, job) for n, (_, _, job) in enumerate(turns)]
        return [job for _, _, job in sorted(rounds, key=lambda turn: turn[:2])]

    def _ahead(self, job: Job) -> tuple[int, int]:
        """How many jobs of other clients have a turn before this one, and how many jobs wait in total. Cancelled jobs
        are not counted."""
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


def _address(client: str) -> str:
    return client.partition("/")[0]
