"""The log: JSON lines, no prompts, no floods."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import sys
import traceback

import pytest

from reweight.serving import logs
from reweight.serving.logs import JsonLines, Sparing, Tracebacks

SECRET = "a very private fox"


@pytest.fixture
def stream(monkeypatch):
    """What the log writes, as it is set up in public mode."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level, ours = root.handlers[:], root.level, logging.getLogger("reweight").level
    with contextlib.redirect_stderr(stream):
        logs.set_up(as_json=True)
        shown = sys.stderr
    monkeypatch.setattr(traceback, "print_exc", functools.partial(traceback.print_exc, file=shown))
    yield stream, shown
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("reweight").setLevel(ours)
    logging.captureWarnings(False)


def lines(stream: tuple[io.StringIO, Tracebacks]) -> list[dict]:
    return [json.loads(line) for line in stream[0].getvalue().splitlines()]


def test_a_record_is_one_json_line_with_its_time_and_fields(stream):
    logging.getLogger("reweight.serving").info("a job\nhas joined", extra={"fields": {"held": 3}})
    (line,) = lines(stream)
    assert line["text"] == "a job\nhas joined" and line["held"] == 3 and line["level"] == "info"
    assert line["time"].endswith("Z") and line["time"][10] == "T"


def test_a_traceback_that_a_library_prints_is_one_line_without_what_was_typed(stream):
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise OSError(f"no room for {SECRET}") from error
    except OSError:
        traceback.print_exc()
    stream[1].write(f"some other text: {SECRET}\n")
    assert SECRET not in stream[0].getvalue()
    kinds = [line.get("kind") for line in lines(stream)]
    assert "OSError" in kinds and all("File" not in line["text"] for line in lines(stream))


def test_an_error_is_logged_by_its_kind_and_place(stream):
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        logging.getLogger("reweight.serving").error("a request failed", exc_info=error)
    (line,) = lines(stream)
    assert line["kind"] == "ValueError" and line["where"].startswith("test_logs.py:") and SECRET not in str(line)


def test_what_repeats_is_said_once_a_minute_with_its_count():
    sparing = Sparing()

    def record(created: float) -> logging.LogRecord:
        record = logging.LogRecord("name", logging.WARNING, "", 1, "again", (), None)
        record.created = created
        return record

    assert [sparing.filter(record(1000.0 + n)) for n in range(50)] == [True] + [False] * 49
    assert sparing.filter(record(10.0)), "a clock that is set back does not silence the log"
    assert [sparing.filter(record(11.0)) for _ in range(49)] == [False] * 49
    late = record(71.0)
    assert sparing.filter(late) and late.fields == {"left_out": 49}


def test_json_lines_take_what_json_cannot():
    record = logging.LogRecord("name", logging.INFO, "", 1, "x\udcff", (), None)
    record.fields = {"path": object()}
    assert json.loads(JsonLines().format(record))["level"] == "info"


def test_lines_that_are_json_already_pass(stream):
    out = io.StringIO()
    Tracebacks(out).write('{"time": 1}\n')
    assert out.getvalue() == '{"time": 1}\n'


def test_what_anybody_can_cause_is_told_so_many_times_a_minute():
    sparing = Sparing()

    def told(count: int, created: float) -> list[logging.LogRecord]:
        records = [
            logging.makeLogRecord({"msg": "a request failed", "levelno": logging.INFO, "created": created})
            for _ in range(count)
        ]
        return [record for record in records if sparing.filter(record)]

    assert len(told(5, 0.0)) == 5 and len(told(500, 10.0)) == logs.MOST - 5
    (later,) = told(1, 61.0)
    assert later.fields == {"left_out": 505 - logs.MOST}


def test_a_librarys_record_does_not_quote_a_visitor_and_comes_once_a_minute(stream):
    written, _ = stream
    for number in range(5):
        logging.getLogger("mcp.server").warning("Tool '%s' not listed", f"{SECRET} {number} " * 10_000)
    logging.getLogger("reweight").warning("x" * 10_000)
    library, ours = [json.loads(line) for line in written.getvalue().splitlines()]
    assert SECRET not in written.getvalue() and library["where"].startswith("test_logs.py:")
    assert len(ours["text"]) == logs.LONGEST
