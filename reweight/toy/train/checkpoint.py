"""Training that survives a kill: one file with everything, written atomically, and a clock that goes on where it was."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch


class Training:
    """Goes through the steps of a training and keeps it on disk: modules, optimizer, step and seconds spent.

        training = Training(path, optimizer, minutes=20, model=net, average=copy)
        for step in training:
            training.learn(loss)  # or training.move(), where the gradient is there already
            if training.due:
                training.save()

    path: the checkpoint; where it exists, everything goes on from it. minutes: of the whole training, restarts counted.
    every: seconds between two checkpoints. The learning rates are the optimizer's own, warmed up, held until `hold` of
    the time and lowered. The modules, by name, are what is kept; `learn` moves the one called "model".
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
        """How much of the time has passed, 0 to 1."""
        return self._clock.fraction

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint; always at the end."""
        return self._clock.spent - self._saved > self._every or self.fraction >= 1

    def __iter__(self) -> Iterator[int]:
        self._clock.restart(self._saved)
        while self.fraction < 1:
            for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
                group["lr"] = learning_rate(peak, self.fraction, self.step, hold=self._hold)
            yield self.step

    def learn(self, loss: torch.Tensor) -> None:
        """One step down the gradient of a loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.move()

    def move(self) -> None:
        """One step down the gradient that is there, clipped to norm 1."""
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimizer.step()
        self.step += 1

    def average(self, name: str, decay: float) -> None:
        """Move a module towards the model: an exponential average, faster in the first steps."""
        update_average(self.modules[name], self.modules["model"], min(decay, self.step / (self.step + 20)))

    def save(self) -> None:
        """Write the checkpoint."""
        self._saved = self._clock.spent
        parts = {name: module.state_dict() for name, module in self.modules.items()}
        save(self.path, **parts, optimizer=self.optimizer.state_dict(), step=self.step, spent=self._saved)


class Clock:
    """Counts the seconds of a training across restarts; `fraction` runs from 0 to 1 over the minutes planned."""

    def __init__(self, minutes: float, spent: float = 0.0):
        self.total = minutes * 60
        self.restart(spent)

    def restart(self, spent: float) -> None:
        """Count from now on."""
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
    """Read a checkpoint, or None where there is none."""
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
