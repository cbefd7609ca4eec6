"""AT-EDM (arXiv 2405.05252): prunes tokens that the self-attention map ranks as redundant, and restores them later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..patching.blocks import as_unet
from ..patching.clock import Clock, clocked
from ..patching.tokens import Hooks, Place, check_blocks, hooking, places
from .base import Drawing, Method, Report
from .settings import setting
from .steps import Cells, Steps, acts, checked_cells, checked_steps, never, with_steps, words
from .token_merging import parted

STEPS = "AT-EDM's steps that prune"
ONE_LAYER = ("toy", "sd14", "sd15", "sd21", "sd-turbo")


@dataclass(frozen=True)
class AtEdm:
    """Settings of AT-EDM.

    Important: fraction: the share of tokens that is pruned; 0.63 is our value. scope: "between" prunes after the
    feed-forward of a block's first layer, for its later layers, as the authors do; it needs several layers per block,
    as in SDXL. "within", our variant, prunes after each layer's self-attention, for its cross-attention and
    feed-forward, and copies their results from kept tokens to pruned ones; it works with every U-Net.
    Tinker with: again: the share of the remaining tokens pruned after each later layer (between); iterations: of the
    ranking; both values are ours. early: the share of the steps in which the first attention of each down stage and the
    last of each up stage prune nothing (the authors' schedule; 15 of 50 steps is our value).
    blocks: the indices of the target blocks that prune. steps: the denoising steps that prune, from 1. cells: the
    (step, block) that prune. None for all.
    """

    fraction: float = setting("Share of tokens pruned", low=0, high=0.95, step=0.01, default=0.63)
    scope: str = setting("Prune", choices=("between", "within"), default="between")
    again: float = setting("Share pruned again", low=0, high=0.95, step=0.01, default=0.0)
    iterations: int = setting("Iterations of the ranking", low=1, high=50, default=5)
    early: float = setting("Early steps", low=0, high=1, step=0.05, default=0.3)
    blocks: tuple[int, ...] | None = setting("Blocks", default=None)
    steps: Steps = setting("Steps that prune", default=None)
    cells: Cells = setting("Cells that prune", default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", checked_steps(self.steps, STEPS))
        object.__setattr__(self, "cells", checked_cells(self.cells, "AT-EDM's cells"))
        blocks: Any = self.blocks
        if blocks is None:
            return
        if not isinstance(blocks, (list, tuple)) or not all(type(i) is int and 0 <= i < 64 for i in blocks):
            raise ValueError("AT-EDM's blocks must be a list of block numbers, counted from 0.")
        object.__setattr__(self, "blocks", tuple(blocks))


PRESETS: dict[str, AtEdm] = {
    **dict.fromkeys(("sdxl", "sdxl-turbo"), AtEdm()),
    **dict.fromkeys(ONE_LAYER, AtEdm(scope="within", fraction=0.5)),  # our values
}


class AtEdmMethod(Method):
    """AT-EDM as a column. It computes attention maps in addition to the fused kernel, so it may save FLOPs but no time."""

    key = "at-edm"
    title = "AT-EDM"
    settings = AtEdm
    presets = PRESETS
    excludes = frozenset({"tomesd", "tgate"})

    def read(self, raw: Any, default: Any) -> AtEdm:
        return super().read(with_steps(raw, "steps", STEPS), default)

    @contextmanager
    def apply(self, pipe: Any, settings: AtEdm, drawing: Drawing) -> Iterator[Report]:
        unet, report = as_unet(pipe), Report()
        found = places(unet)
        check_blocks([*(settings.blocks or ()), *(block for _, block in settings.cells or ())], found)
        chosen = [place for place in found if settings.blocks is None or place.block.index in settings.blocks]
        if settings.scope == "between":
            chosen = [place for place in chosen if len(place.layers) > 1]
            if not chosen:
                raise ValueError(_one_layer())
        with ExitStack() as undo:
            clock = undo.enter_context(clocked(pipe, self.title))
            hooks = undo.enter_context(hooking())
            for place in chosen:
                budget = _Budget(settings, clock, place)
                (_between if settings.scope == "between" else _within)(hooks, place, budget, settings, report)
            report.modules = len(hooks.modules)
            yield report

    def caption(self, settings: AtEdm, drawing: Drawing) -> str:
        chosen = "" if settings.blocks is None else f", blocks {','.join(map(str, settings.blocks))}"
        when = "".join(f", {text}" for text in [words(settings.steps, settings.cells)] if text)
        return f"{settings.fraction:g} pruned {settings.scope} layers, early {settings.early:g}{chosen}{when}"

    def inert(self, settings: AtEdm, drawing: Drawing) -> str:
        if settings.fraction == 0 and (settings.scope == "within" or settings.again == 0):
            return "AT-EDM with a share of 0 prunes nothing."
        if never(settings.steps, settings.cells, drawing.steps):
            return f"AT-EDM prunes at none of these {drawing.steps} steps."
        if settings.scope == "between" and drawing.family in ONE_LAYER:
            return _one_layer()
        return ""


def _one_layer() -> str:
    return "AT-EDM prunes between the layers of a block, and these have one layer each: choose the scope within."


def attention_map(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Row-softmax attention averaged over heads, (batch, N, N), of projections q and k (batch, N, channels)."""
    batch, n, channels = q.shape
    q, k = (x.view(batch, n, heads, channels // heads) for x in (q, k))
    total = torch.zeros(batch, n, n, dtype=q.dtype, device=q.device)
    for h in range(heads):
        scores = torch.bmm(q[:, :, h], k[:, :, h].transpose(1, 2)) * (channels // heads) ** -0.5
        total += scores.softmax(dim=-1)
    return total / heads


def page_rank(attention: Tensor, iterations: int) -> Tensor:
    """G-WPR: importance (batch, N) of tokens by s <- A^T s from s = 1 / N, for an attention map A (batch, N, N)."""
    n = attention.shape[-1]
    s = attention.new_full((attention.shape[0], n, 1), 1 / n)
    for _ in range(iterations):
        s = torch.bmm(attention.transpose(1, 2), s)
    return s[..., 0]


def pruned(attention: Tensor, keep: int, iterations: int) -> tuple[Tensor, Tensor]:
    """(kept, restore): indices (batch, K) of the kept tokens, ascending, and for each token its row among them, (batch, N).

    The K most important tokens are kept; a pruned token is restored from the kept one that attends to it most.
    """
    kept = page_rank(attention, iterations).topk(keep, dim=-1).indices.sort(dim=-1).values
    n = attention.shape[-1]
    rows = attention.gather(1, kept[..., None].expand(-1, -1, n))  # (batch, K, N)
    restore = rows.argmax(dim=1)
    numbers = torch.arange(keep, device=kept.device).expand_as(kept)
    return kept, restore.scatter(1, kept, numbers)


def taken(x: Tensor, kept: Tensor) -> Tensor:
    """The kept tokens of x (batch, N, channels)."""
    return x.gather(1, kept[..., None].expand(-1, -1, x.shape[-1]))


class _Budget:
    """The share of tokens that a Transformer prunes at the current step (the authors' DSAP)."""

    def __init__(self, settings: AtEdm, clock: Clock, place: Place) -> None:
        self.settings, self.clock, self.block = settings, clock, place.block.index
        spared = {"down": 0, "up": place.of - 1}.get(place.block.stage)
        self.spared = spared == place.number

    def __call__(self, again: bool = False) -> float:
        if not acts(self.settings.steps, self.settings.cells, self.clock.step, self.block):
            return 0.0
        if self.spared and self.clock.step < self.settings.early * self.clock.steps:
            return 0.0
        return self.settings.again if again else self.settings.fraction


class _Map:
    """Stores the query and key projections of a self-attention, to compute its map."""

    def __init__(self, hooks: Hooks, attention: Any) -> None:
        self.heads = attention.heads
        hooks.after(attention.to_q, self._queries)
        hooks.after(attention.to_k, self._keys)

    def _queries(self, q: Tensor) -> None:
        self.q = q

    def _keys(self, k: Tensor) -> None:
        self.k = k

    def prune(self, share: float, settings: AtEdm, report: Report) -> tuple[Tensor, Tensor]:
        batch, n, _ = self.q.shape
        keep = max(1, n - int(n * share))
        report.add("tokens pruned", batch * (n - keep))
        return pruned(attention_map(self.q, self.k, self.heads), keep, settings.iterations)


def _between(hooks: Hooks, place: Place, budget: _Budget, settings: AtEdm, report: Report) -> None:
    state = _Between(budget, settings, report)
    hooks.before(place.module, state.begin)
    for i, layer in enumerate(place.layers[:-1]):
        if i == 0 or settings.again:
            hooks.after(layer, state.pruner(_Map(hooks, layer.attn1), again=i > 0))
    hooks.after(place.layers[-1], state.restore)


class _Between:
    """Pruning in one Transformer2DModel: tokens pruned after some layers are restored after the last."""

    def __init__(self, budget: _Budget, settings: AtEdm, report: Report) -> None:
        self.budget, self.settings, self.report = budget, settings, report
        self.maps: list[Tensor] = []

    def begin(self, x: Tensor) -> None:
        self.maps = []

    def pruner(self, seen: _Map, again: bool) -> Callable[[Tensor], Tensor | None]:
        def prune(x: Tensor) -> Tensor | None:
            share = self.budget(again)
            if share == 0:
                return None
            kept, restore = seen.prune(share, self.settings, self.report)
            self.maps.append(restore)
            return taken(x, kept)

        return prune

    def restore(self, x: Tensor) -> Tensor:
        while self.maps:
            x = parted(x, self.maps.pop())
        return x


def _within(hooks: Hooks, place: Place, budget: _Budget, settings: AtEdm, report: Report) -> None:
    for layer in place.layers:
        state = _Within(_Map(hooks, layer.attn1), budget, settings, report)
        hooks.after(layer.attn1, state.begin)
        for module in filter(None, (layer.attn2, layer.ff)):
            hooks.before(module, state.shorten)
            hooks.after(module, state.restore)


class _Within:
    """Pruning in one layer: after its self-attention, its modules get the kept tokens only."""

    def __init__(self, seen: _Map, budget: _Budget, settings: AtEdm, report: Report) -> None:
        self.seen, self.budget, self.settings, self.report = seen, budget, settings, report
        self.kept: tuple[Tensor, Tensor] | None = None

    def begin(self, x: Tensor) -> None:
        share = self.budget()
        self.kept = self.seen.prune(share, self.settings, self.report) if share else None

    def shorten(self, x: Tensor) -> Tensor | None:
        return None if self.kept is None else taken(x, self.kept[0])

    def restore(self, y: Tensor) -> Tensor | None:
        return None if self.kept is None else parted(y, self.kept[1])
