"""Registries: objects by key, from this package and from other packages' entry points."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)
KEY = re.compile(r"[a-z][a-z0-9.-]{0,31}")


class Keyed(Protocol):
    """Anything with a key."""

    @property
    def key(self) -> str: ...


T = TypeVar("T", bound=Keyed)


class Registry(Mapping[str, T], Generic[T]):
    """Objects by key, in the order of registration.

    what: what one of them is called in messages, such as "method". group: the entry point group of objects from other
    packages, such as "reweight.methods"; entry points are loaded once, at the first access, and one that fails is
    logged and skipped.
    """

    def __init__(self, what: str, group: str) -> None:
        self.what, self.group = what, group
        self._items: dict[str, T] = {}
        self._discovered = False

    def register(self, item: T) -> T:
        """Add an object and return it. ValueError for a key that is taken or malformed."""
        if not KEY.fullmatch(item.key):
            raise ValueError(f"A {self.what}'s key is up to 32 of a-z, 0-9, . and -, not {item.key!r}.")
        if item.key in self._items:
            raise ValueError(f"There is a {self.what} {item.key!r} already: give another key.")
        self._items[item.key] = item
        return item

    def remove(self, key: str) -> None:
        """Remove an object. KeyError if there is none."""
        del self._items[key]

    def named(self, key: str) -> T:
        """The object with that key. ValueError, one sentence that lists the keys, if there is none."""
        if isinstance(key, str) and key in self:
            return self[key]
        raise ValueError(f"There is no {self.what} of that name: choose one of {', '.join(self)}.")

    def __getitem__(self, key: str) -> T:
        self._discover()
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(self._items)

    def __len__(self) -> int:
        self._discover()
        return len(self._items)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for entry in entry_points(group=self.group):
            try:
                self.register(entry.load())
            except Exception as error:
                log.warning("The %s %s is left out: %s", self.what, entry.name, error)
