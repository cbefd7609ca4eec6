"""Which visits make way when there are too many."""

from __future__ import annotations

from reweight.serving.places import Place, Places
from reweight.serving.sessions import Sessions


def test_a_visit_that_waits_for_a_job_is_kept_when_tabs_by_the_thousand_are_open():
    places = Places()
    sessions = Sessions(places, most=20)
    sessions.seen("script", "7.7.7.7", 0.0)
    sessions.opened("script")
    places.held["job"] = Place("7.7.7.7", "script", "script")
    for number in range(1000):
        sessions.seen(f"tab {number}", f"6.6.{number}", 1.0, page=True)
        sessions.opened(f"tab {number}")
    assert sessions.sweep(2.0) == 981 and len(sessions) == 20
    assert not sessions.belongs("script", "another"), "it was forgotten with its messages"
    places.held.clear()
    assert sessions.sweep(3.0) == 0


def test_an_address_with_many_visits_loses_its_own_first_and_those_without_a_connection_before():
    sessions = Sessions(Places(), most=3)
    for name in ("a", "b", "c"):
        sessions.seen(name, "1.1.1.1", 0.0)
    sessions.opened("a")
    sessions.seen("other", "2.2.2.2", 0.0)
    assert sessions.sweep(1.0) == 1
    assert sessions.belongs("b", "anybody") and not sessions.belongs("a", "anybody")
    assert not sessions.belongs("other", "anybody")
