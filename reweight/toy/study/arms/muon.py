"""Muon (Jordan et al. 2024): orthogonalised momentum for matrices and kernels, AdamW for all else."""

from __future__ import annotations

import torch

from ..arm import adamw
from .plain import Plain

ENDS = ("conv_in", "conv_out", "time_embedding")  # the first and last layers, as Muon's authors advise


class Muon(Plain):
    key, title, paper = "muon", "Muon instead of AdamW", "Jordan et al. 2024"

    def optimizers(self) -> list[torch.optim.Optimizer]:
        named = [*self.net.named_parameters(), *self.helpers.named_parameters()]
        inner = [w for name, w in named if w.ndim > 1 and not any(end in name for end in ENDS)]
        chosen = {id(w) for w in inner}
        return [FlatMuon(inner, self.rate), adamw([w for _, w in named if id(w) not in chosen], self.rate)]


class FlatMuon(torch.optim.Muon):
    """torch's Muon, which takes matrices, on kernels too: (out, in, h, w) is seen as (out, in h w), in place."""

    def __init__(self, weights: list[torch.nn.Parameter], rate: float):
        self._seen = [(w, torch.nn.Parameter(w.detach().flatten(1))) for w in weights]
        super().__init__([flat for _, flat in self._seen], lr=rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")

    def step(self, closure=None):
        for w, flat in self._seen:
            flat.grad = None if w.grad is None else w.grad.flatten(1)
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for w, flat in self._seen:
            w.grad = flat.grad = None
