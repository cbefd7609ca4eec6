"""A smaller U-Net assembled from the teacher's best blocks (A-SDM; Zhu et al. 2024), distilled from the whole one.

Which blocks are best, a ranking says: `calibrated`, ours, or `paper-code`, the paper's, of the tables that ship.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ....patching.blocks import target_blocks
from ..arm import Arm, Batch

FEWER = 3  # blocks left out, of seven


class Assembly(Arm):
    key, title, kind = "assembly", "three blocks left out by the calibrated ranking", "small"
    paper, ranking = "A-SDM, Zhu et al. 2024", ".calibrated"

    def __init__(self, unet, material, device, tables: Path):
        self._teacher = copy.deepcopy(unet).requires_grad_(False).eval()
        self.left_out = least(tables, self.ranking)
        super().__init__(without(unet, self.left_out), material, device)

    def loss(self, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            whole = self._teacher(batch.x_t, batch.t, batch.states, return_dict=False)[0].float()
        return F.mse_loss(self.net(batch.x_t, batch.t, batch.states, batch.memory), whole)


class AssemblyByPaper(Assembly):
    key, title = "assembly-paper", "three blocks left out by the paper's ranking"
    ranking = ""


class Through(nn.Module):
    """In place of a Transformer2DModel: hands on what it gets."""

    def forward(self, hidden_states: torch.Tensor, **kwargs: object) -> tuple[torch.Tensor]:
        return (hidden_states,)


def without(unet: nn.Module, blocks: list[int]) -> nn.Module:
    """The U-Net, changed in place, without the Transformers of some target blocks."""
    found = target_blocks(unet)
    for block in blocks:
        for name in found[block].transformers:
            parent, _, child = name.rpartition(".")
            unet.get_submodule(parent)._modules[child] = Through()
    return unet


def least(tables: Path, ranking: str) -> list[int]:
    """The FEWER blocks of the lowest mean score in a model's tables, in ascending order of their number.

    ranking: what stands before ".json" in the tables' names. ValueError where there is no such table.
    """
    paths = [path for path in tables.glob("*.json") if path.stem.endswith(".calibrated") == (ranking == ".calibrated")]
    if not paths:
        raise ValueError(
            f"There are no tables to rank blocks by in {tables}: make them with `python -m reweight.toy tables`."
        )
    scores = [np.mean(json.loads(path.read_text(encoding="utf-8"))["scores"], axis=0) for path in paths]
    return sorted(np.argsort(np.mean(scores, axis=0))[:FEWER].tolist())
