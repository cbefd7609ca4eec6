"""T-GATE (arXiv 2404.02747): after a gate step, cross-attention outputs are reused and guidance is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..patching.attention_gate import Gate, KeptAttention, OneHalf
from ..patching.blocks import as_unet
from ..patching.clock import Clock, clocked
from ..patching.stand_in import standing_in
from ..patching.tokens import places
from .base import Drawing, Method, Report
from .settings import setting


@dataclass(frozen=True)
class TGate:
    """Settings of T-GATE.

    Important: gate: the share of the steps before the gate, at least one step. Later steps reuse the cross-attention
    outputs of the last of them; under guidance, the mean of both halves. The authors use 10 of 25 steps, 0.4.
    """

    gate: float = setting("Steps before the gate", low=0, high=1, step=0.05, default=0.4)

    def steps_before(self, steps: int) -> int:
        """How many of T steps come before the gate."""
        return max(1, round(self.gate * steps))


class TGateMethod(Method):
    """T-GATE as a column, without the self-attention schedule of its later version."""

    key = "tgate"
    title = "T-GATE"
    settings = TGate
    presets = dict.fromkeys(("toy", "sd15", "sd21", "sd-turbo", "sdxl", "sdxl-turbo"), TGate())
    excludes = frozenset({"at-edm"})

    @contextmanager
    def apply(self, pipe: Any, settings: TGate, drawing: Drawing) -> Iterator[Report]:
        unet, gate = as_unet(pipe), Gate()
        attentions = [layer.attn2 for place in places(unet) for layer in place.layers if layer.attn2 is not None]
        if not attentions:
            raise ValueError("This U-Net has no cross-attention to keep: choose a text-conditioned model.")
        report = Report(len(attentions) + 1)
        with ExitStack() as undo:
            clock = undo.enter_context(clocked(pipe, self.title))
            undo.callback(unet.register_forward_pre_hook(_Close(pipe, drawing, clock, settings, gate)).remove)
            stands = [undo.enter_context(standing_in(a, KeptAttention(a.forward, gate))) for a in attentions]
            half = OneHalf(unet.forward, gate)
            undo.enter_context(standing_in(unet, half))

            def count(*_: Any) -> None:
                report.figures |= {
                    "U-Net calls": clock.calls, "of these without guidance": half.halved,
                    "cross-attention calls saved": sum(stand.reused for stand in stands),
                }  # fmt: skip

            undo.callback(unet.register_forward_hook(count).remove)
            yield report

    def caption(self, settings: TGate, drawing: Drawing) -> str:
        return f"gate after step {settings.steps_before(drawing.steps)}"

    def inert(self, settings: TGate, drawing: Drawing) -> str:
        before = settings.steps_before(drawing.steps)
        if before < drawing.steps:
            return ""
        return f"T-GATE does nothing at {drawing.steps} step{'s' * (drawing.steps > 1)}: its gate comes after the last."


class _Close:
    """U-Net pre-hook after the clock's: opens and closes the gate."""

    def __init__(self, pipe: Any, drawing: Drawing, clock: Clock, settings: TGate, gate: Gate) -> None:
        self.guided = lambda: bool(getattr(pipe, "do_classifier_free_guidance", drawing.guidance > 1))
        self.clock, self.settings, self.gate = clock, settings, gate

    def __call__(self, *_: Any) -> None:
        last = max(self.settings.steps_before(self.clock.steps) - 1, self.clock.first)
        self.gate.guided = self.guided() and self.clock.batch % 2 == 0
        self.gate.keeping = self.clock.step == last
        self.gate.closed = self.clock.step > last
