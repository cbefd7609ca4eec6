"""What is kept of a visitor, and for how long."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from reweight.schedule import ImportanceTable
from reweight.ui import session as room
from reweight.ui.session import Made, Sessions, Tables


def made(side=1000):
    return Made(None, SimpleNamespace(image=Image.new("RGB", (side, side))))


def test_a_newer_act_takes_the_place_of_the_one_before_and_stop_ends_all():
    session = Sessions().begin()
    first, other = session.begin("compare/draw"), session.begin("watch/film")
    assert session.current("compare/draw", first)
    second = session.begin("compare/draw")
    assert not session.current("compare/draw", first) and session.current("compare/draw", second)
    session.end("compare/draw", first)
    assert session.current("compare/draw", second)
    session.stop()
    assert not session.current("compare/draw", second) and not session.current("watch/film", other)


def test_the_pictures_of_a_visitor_are_bounded_and_may_be_read_while_another_comes():
    visitor = Sessions().begin()
    for k in range(12):
        visitor.keep(str(k), made())
    assert list(visitor.pictures) == [str(k) for k in range(6, 12)] and visitor.size() == 24_000_000
    for number, _ in enumerate(reversed(visitor.pictures.values())):
        visitor.keep(f"another {number}", made(10))
        visitor.forget_pictures()
    assert visitor.size() == 0


def test_all_visitors_together_are_bounded_by_bytes_and_who_was_not_seen_for_longest_gives_way():
    sessions = Sessions()
    visitors = [sessions.begin() for _ in range(60)]
    for visitor in visitors:
        for k in range(8):
            visitor.keep(str(k), made())
        sessions.of(visitor.id)
    assert sessions.size() <= room.ALL_BYTES < 60 * 24_000_000
    assert [bool(visitor.pictures) for visitor in visitors] == [False] * 52 + [True] * 8
    assert all(sessions.of(visitor.id) for visitor in visitors), "pictures went, and not the visitors"


def test_tables_count_too_and_take_their_visitor_along_where_pictures_do_not_suffice(monkeypatch):
    def heavy() -> ImportanceTable:
        return ImportanceTable(
            scores=np.ones((2, 2)), runs=1, blocks=("a", "b"), model="toy", method="probe",
            diagnostics={"x": list(range(20_000))},
        )  # fmt: skip

    monkeypatch.setattr(room, "ALL_BYTES", 5_000_000)
    sessions = Sessions()
    other = sessions.begin("another address")
    other.tables = Tables(pinned=heavy())
    visitors = []
    for _ in range(20):
        visitors.append(sessions.begin("one address"))
        visitors[-1].tables = Tables(pinned=heavy())
        sessions.of(visitors[-1].id)
    assert sessions.size() <= 5_000_000
    assert sessions.of(visitors[-1].id) and sessions.of(other.id)
    with pytest.raises(ValueError, match=r"reload the page\.$"):
        sessions.of(visitors[0].id)


def test_an_address_that_begins_many_visits_pushes_out_its_own_alone():
    sessions = Sessions()
    visitor = sessions.begin("a visitor")
    flood = [sessions.begin("a flood") for _ in range(2 * room.KEPT_SESSIONS)]
    assert sessions.of(visitor.id) is visitor and sessions.of(flood[-1].id)
    with pytest.raises(ValueError, match=r"reload the page\.$"):
        sessions.of(flood[0].id)


def test_a_stranger_and_one_who_was_forgotten_get_a_sentence(monkeypatch):
    monkeypatch.setattr(room, "KEPT_SESSIONS", 2)
    sessions = Sessions()
    first = sessions.begin()
    assert sessions.of(first.id) is first
    sessions.begin()
    sessions.begin()
    for id in (first.id, "nobody", None, 3, ["x"]):
        with pytest.raises(ValueError, match=r"reload the page\.$"):
            sessions.of(id)
