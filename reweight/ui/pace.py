"""What something costs before it is begun: evaluations of the U-Net, and seconds by what this visitor saw drawn."""

from __future__ import annotations

from ..engine.request import Request
from .live import Call

CHEAP = 100  # U-Net evaluations that a screen may begin unasked


def pace(call: Call) -> float | None:
    """Seconds of a U-Net step, by the last picture that this visitor saw drawn on its own; a batch is quicker."""
    for made in reversed(call.session.pictures.values()):
        if made.request.model == call.settings.get("model") and made.picture.seconds:
            return 0.8 * made.picture.seconds / made.request.steps
    return None


def about_seconds(call: Call, steps: int) -> str:
    """How long that many U-Net steps take, as the end of a sentence; nothing where that is not known."""
    known = pace(call)
    seconds = known * steps if known else 0.0
    if not known or not steps:
        return ""
    return f"; about {seconds:.0f} s" if seconds >= 1.5 else "; about a second"


def evaluations(request: Request, pictures: int) -> int:
    """U-Net samples that so many pictures of a request take; guidance takes two a step."""
    return pictures * request.steps * (2 if request.guidance > 1 else 1)
