"""Fair turns, cancelling, limits: real threads, jobs that do next to nothing."""

import gc
import threading
import time
import weakref

import pytest

from reweight.engine.job import Busy
from reweight.engine.worker import Waiting, Worker

SOON = 5  # seconds, for what takes milliseconds


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def gate(worker):
    """A job that holds the worker until `gate.set()`."""
    opened, held = threading.Event(), threading.Event()

    def hold(job):
        held.set()
        opened.wait(SOON)

    thread = threading.Thread(target=list, args=(worker.stream(hold, "gate"),))
    thread.start()
    assert held.wait(SOON)
    yield opened
    opened.set()
    thread.join(SOON)


def start(worker, work, client=""):
    """Take part in the queue from a thread of one's own; returns the thread and the list of events to come."""
    events = []
    stream = worker.stream(work, client)
    thread = threading.Thread(target=lambda: events.extend(stream))
    before = waiting(worker)
    thread.start()
    deadline = time.monotonic() + SOON
    while waiting(worker) == before and time.monotonic() < deadline and thread.is_alive():
        time.sleep(0.001)
    return thread, events


def waiting(worker):
    return worker.status().waiting


def told(events):
    return [event for event in events if not isinstance(event, Waiting)]


def test_events_come_in_order_and_the_stream_ends(worker):
    assert list(worker.stream(lambda job: [job.emit(i) for i in range(5)] and None)) == [0, 1, 2, 3, 4]


def test_all_work_is_on_one_thread_which_is_not_the_callers(worker):
    threads = {*worker.stream(lambda job: job.emit(threading.get_ident()))}
    threads |= {*worker.stream(lambda job: job.emit(threading.get_ident()))}
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_nothing_is_done_before_the_first_event_is_asked_for(worker):
    done = []
    stream = worker.stream(lambda job: done.append(1))
    list(worker.stream(lambda job: None))
    assert not done
    list(stream)
    assert done


def test_a_caller_in_the_queue_hears_how_many_are_before_it(worker, gate):
    first = worker.stream(lambda job: job.emit("first"), "a")
    second = worker.stream(lambda job: job.emit("second"), "b")
    assert next(first) == Waiting(1) and next(second) == Waiting(2)
    assert next(second) == Waiting(2)  # and again, as long as it lasts
    first.close()
    assert next(second) == Waiting(1)
    gate.set()
    assert told(second) == ["second"]


def test_who_floods_the_queue_does_not_keep_another_waiting(worker, gate):
    order = []
    threads = [start(worker, lambda job, i=i: order.append(f"a{i}"), "a")[0] for i in range(6)]
    threads.append(start(worker, lambda job: order.append("b"), "b")[0])
    gate.set()
    for thread in threads:
        thread.join(SOON)
    assert order == ["a0", "b", "a1", "a2", "a3", "a4", "a5"]


def test_many_names_from_one_place_get_the_turns_of_one(worker, gate):
    order = []
    names = [f"10.0.0.1/visitor {i}" for i in range(6)]
    threads = [start(worker, lambda job, name=name: order.append(name), name)[0] for name in names]
    threads.append(start(worker, lambda job: order.append("another"), "10.0.0.2/visitor")[0])
    gate.set()
    for thread in threads:
        thread.join(SOON)
    assert order == [names[0], "another", *names[1:]]


def test_within_a_place_visitors_take_turns(worker, gate):
    order = []
    names = ["a/x", "a/x", "a/x", "a/y", "b/z"]
    threads = [start(worker, lambda job, name=name: order.append(name), name)[0] for name in names]
    stream = worker.stream(lambda job: None, "a/w")
    assert next(stream) == Waiting(4)  # the gate, x, z, y
    stream.close()
    gate.set()
    for thread in threads:
        thread.join(SOON)
    assert order == ["a/x", "b/z", "a/y", "a/x", "a/x"]


def test_how_many_are_before_a_job_counts_the_turns_of_other_clients(worker, gate):
    threads = [start(worker, lambda job: None, "a")[0] for _ in range(4)]
    stream = worker.stream(lambda job: None, "b")
    assert next(stream) == Waiting(2)  # the one that runs, and one of a's
    stream.close()
    gate.set()
    for thread in threads:
        thread.join(SOON)


def test_a_job_that_yields_lets_others_have_a_turn(worker, gate):
    order = []

    def long(job):
        for i in range(3):
            order.append(i)
            yield

    threads = [start(worker, long, "a")[0], start(worker, lambda job: order.append("b"), "b")[0]]
    gate.set()
    for thread in threads:
        thread.join(SOON)
    assert order == [0, "b", 1, 2]


