"""Distribution matching distillation: the gradient is the difference between a critic's and the guided teacher's estimate.

Yin et al. 2024 (DMD; with samples from the student's own latents at later steps and an adversarial loss, as in DMD2),
added to the consistency loss.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel

from ..train.denoiser import BATCH, PAIRS, draw_timesteps
from ..train.training_examples import Examples
from .consistency import Consistency
from .critic import Critic
from .trajectory import GRID, Teacher, Trajectory

GUIDANCE = 2.0  # with 3, as in the trajectories, colours oversaturate
EARLIEST, SHAPES, LATEST = 980, 450, 20  # timesteps of the comparison; half of them above the middle one
ADVERSARIAL_BELOW = 650  # above this timestep there is no adversarial loss
OWN = GRID[5::5]  # where the student continues from its own latents, when it samples in two or four steps
REAL, TELLING, CONSISTENT = 0.35, 0.2, 0.7  # shares of the losses
HEAD_START = 60  # steps in which only the critic is trained


def matching_loss(real, critic, way: Trajectory, x, noise, t, states) -> torch.Tensor:
    """A loss whose gradient by the clean latents x (n, c, h, w) is the critic's estimate of them minus the teacher's.

    An adversarial gradient, scaled to REAL times its size, is added. real: the teacher's velocity; critic: a `Critic`;
    both are called with x_t, t (n,) and states (n, tokens, width). Each picture's gradient is divided by the distance of
    x from the teacher's estimate.
    """
    leaf = x.detach().requires_grad_(True)
    with torch.enable_grad():
        x_t = way.noised(leaf, noise, t)
        v, logits = critic(x_t, t, states)
        (less_real,) = torch.autograd.grad((F.softplus(-logits) * (t < ADVERSARIAL_BELOW)).sum(), leaf)
    with torch.no_grad():
        wanted = way.clean(x_t, real(x_t, t, states), t)
        far = (x - wanted).abs().mean((1, 2, 3), keepdim=True).clamp_min(0.02)
        away = (way.clean(x_t, v, t) - wanted) / far
        scale = away.square().mean().sqrt() / less_real.square().mean().sqrt().clamp_min(1e-8)
        goal = x - away - REAL * scale * less_real
    return 0.5 * (x - goal).square().mean()


def critic_loss(critic: Critic, way: Trajectory, drawn, real, t, noise, states) -> torch.Tensor:
    """The velocity's squared error on drawn latents, plus the loss of distinguishing them from real ones.

    drawn, real, noise: (n, c, h, w). t: (n,) timesteps. states: (n, tokens, width) of the prompts.
    """
    both, twice = torch.cat([drawn, real]), torch.cat([t, t])
    v, logits = critic(way.noised(both, torch.cat([noise, noise]), twice), twice, torch.cat([states, states]))
    n, included = len(t), (t < ADVERSARIAL_BELOW).float()
    telling = ((F.softplus(logits[:n]) + F.softplus(-logits[n:])) * included).sum() / included.sum().clamp_min(1)
    return F.mse_loss(v[:n], way.velocity(drawn, noise, t)) + TELLING * telling


class Matching:
    """The sum of the student's and the critic's losses on examples; neither has gradients in the other's weights.

    start: the student's initial network.
    """

    rate, momentum = 1.5e-4, 0.5
    scheduler = staticmethod(Consistency.scheduler)

    def __init__(self, teacher: Teacher, examples: Examples, start: UNet2DConditionModel):
        self.teacher, self.critic = teacher, Critic(teacher.copy())
        self._examples, self._later = examples.to(teacher.device), torch.tensor(OWN, device=teacher.device)
        half = BATCH[teacher.device] // 2
        self._consistency = Consistency(teacher, self._examples, start, batch=half, guidance=GUIDANCE)
        self.averages, self.learners = self._consistency.averages, {"critic": self.critic}

    def loss(self, student) -> torch.Tensor:
        """The loss on one batch, sampled on the device."""
        n, device, way = BATCH[self.teacher.device], self.teacher.device, self.teacher.way
        latents, ids = self._examples.draw(n, PAIRS)
        states = self.teacher.states(ids)
        x = self._drawn(student, states)
        first = torch.where(torch.arange(n, device=device) % 2 == 0, LATEST, SHAPES)
        t = first + (torch.rand(n, device=device) * (EARLIEST - first)).long()

        real = partial(self.teacher.velocity, guidance=GUIDANCE)
        own = matching_loss(real, self.critic, way, x, torch.randn_like(x), t, states)
        noise = torch.randn_like(x)
        its = critic_loss(self.critic, way, x.detach(), latents, draw_timesteps(n, device), noise, states)
        self.critic.steps += 1
        return own * (self.critic.steps > HEAD_START) + its + CONSISTENT * self._consistency.loss(student)

    def _drawn(self, student, states) -> torch.Tensor:
        """The student's clean latents: half of them from pure noise, half from its own latents at a later timestep."""
        config, way, n, device = student.config, self.teacher.way, len(states), states.device

        def clean(x_t, t, states):
            return way.clean(x_t, student(x_t, t, states, return_dict=False)[0].float(), t)

        x_t = torch.randn(n, config.in_channels, config.sample_size, config.sample_size, device=device)
        t, half = torch.full((n,), GRID[0], device=device), n // 2
        later = self._later[torch.randint(len(OWN), (n - half,), device=device)]
        with torch.no_grad():
            own = clean(x_t[half:], t[half:], states[half:])
        x_t, t = torch.cat([x_t[:half], way.noised(own, torch.randn_like(own), later)]), torch.cat([t[:half], later])
        return clean(x_t, t, states)
