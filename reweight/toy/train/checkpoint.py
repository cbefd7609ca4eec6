"""Resumable training: one checkpoint file with the whole state, written atomically, and a clock of the training time."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch


class Training:
    """Iterates over training steps, and saves modules, optimizer, step and time spent.

        training = Training(path, optimizer, minutes=20, model=net, average=copy)
        for step in training:
            training.learn(loss)  # or training.move(), if the gradient is computed already
            if training.due:
                training.save()

    path: the checkpoint; if it exists, training resumes from it. minutes: total training time, including earlier runs.
    every: seconds between checkpoints. Learning rates start from the optimizer's own: warm-up, constant until `hold` of
    the time, then decay. The named modules are saved; `learn` updates the one called "model".
    """

    def __init__(
        self, path: Path, optimizer: torch.optim.Optimizer, *, minutes: float, every: float = 180, hold: float = 0.5,
        **modules: torch.nn.Module,
    ):  # fmt: skip
        self.path, self.optimizer, self.modules = path, optimizer, modules
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self._hold, self._every = hold, every
        self.step, spent = 0, 0.0
        if saved := load(path):
            for name, module in modules.items():
                module.load_state_dict(saved[name])
            optimizer.load_state_dict(saved["optimizer"])
            self.step, spent = saved["step"], saved["spent"]
        self._clock, self._saved = Clock(minutes, spent), spent

    @property
    def fraction(self) -> float:
        """The share of the training time that has passed, 0 to 1."""
        return self._clock.fraction

    @property
    def due(self) -> bool:
        """Whether a checkpoint is due; always at the end."""
        return self._clock.spent - self._saved > self._every or self.fraction >= 1

    def __iter__(self) -> Iterator[int]:
        self._clock.restart(self._saved)
        while self.fraction < 1:
            for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
                group["lr"] = learning_rate(peak, self.fraction, self.step, hold=self._hold)
            yield self.step

    def learn(self, loss: torch.Tensor) -> None:
        """One optimizer step on a loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.move()

    def move(self) -> None:
        """One optimizer step on the existing gradient, clipped to norm 1."""
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimizer.step()
        self.step += 1

    def average(self, name: str, decay: float) -> None:
        """Update a module as an exponential moving average of the model, faster in the first steps."""
        update_average(self.modules[name], self.modules["model"], min(decay, self.step / (self.step + 20)))

    def save(self) -> None:
        """Write the checkpoint."""
        self._saved = self._clock.spent
        parts = {name: module.state_dict() for name, module in self.modules.items()}
        save(self.path, **parts, optimizer=self.optimizer.state_dict(), step=self.step, spent=self._saved)


class Clock:
    """Counts the training time across restarts; `fraction` goes from 0 to 1 over the planned minutes."""

    def __init__(self, minutes: float, spent: float = 0.0):
        self.total = minutes * 60
        self.restart(spent)

    def restart(self, spent: float) -> None:
        """Continue counting from now, after `spent` seconds."""
        self.began = time.monotonic() - spent

    @property
    def spent(self) -> float:
        return time.monotonic() - self.began

    @property
    def fraction(self) -> float:
        spent = self.spent
        return 1.0 if spent >= self.total else spent / self.total


def save(path: Path, **parts) -> None:
    """Write a checkpoint of tensors, plain numbers and state dicts."""
    temporary = path.with_suffix(".tmp")
    torch.save(parts, temporary)
    os.replace(temporary, path)


def load(path: Path) -> dict | None:
    """Read a checkpoint; None if there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def learning_rate(peak: float, fraction: float, step: int, warmup: int = 200, hold: float = 0.5) -> float:
    """Linear warm-up in steps, the peak until `hold` of the time, then a cosine to 2% of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    if fraction < hold:
        return peak
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (fraction - hold) / (1 - hold))))


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """Exponential moving average of the weights, in place."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
