"""Weights tuned for the prompt on the page, while the visitor waits; what was found before Stop is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...engine.engine import Waiting
from ...engine.request import Request
from ...tuning.loop import TuneSnapshot
from ..wording import shortened, waiting
from .base import Call, Event

TUNED = "tuned"


def tune(
    call: Call, following: Callable[[Request, str], Request], drawn: Callable[[Call, Request], Event]
) -> Iterator[Event | None]:
    """Tune for this prompt; every better table is kept on the way. following, drawn: the screen's own."""
    request = following(call.request(), TUNED)
    latest: TuneSnapshot | None = None
    best = None
    for event in call.engine.tune(request, client=call.client):
        if isinstance(event, Waiting):
            yield waiting(event)
            continue
        assert isinstance(event, TuneSnapshot)
        latest = event
        yield {
            "kind": "status", "done": event.done,
            "text": f"Tuning: iteration {event.iteration} of {event.iterations}, score {event.gain:+.3f} compared with vanilla on the training noise",
        }  # fmt: skip
        if event.best is best:
            continue
        first, best = best is None, event.best
        call.session.tables = call.session.tables.with_tuned(request.prompt, best)
        if first:
            yield {"kind": "schedule", "value": TUNED}
        yield drawn(call, request)
    if latest is not None:
        yield {"kind": "tuned", "text": _said(latest, request.prompt)}


def _said(last: TuneSnapshot, prompt: str) -> str:
    if not last.validation_gain > 0:
        return f"No weights beat vanilla on held-out noise for “{shortened(prompt)}”: all stay at 1."
    return (
        f"Tuned for “{shortened(prompt)}”: score {last.validation_gain:+.3f} compared with vanilla, on held-out noise. The "
        "weights follow it now. It was tuned for this prompt and one scorer: elsewhere it may be worse than vanilla."
    )
