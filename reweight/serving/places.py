"""Limits on places in the queue, and on uploaded bytes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

TOTAL, EACH, STATELESS = 96, 8, 4
HOUR = 3600.0
LEAST = 50_000  # bytes that an upload counts at least, which limits the number of small ones


@dataclass(frozen=True)
class Place:
    """A place in the queue, taken by an event until it ends. session: where its messages are read."""

    address: str
    visitor: str
    session: str


class Places:
    """The places of a queue. An address may have as many as remain free, a visitor `each`, and callers without a session
    `stateless`.

    So a single address gets half of them, two get a third each, and a new one always gets a place. The visitors of one
    address, such as a class at school, share its places.
    """

    def __init__(self, total: int = TOTAL, each: int = EACH, stateless: int = STATELESS) -> None:
        self.total, self.each, self.stateless = total, each, stateless
        self.held: dict[str, Place] = {}

    def refusal(self, address: str, visitor: str) -> str | None:
        """Why this visitor gets no place now, as a sentence; None if there is one."""
        mine = sum((place.address, place.visitor) == (address, visitor) for place in self.held.values())
        if mine >= (self.each if visitor else self.stateless):
            return f"You have {mine} requests here already: let one of them finish, then try again."
        there = sum(place.address == address for place in self.held.values())
        free = self.total - len(self.held)
        if there >= free:
            return f"This demo is busy: {len(self.held)} requests are before yours, try again in a minute."
        return None

    def of_session(self, session: str) -> list[str]:
        """The events whose messages a session reads."""
        return [event for event, place in self.held.items() if place.session == session]


class Quota:
    """At most `most` bytes per hour from each address, and ten times that from all addresses together."""

    def __init__(self, most: float) -> None:
        self.most = most
        self._given: dict[str, deque[tuple[float, float]]] = {}

    def refusal(self, address: str, size: int, now: float) -> str | None:
        """Why this many more bytes are refused, as a sentence; None if they are accepted, and counted."""
        size = max(size, min(LEAST, self.most / 100))
        for given in self._given.values():
            while given and given[0][0] < now - HOUR:
                given.popleft()
        self._given = {name: given for name, given in self._given.items() if given}
        used = {name: sum(size for _, size in given) for name, given in self._given.items()}
        if used.get(address, 0) + size > self.most or sum(used.values()) + size > 10 * self.most:
            return f"Too much was uploaded: {self.most / 1e6:.0f} MB an hour are taken, try again later."
        self._given.setdefault(address, deque()).append((now, size))
        return None
