"""Distribution matching: the student's pictures become likelier for the guided teacher than for a critic that knows them.

Yin et al. 2024 (DMD; drawn from the student's own latents at its later steps, as in DMD2). The critic starts as the base
model and learns the student's latents as that one learned real ones. Captions alone are needed, no latents.
"""

from __future__ import annotations

import torch

from .consistency import Consistency
from .denoiser import BATCH, PAIRS, draw_timesteps, v_loss
from .examples import Examples
from .trajectory import GRID, Teacher, Trajectory

GUIDANCE = 2.0  # with the 3 of the trajectories colours burn out
EARLIEST, SHAPES, LATEST = 980, 450, 20  # timesteps: of the comparison, half of it above the middle one
OWN = GRID[5::5]  # where the student goes on from its own latents, when it samples in two steps or in four


def matching_loss(real, fake, way: Trajectory, x, noise, t, states) -> torch.Tensor:
    """A loss whose gradient by the clean latents x (n, c, h, w) is the critic's estimate of them less the teacher's.

    real, fake: the teacher's velocity and the critic's, called with x_t, t and states. Each picture's gradient is
    divided by how far x is from the teacher's estimate.
    """
    with torch.no_grad():
        x_t = way.noised(x, noise, t)
        wanted = way.clean(x_t, real(x_t, t, states), t)
        far = (x - wanted).abs().mean((1, 2, 3), keepdim=True).clamp_min(0.02)
        goal = x - (way.clean(x_t, fake(x_t, t, states), t) - wanted) / far
    return 0.5 * (x - goal).square().mean()


class Matching:
    """The losses of student and critic on captions of the examples, in one: neither reaches the other's weights."""

    rate = 1.5e-4
    scheduler = staticmethod(Consistency.scheduler)

    def __init__(self, teacher: Teacher, examples: Examples):
        self.teacher, self.averages = teacher, {}
        self.learners = {"critic": teacher.copy().requires_grad_(True)}
        self._examples, self._later = examples.to(teacher.device), torch.tensor(OWN, device=teacher.device)

    def loss(self, student) -> torch.Tensor:
        """Of one batch, drawn on the device."""
        n, device, way = BATCH[self.teacher.device], self.teacher.device, self.teacher.way
        states = self.teacher.states(self._examples.draw(n, PAIRS)[1])
        x = self._drawn(student, states)
        first = torch.where(torch.arange(n, device=device) % 2 == 0, LATEST, SHAPES)
        t = first + (torch.rand(n, device=device) * (EARLIEST - first)).long()

        def real(x_t, t, states):
            return self.teacher.velocity(x_t, t, states, guidance=GUIDANCE)

        own, seen = matching_loss(real, self._critic, way, x, torch.randn_like(x), t, states), x.detach()
        return own + v_loss(self._critic, way, seen, states, draw_timesteps(n, device), torch.randn_like(seen))

    def _critic(self, x_t, t, states) -> torch.Tensor:
        return self.learners["critic"](x_t, t, states, return_dict=False)[0].float()

    def _drawn(self, student, states) -> torch.Tensor:
        """The student's clean latents: half of them of pure noise, half of its own latents at a later timestep."""
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