def test_a_named_client_can_have_so_many_jobs_waiting(worker, gate):
    worker.each = 3
    streams = [worker.stream(lambda job: job.emit("done"), "a") for _ in range(3)]
    for stream in streams:
        assert isinstance(next(stream), Waiting)
    with pytest.raises(Busy, match="3 requests waiting already"):
        next(worker.stream(lambda job: None, "a"))
    assert isinstance(next(worker.stream(lambda job: None, "b")), Waiting)
    streams.pop().close()
    assert isinstance(next(worker.stream(lambda job: None, "a")), Waiting)
    gate.set()
    assert [told(stream) for stream in streams] == [["done"]] * 2


def test_a_job_closed_in_the_queue_is_never_begun(worker, gate):
    begun = []
    stream = worker.stream(lambda job: begun.append(1))
    next(stream)
    stream.close()
    gate.set()
    list(worker.stream(lambda job: None))
    assert not begun


def test_a_job_closed_between_turns_is_closed_on_the_workers_thread(worker):
    closed_on = []

    def work(job):
        job.emit(threading.get_ident())
        try:
            while True:
                time.sleep(0.001)
                yield
        finally:
            closed_on.append(threading.get_ident())

    stream = worker.stream(work)
    ours = next(stream)
    stream.close()
    list(worker.stream(lambda job: None))
    assert closed_on == [ours]


def test_a_stream_that_nobody_holds_any_more_stops_its_job(worker):
    stopped = threading.Event()

    def work(job):
        job.emit("begun")
        try:
            while True:
                job.check()
                time.sleep(0.001)
        finally:
            stopped.set()

    stream = worker.stream(work)
    assert next(stream) == "begun"
    del stream
    assert stopped.wait(SOON)


def test_an_error_reaches_its_caller_and_the_next_job_is_served(worker):
    def work(job):
        job.emit("begun")
        raise KeyError("why")

    stream = worker.stream(work)
    assert next(stream) == "begun"
    with pytest.raises(KeyError, match="why"):
        next(stream)
    assert list(worker.stream(lambda job: job.emit("next"))) == ["next"]


@pytest.mark.parametrize("how", ["closed", "raised", "ended"])
def test_a_job_whose_cleanup_raises_does_not_leave_its_caller_waiting(worker, how):
    def work(job):
        try:
            job.emit("begun")
            yield
            while how == "closed":
                yield
            if how == "raised":
                raise KeyError("first")
        finally:
            raise OSError("the cleanup failed")

    stream = worker.stream(work)
    assert next(stream) == "begun"
    if how == "closed":
        threading.Thread(target=worker.close).start()
    found = []
    thread = threading.Thread(target=lambda: found.append(pytest.raises((OSError, Busy), list, stream)))
    thread.start()
    thread.join(SOON)
    assert found
    if how != "closed":
        assert list(worker.stream(lambda job: job.emit("next"))) == ["next"]


def test_a_job_that_pauses_lets_others_have_a_turn_in_the_midst_of_its_own(worker, monkeypatch):
    monkeypatch.setattr("reweight.engine.job.TURN", 0.0)
    order, go = [], threading.Event()

    def long(job):
        job.emit("begun")
        go.wait(SOON)
        for i in range(3):
            order.append(i)
            time.sleep(0.001)
            job.pause()

    stream = worker.stream(long, "a")
    assert next(stream) == "begun"
    others = [start(worker, lambda job, i=i: order.append(f"b{i}"), "b")[0] for i in range(2)]
    others.append(start(worker, lambda job: order.append("c"), "c")[0])
    go.set()
    assert told(stream) == []
    for thread in others:
        thread.join(SOON)
    assert order == [0, "b0", "c", 1, "b1", 2]
    assert worker.status().ended == 4 and not worker.status().running


def test_closing_stops_a_job_that_has_paused_for_another(monkeypatch):
    monkeypatch.setattr("reweight.engine.job.TURN", 0.0)
    worker = Worker()
    inside = threading.Event()

    def long(job):
        job.emit("begun")
        while True:
            time.sleep(0.001)
            job.check()
            job.pause()

    def other(job):
        inside.set()
        while True:
            job.check()
            time.sleep(0.001)

    stream = worker.stream(long, "a")
    assert next(stream) == "begun"
    second = worker.stream(other, "b")
    assert isinstance(next(second), Waiting) and inside.wait(SOON)
    worker.close()
    for ended in (stream, second):
        with pytest.raises(Busy, match="shutting down"):
            list(ended)


def test_time_away_is_not_counted_as_work(worker, monkeypatch):
    monkeypatch.setattr("reweight.engine.job.TURN", 0.01)
    worker.seconds = 0.2
    go = threading.Event()

    def paused(job):
        job.emit("begun")
        go.wait(0.1)
        job.pause()
        job.check()
        job.emit("went on")

    stream = worker.stream(paused, "a")
    assert next(stream) == "begun"
    thread, _ = start(worker, lambda job: time.sleep(0.4), "b")
    go.set()
    assert told(stream) == ["went on"]
    thread.join(SOON)


