"""Who gets a place in the queue, and how much may be uploaded."""

from __future__ import annotations

import itertools

from reweight.serving.places import Place, Places, Quota


def fill(places: Places, address: str, most: int = 1000) -> int:
    """Places that an address gets that gives itself a new name each time."""
    taken = 0
    while taken < most and places.refusal(address, visitor := f"visitor {taken}") is None:
        places.held[f"{address} {taken}"] = Place(address, visitor, visitor)
        taken += 1
    return taken


def test_one_address_holds_half_at_most_and_a_new_one_always_finds_a_place():
    places = Places(total=96)
    assert fill(places, "1.1.1.1") == 48
    for n in range(2, 20):
        assert fill(places, f"{n}.{n}.{n}.{n}") >= 1, "an address that is new was refused"
        for event in list(itertools.islice((e for e in places.held if e.startswith(f"{n}.")), 1, None)):
            places.held.pop(event)


def test_a_class_of_thirty_behind_one_address_fits():
    assert fill(Places(), "1.1.1.1", most=30) == 30


def test_a_visitor_holds_a_few_places_and_a_nameless_one_fewer():
    places = Places(each=8, stateless=4)
    for visitor, most in (("someone", 8), ("", 4)):
        for n in range(most):
            assert places.refusal("1.1.1.1", visitor) is None
            places.held[f"{visitor} {n}"] = Place("1.1.1.1", visitor, visitor)
        assert f"You have {most} requests" in str(places.refusal("1.1.1.1", visitor))


def test_uploads_have_a_quota_by_address_and_altogether_which_an_hour_renews():
    quota = Quota(10e6)
    assert quota.refusal("a", 9_000_000, now=0) is None
    assert "10 MB an hour" in str(quota.refusal("a", 2_000_000, now=1))
    assert quota.refusal("a", 2_000_000, now=3601) is None
    tiny = sum(quota.refusal("c", 1, now=3601.5) is None for n in range(1000))
    assert tiny == 200, "many small ones count for more than they hold"
    taken = sum(quota.refusal(f"address {n}", 9_000_000, now=7203) is None for n in range(100))
    assert taken == 11
