"""What a screen is: one object, in one file, that builds, handles and wires itself."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import gradio as gr

from ...engine.engine import Engine
from ...engine.request import Request
from ...plugins import Registry
from ..live import Act, Call, Event, request_of
from ..session import Session, Sessions

__all__ = ["SCREENS", "Act", "Call", "Event", "Page", "Screen"]


@dataclass
class Page:
    """What a screen is built with.

    engine: draws. sessions: the visitors'. settings: a hidden component; an event that has it first among its inputs
    and `js=page.js` gets the settings on the page, as JSON text, in its place; `asked` reads them.
    """

    engine: Engine
    sessions: Sessions
    settings: gr.Textbox
    js: str = field(default="(_, ...others) => [window.reweight.given(), ...others]", init=False)

    def html(self, text: str) -> gr.HTML:
        """Markup of a screen's own, as it stands."""
        return gr.HTML(text, padding=False, js_on_load=None, apply_default_css=False)

    def asked(self, text: str) -> tuple[Session, Request]:
        """Who asks, and the request that the page's settings make. ValueError of one sentence otherwise."""
        given = json.loads(text)
        return self.sessions.of(given.get("session")), request_of(self.engine, given["settings"])


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


SCREENS: Registry[Screen] = Registry("screen", "reweight.screens")
