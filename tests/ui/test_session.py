"""What is kept of a visitor, and for how long."""

from types import SimpleNamespace

import pytest
from PIL import Image

from reweight.ui import session as room
from reweight.ui.session import Made, Sessions


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


def test_the_pictures_of_a_visitor_and_of_idle_ones_are_bounded():
    sessions = Sessions()
    visitors = [sessions.begin() for _ in range(room.WITH_PICTURES + 2)]
    for k in range(12):
        visitors[0].keep(str(k), made())
    assert list(visitors[0].pictures) == [str(k) for k in range(4, 12)]
    sessions.of(visitors[-1].id)
    assert not visitors[0].pictures


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
