"""One arm's training: a fixed budget, the same batches, and an exact resume after a kill."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..train import checkpoint
from .arm import Arm, Batch

SEED = 23
WARM_UP = 20  # steps
DECAY = 0.98  # of the EMA
Clock = Callable[[], float]


def clock_of(device: str) -> Clock:
    """Processor seconds of all threads of this process; on CUDA elapsed seconds, after synchronising."""
    if device != "cuda":
        return time.process_time

    def passed() -> float:
        torch.cuda.synchronize()
        return time.monotonic()

    return passed


class ArmTraining:
    """An arm's training and its checkpoint.

    path: of the checkpoint; if it exists, training resumes from it, bitwise as without the interruption. start: identifies
    the initial weights, the data and the batch size; ValueError if the checkpoint has another. draw: returns a batch, drawn
    by torch's generator, which is seeded with the step's number. clock: returns seconds.

    spent: seconds so far. history: (seconds, step, value) of each call of `note`.
    """

    def __init__(self, path: Path, arm: Arm, start: str, draw: Callable[[], Batch], clock: Clock):
        self.path, self.arm, self._start, self._draw, self._clock = path, arm, start, draw, clock
        self.optimizers = arm.optimizers()
        self._peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.average: nn.Module = copy.deepcopy(arm.net).requires_grad_(False).eval()
        self.step, self.spent, self.history = 0, 0.0, []
        if saved := checkpoint.load(path):
            self._resume(saved)

    def _resume(self, saved: dict) -> None:
        if saved["start"] != self._start:
            raise ValueError(
                f"{self.path} was begun with other weights, pictures or settings: give another --work, or delete it."
            )
        for name, module in self._modules().items():
            module.load_state_dict(saved[name])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.spent, self.history = saved["step"], saved["spent"], saved["history"]

    def _modules(self) -> dict[str, nn.Module]:
        arm = self.arm
        return {"net": arm.net, "average": self.average, "helpers": arm.helpers, "kept": arm.kept}

    def until(self, seconds: float) -> None:
        """Train until the given seconds are spent in total, and save. The last step may exceed them."""
        if self.spent >= seconds:
            return
        began = self._clock() - self.spent
        while self.spent < seconds:
            self._move()
            self.spent = self._clock() - began
        self.save()

    def _move(self) -> None:
        torch.manual_seed(SEED * 1_000_003 + self.step)
        warm = min(1.0, (self.step + 1) / WARM_UP)
        for optimizer, peaks in zip(self.optimizers, self._peaks, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * warm
        batch = self._draw()
        with torch.autocast(self.arm.device, torch.bfloat16):
            loss = self.arm.loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*self.arm.net.parameters(), *self.arm.helpers.parameters()], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.arm.moved(self.step)
        checkpoint.update_average(self.average, self.arm.net, min(DECAY, self.step / (self.step + 10)))

    def note(self, value: float) -> None:
        """Record a value."""
        self.history.append([self.spent, self.step, value])
        self.save()

    def save(self) -> None:
        """Write the checkpoint."""
        parts = {name: module.state_dict() for name, module in self._modules().items()}
        checkpoint.save(
            self.path, **parts, optimizers=[optimizer.state_dict() for optimizer in self.optimizers],
            step=self.step, spent=self.spent, history=self.history, start=self._start,
        )  # fmt: skip
