"""What a screen is: one object, in one file, that builds, handles and wires itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...engine.engine import Engine
from ...engine.request import Request, RequestError, validate
from ...engine.resolving import Chosen
from ...plugins import Registry
from ..session import Session

if TYPE_CHECKING:
    from ..page import Page

Event = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """What a page asks of a screen's act: who asks, the settings on the page, and what else was sent along.

    address: where the visitor calls from, which shares its turns among its visitors.
    """

    engine: Engine
    session: Session
    settings: Mapping[str, Any]
    given: Mapping[str, Any]
    address: str = ""

    @property
    def client(self) -> str:
        """Who asks, as the engine's turns want to know it."""
        return f"{self.address}/{self.session.id}"

    def request(self) -> Request:
        """The request that the page's settings make. ValueError of one sentence for what cannot be drawn."""
        return request_of(self.engine, self.settings)

    def chosen(self, request: Request) -> Chosen:
        """The scores that serve a request for this visitor."""
        return self.engine.chosen(request, self.session.tables.probed, self.session.tables.pinned)

    def seeds(self, request: Request) -> tuple[int, ...]:
        """Seeds of further rows of pictures, after the request's own."""
        rows = self.settings.get("rows", 1)
        if type(rows) is not int or not 1 <= rows <= 4:
            raise RequestError("There can be 1 to 4 seeds at once.")
        return tuple((request.seed + i) % 2**32 for i in range(1, rows))


Act = Callable[[Call], Iterator[Event | None]]


class Screen(ABC):
    """A tab of the page.

    key, title: its name in addresses and for people. scripts, styles: files of its own that the page loads.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    scripts: ClassVar[tuple[Path, ...]] = ()
    styles: ClassVar[tuple[Path, ...]] = ()

    @abstractmethod
    def build(self, page: Page) -> None:
        """Lay it out and connect it, within its tab; `page` has the engine, the settings and the visitors' sessions."""

    def acts(self) -> Mapping[str, Act]:
        """What the page's scripts may ask by `reweight.act(screen, act, given, onEvent)`, by name.

        An act is a generator of events, each a JSON object; None where there is nothing new. It is closed at its next
        yield when the visitor stops it, asks for the same again, or leaves. What it raises as a ValueError is shown.
        """
        return {}


def request_of(engine: Engine, settings: Mapping[str, Any]) -> Request:
    """The request that a page's settings make; what only the page knows of is left aside."""
    raw = {name: value for name, value in settings.items() if name not in PAGE_ONLY}
    model = raw.get("model")
    if not isinstance(model, str) or not model:
        raise RequestError("No model is chosen: choose one.")
    return validate(engine.card(model), **raw)


PAGE_ONLY = ("rows",)
SCREENS: Registry[Screen] = Registry("screen", "reweight.screens")
