"""What an arm of the study is: a network, its optimizers and a loss on batches that are the same for every arm."""

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
    """n pictures under noise, on the device. rows: (n,) of the known pictures. x, noise, x_t: (n, c, h, w). t: (n,).

    states: (n, tokens, width), blank for a tenth. told: (n,) bool, which are not blank. memory: (n, 96) of each picture.
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
    """A U-Net called with memories beside the text, which it does not look at."""

    def __init__(self, unet: UNet2DConditionModel):
        super().__init__()
        self.unet = unet

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, states: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """The velocity, of x_t's shape (n, c, h, w), at timesteps t (n,), told states (n, tokens, width)."""
        return self.unet(x_t, t, states, return_dict=False)[0].float()


class Arm:
    """One way of training.

    key, title: its names. paper: whose claim it tries. kind: what it is compared with: "base" arms go on training the
    base model, "student" arms make one of two steps of it, "small" arms a smaller one. net: what is trained and
    averaged. helpers: further modules that the loss needs, trained with it. kept: modules that belong to a checkpoint but
    are not trained by gradient.
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
        """What is trained, around a U-Net that is the arm's own."""
        return Net(unet)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Those of all that is trained."""
        return [adamw([*self.net.parameters(), *self.helpers.parameters()], self.rate)]

    def loss(self, batch: Batch) -> torch.Tensor:
        raise NotImplementedError

    def moved(self, step: int) -> None:
        """Called after every step."""


def adamw(parameters: Any, rate: float) -> torch.optim.AdamW:
    """AdamW as the embedded model was trained, without weight decay."""
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)


def draw_batch(material: Material, way: Trajectory, n: int, device: str) -> Batch:
    """Drawn by torch's generator on the processor, whatever the device: seed it, and it is always the same."""
    known = material.known
    rows, turn = torch.randint(len(known), (n,)), torch.randint(CAPTIONS, (n,))
    told = torch.rand(n) >= DROPOUT
    states = torch.where(told[:, None, None], known.states[rows, turn].float(), material.blank)
    t, x = draw_timesteps(n, "cpu"), known.latents[rows].float()
    noise = torch.randn(x.shape)
    parts = [part.to(device) for part in (rows, x, noise, t, states, told, known.memory[rows])]
    rows, x, noise, t, states, told, memory = parts
    return Batch(rows, x, noise, way.noised(x, noise, t), t, states, told, memory)
