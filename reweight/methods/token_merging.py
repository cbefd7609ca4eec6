"""ToMe for Stable Diffusion (arXiv 2303.17604): merges similar tokens before self-attention and unmerges them after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..patching.blocks import as_unet
from ..patching.clock import Clock, clocked
from ..patching.tokens import check_blocks, hooking, places
from .base import Drawing, Method, Report
from .settings import setting
from .steps import Cells, Steps, acts, checked_cells, checked_steps, never, with_steps, words

STEPS = "ToMe's steps that merge"


@dataclass(frozen=True)
class TokenMerging:
    """Settings of ToMe for Stable Diffusion.

    Important: ratio: the share of tokens that is merged into others, at most 1 - 1 / (stride * stride).
    Tinker with: downsample: the coarsest resolution whose blocks merge, as a divisor of the latent's: 1, 2, 4 or 8.
    stride: the side of the square cells; one token of each cell is a destination that others merge into. random: choose
    it at random for each layer, only under guidance; else it is the first. steps: the denoising steps that merge,
    counted from 1. cells: the (step, block) that merge. None for all.
    """

    ratio: float = setting("Share of tokens merged", low=0, high=0.9, step=0.05, default=0.5)
    downsample: int = setting("Coarsest resolution", choices=(1, 2, 4, 8), default=1)
    stride: int = setting("Cell", low=2, high=4, default=2)
    random: bool = setting("Random cells", default=True)
    steps: Steps = setting("Steps that merge", default=None)
    cells: Cells = setting("Cells that merge", default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", checked_steps(self.steps, STEPS))
        object.__setattr__(self, "cells", checked_cells(self.cells, "ToMe's cells"))


PRESETS: dict[str, TokenMerging] = {
    **dict.fromkeys(("toy", "sd15", "sd21", "sd-turbo"), TokenMerging()),
    **dict.fromkeys(("sdxl", "sdxl-turbo"), TokenMerging(downsample=2)),  # our value: level 0 of SDXL has no attention
}


class TokenMergingMethod(Method):
    """Token merging as a column, as defined by the tomesd package."""

    key = "tomesd"
    title = "ToMe"
    settings = TokenMerging
    presets = PRESETS
    excludes = frozenset({"at-edm"})

    def read(self, raw: Any, default: Any) -> TokenMerging:
        return super().read(with_steps(raw, "steps", STEPS), default)

    @contextmanager
    def apply(self, pipe: Any, settings: TokenMerging, drawing: Drawing) -> Iterator[Report]:
        unet, report = as_unet(pipe), Report()
        found = places(unet)
        check_blocks([block for _, block in settings.cells or ()], found)
        chosen = [place for place in found if 2**place.block.level <= settings.downsample]
        if not chosen:
            raise ValueError(
                f"This U-Net has no attention down to 1/{settings.downsample} of the latents' side, where ToMe would "
                "merge: choose a coarser resolution."
            )
        with ExitStack() as undo:
            clock = undo.enter_context(
                clocked(pipe, self.title, by_step=(settings.steps, settings.cells) != (None, None))
            )
            draws = _Draws(pipe, drawing, clock, settings.random)
            undo.callback(unet.register_forward_pre_hook(draws.begin).remove)
            hooks = undo.enter_context(hooking())
            for place in chosen:
                grid = _Grid()
                hooks.before(place.module, grid.see)
                for layer in place.layers:
                    merging = _Merging(settings, place.block.index, grid, draws, clock, report)
                    hooks.before(layer, merging.match)
                    hooks.before(layer.attn1, merging.merge)
                    hooks.after(layer.attn1, merging.part)
            report.modules = len(hooks.modules)
            yield report

    def caption(self, settings: TokenMerging, drawing: Drawing) -> str:
        text = super().caption(replace(settings, cells=None), drawing)
        return ", ".join(filter(None, (text, words(None, settings.cells))))

    def inert(self, settings: TokenMerging, drawing: Drawing) -> str:
        if settings.ratio == 0:
            return "ToMe with a share of 0 merges nothing."
        if never(settings.steps, settings.cells, drawing.steps):
            return f"ToMe merges at none of these {drawing.steps} steps."
        return ""


def matching(x: Tensor, chosen: Tensor, r: int) -> tuple[Tensor, int]:
    """Bipartite soft matching of tokens x (batch, N, channels): (restore (batch, N), K), see `merged`.

    chosen: (D,), indices of the destination tokens, on the CPU. The r other tokens with the largest cosine similarity
    to a destination are merged into it; K = N - r.
    """
    batch, n, _ = x.shape
    free = torch.ones(n, dtype=torch.bool)
    free[chosen] = False
    others = free.nonzero()[:, 0].to(x.device)  # (S,)
    chosen = chosen.to(x.device)
    r = min(r, others.numel())
    unit = x / x.norm(dim=-1, keepdim=True)
    likeness, nearest = (unit[:, others] @ unit[:, chosen].transpose(1, 2)).max(dim=-1)  # (batch, S)
    order = likeness.argsort(dim=-1, descending=True)
    kept = others.numel() - r
    rows = torch.empty_like(nearest)
    rows.scatter_(1, order[:, r:], torch.arange(kept, device=x.device).expand(batch, kept))
    rows.scatter_(1, order[:, :r], kept + nearest.gather(1, order[:, :r]))
    restore = torch.empty(batch, n, dtype=torch.long, device=x.device)
    restore[:, others] = rows
    restore[:, chosen] = torch.arange(kept, kept + chosen.numel(), device=x.device)
    return restore, n - r


def merged(x: Tensor, restore: Tensor, k: int) -> Tensor:
    """Merged tokens (batch, K, channels): each is the mean of the tokens of x (batch, N, channels) with its row in restore."""
    batch, _, channels = x.shape
    flat = _flat(restore, k)
    ones = torch.ones_like(flat, dtype=x.dtype)
    counts = torch.zeros(batch * k, dtype=x.dtype, device=x.device).index_add_(0, flat, ones)
    total = torch.zeros(batch * k, channels, dtype=x.dtype, device=x.device)
    total.index_add_(0, flat, x.reshape(-1, channels))
    return (total / counts[:, None]).view(batch, k, channels)


def parted(y: Tensor, restore: Tensor) -> Tensor:
    """Unmerged tokens (batch, N, channels): for each token its row of y (batch, K, channels)."""
    batch, k, channels = y.shape
    return y.reshape(-1, channels).index_select(0, _flat(restore, k)).view(batch, -1, channels)


def cells(height: int, width: int, stride: int, offsets: Tensor | None) -> Tensor:
    """The index of one token in each stride x stride cell, (cells,): the first, or the one at offsets (rows, columns)."""
    rows, columns = torch.arange(height // stride)[:, None], torch.arange(width // stride)[None]
    within = torch.zeros(1, 1, dtype=torch.long) if offsets is None else offsets
    y, x = rows * stride + within // stride, columns * stride + within % stride
    return (y * width + x).reshape(-1)


def _flat(restore: Tensor, k: int) -> Tensor:
    return (restore + k * torch.arange(restore.shape[0], device=restore.device)[:, None]).view(-1)


class _Draws:
    """The destination token's position in each cell, drawn from a generator that is seeded again for each picture."""

    def __init__(self, pipe: Any, drawing: Drawing, clock: Clock, random: bool) -> None:
        self.guided = lambda: bool(getattr(pipe, "do_classifier_free_guidance", drawing.guidance > 1))
        self.clock, self.random = clock, random
        self.generator = torch.Generator()

    def begin(self, *_: Any) -> None:
        if self.clock.begins:
            self.generator.manual_seed(0)

    def offsets(self, height: int, width: int, stride: int) -> Tensor | None:
        # without guidance a picture's pattern would depend on whether it is drawn alone or in a batch
        if not (self.random and self.guided()):
            return None
        return torch.randint(stride**2, (height // stride, width // stride), generator=self.generator)


class _Grid:
    """The height and width of a Transformer2DModel's token grid."""

    height = width = 0

    def see(self, x: Tensor) -> None:
        self.height, self.width = x.shape[-2:]


class _Merging:
    """Hooks of one layer: match its tokens, merge the input of its self-attention, unmerge the output."""

    def __init__(
        self, settings: TokenMerging, block: int, grid: _Grid, draws: _Draws, clock: Clock, report: Report
    ) -> None:
        self.settings, self.block, self.grid, self.draws = settings, block, grid, draws
        self.clock, self.report = clock, report
        self.restore: Tensor | None = None

    def match(self, x: Tensor) -> None:
        self.restore = None
        if not acts(self.settings.steps, self.settings.cells, self.clock.step, self.block):
            return
        stride, (height, width) = self.settings.stride, (self.grid.height, self.grid.width)
        chosen = cells(height, width, stride, self.draws.offsets(height, width, stride))
        self.restore, self.k = matching(x, chosen, int(x.shape[1] * self.settings.ratio))
        self.report.add("tokens merged", x.shape[0] * (x.shape[1] - self.k))

    def merge(self, x: Tensor) -> Tensor | None:
        return None if self.restore is None else merged(x, self.restore, self.k)

    def part(self, y: Tensor) -> Tensor | None:
        return None if self.restore is None else parted(y, self.restore)
