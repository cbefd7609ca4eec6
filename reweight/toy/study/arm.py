"""An arm of the study: a network, its optimizers, and a loss on batches that are the same for every arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from ..distill.trajectory import Trajectory
from ..train.denoiser import draw_timesteps, new_scheduler
from ..train.training_examples import DROPOUT
from .material import CAPTIONS, Material

Kind = Literal["base", "student", "small"]


@dataclass(frozen=True)
class Batch:
    """n noisy latents, on the device. rows: (n,), indices of the training pictures. x, noise, x_t: (n, c, h, w). t: (n,).

    states: (n, tokens, width), a tenth of them of the empty caption. told: (n,) bool, the others. memory: (n, 96), the
    scorer's embedding of each picture.
    """

    rows: torch.Tensor
    x: torch.Tensor
    noise: torch.Tensor
    x_t: torch.Tensor
    t: torch.Tensor
    states: torch.Tensor
    told: torch.Tensor
    memory: torch.Tensor


class Net(nn.Module):
    """A U-Net that accepts a memory and ignores it."""

    def __init__(self, unet: UNet2DConditionModel):
        super().__init__()
        self.unet = unet

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, states: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """The velocity, of x_t's shape (n, c, h, w), at timesteps t (n,), told states (n, tokens, width)."""
        return self.unet(x_t, t, states, return_dict=False)[0].float()


class Arm:
    """One way of training.

    key, title: its names. paper: the source of the claim under test. kind: the group it is compared in: "base" arms
    continue training the base model, "student" arms distil it to two steps, "small" arms into a smaller network. net: the
    trained network, averaged by EMA. helpers: other modules that the loss needs, trained with it. kept: modules that are
    saved with a checkpoint but not trained by gradient.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str] = ""
    kind: ClassVar[Kind] = "base"
    rate: float = 3e-4

    def __init__(self, unet: UNet2DConditionModel, material: Material, device: str):
        self.material, self.device = material, device
        self.way = Trajectory(new_scheduler(), device)
        if device == "cpu":
            unet.set_attn_processor(AttnProcessor())
        self.net: nn.Module = self.network(unet.requires_grad_(True)).to(device).train()
        self.helpers, self.kept = nn.ModuleDict(), nn.ModuleDict()

    def network(self, unet: UNet2DConditionModel) -> nn.Module:
        """The trained network, around the arm's own U-Net."""
        return Net(unet)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Optimizers of all trained modules."""
        return [adamw([*self.net.parameters(), *self.helpers.parameters()], self.rate)]

    def loss(self, batch: Batch) -> torch.Tensor:
        raise NotImplementedError

    def moved(self, step: int) -> None:
        """Called after every optimizer step."""


def adamw(parameters: Any, rate: float) -> torch.optim.AdamW:
    """AdamW with the settings of the embedded model's training, without weight decay."""
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)


def draw_batch(material: Material, way: Trajectory, n: int, device: str) -> Batch:
    """A batch drawn by torch's CPU generator on every device: reproducible for a given seed."""
    known = material.known
    rows, turn = torch.randint(len(known), (n,)), torch.randint(CAPTIONS, (n,))
    told = torch.rand(n) >= DROPOUT
    states = torch.where(told[:, None, None], known.states[rows, turn].float(), material.blank)
    t, x = draw_timesteps(n, "cpu"), known.latents[rows].float()
    noise = torch.randn(x.shape)
    parts = [part.to(device) for part in (rows, x, noise, t, states, told, known.memory[rows])]
    rows, x, noise, t, states, told, memory = parts
    return Batch(rows, x, noise, way.noised(x, noise, t), t, states, told, memory)