def test_an_unheard_callers_job_is_told_of_rarely(worker, gate):
    streams = [worker.stream(lambda job: None, f"client {i}") for i in range(4)]
    for stream in streams:
        next(stream)
    began = time.monotonic()
    next(streams[0])
    assert time.monotonic() - began > 0.9
    for stream in streams:
        stream.close()


def test_the_status_counts_what_waits_and_what_has_ended(worker, gate):
    stream = worker.stream(lambda job: None)
    next(stream)
    status = worker.status()
    assert (status.waiting, status.running, status.ended, status.since) == (1, True, 0, None)
    gate.set()
    list(stream)
    assert worker.status().ended == 2 and worker.status().since < SOON


def test_an_error_that_is_kept_keeps_nothing_of_the_work_alive(worker):
    class Tensor:
        pass

    seen = []

    def inner():
        big = Tensor()
        seen.append(weakref.ref(big))
        raise RuntimeError("out of memory")

    def work(job):
        try:
            inner()
        except RuntimeError as error:
            raise ValueError("There is not enough memory.") from error

    with pytest.raises(ValueError, match="memory") as caught:
        list(worker.stream(work))
    gc.collect()
    assert caught.value.__cause__ is not None and seen[0]() is None


def test_a_job_has_so_many_seconds_of_work(worker):
    worker.seconds = 0.05

    def work(job):
        while True:
            time.sleep(0.01)
            job.check()

    def turns(job):
        while True:
            time.sleep(0.01)
            yield

    for long in (work, turns):
        with pytest.raises(Busy, match=r"stopped after 0\.05 seconds"):
            list(worker.stream(long))
    assert list(worker.stream(lambda job: job.emit(1))) == [1]


def test_time_in_the_queue_does_not_count(worker, gate):
    worker.seconds = 0.05
    stream = worker.stream(lambda job: job.emit("served"))
    next(stream)
    time.sleep(0.1)
    gate.set()
    assert told(stream) == ["served"]


def test_closing_ends_every_stream_in_a_sentence():
    before = set(threading.enumerate())
    worker = Worker()

    def work(job):
        job.emit("begun")
        while True:
            job.check()
            time.sleep(0.001)

    running, queued = worker.stream(work), worker.stream(work)
    assert next(running) == "begun" and next(queued) == Waiting(1)
    worker.close()
    for stream in (running, queued):
        with pytest.raises(Busy, match="shutting down"):
            list(stream)
    with pytest.raises(Busy, match="shutting down"):
        list(worker.stream(work))
    assert set(threading.enumerate()) <= before


def test_a_thousand_jobs_from_many_threads_leave_nothing_behind(worker):
    counts = []

    def client(name):
        for i in range(100):
            stream = worker.stream(lambda job: [job.emit(n) for n in range(3)] and None, name)
            if i % 3:
                counts.append(len(told(stream)))
            else:
                next(stream, None)
                stream.close()

    threads = [threading.Thread(target=client, args=(f"client {i}",)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counts == [3] * 660
    list(worker.stream(lambda job: None))
    assert not worker._waiting and not worker._running


def test_ones_own_jobs_are_not_people_ahead(worker, gate):
    mine, again = (worker.stream(lambda job: job.emit("mine"), "me") for _ in range(2))
    assert next(mine) == Waiting(1) and next(again) == Waiting(1)  # the gate, which is somebody else's
    mine.close()
    again.close()


def test_a_job_in_the_midst_of_a_drawing_lets_those_in_that_have_other_pipelines(worker, gate, monkeypatch):
    monkeypatch.setattr("reweight.engine.job.TURN", 0.0)
    worker.levels = 2
    order = []

    def begun_before(job):
        order.append(f"old at {job.level}")
        yield
        order.append(f"old again at {job.level}")

    def long(job):
        for i in range(2):
            order.append(f"{i} at {job.level}")
            time.sleep(0.001)
            job.step()

    def drawing_too(job):
        order.append(f"new at {job.level}")
        time.sleep(0.001)
        job.step()  # no pipelines are left: nobody comes in between
        order.append(f"new ends at {job.level}")

    threads = [
        start(worker, work, name)[0] for name, work in zip("abc", (begun_before, long, drawing_too), strict=True)
    ]
    gate.set()
    for thread in threads:
        thread.join(SOON)
    assert order == ["old at 0", "0 at 0", "new at 1", "new ends at 1", "1 at 0", "old again at 0"]
