"""The teacher's trajectory, recorded once, and students replayed against it in batches."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler

from .blocks import as_unet
from .patch import BlockControl, UNetCall, captured


class Teacher:
    """The unpatched U-Net's inputs and raw outputs at each of T steps of one prompt (METHOD sec. 3).

    Attributes:
        unet: the U-Net, teacher and student at once: a student is the same network under `BlockControl`.
        eps: T raw outputs, before guidance, each of shape (k, channels, height, width); k is 2 under guidance, else 1.
        steps: T.
        halves: k, the samples of one U-Net call.
        guidance_scale: the scale the pipeline ran with.
        samples: how many U-Net samples were evaluated so far, the teacher's own T * k included.
    """

    def __init__(self, unet: torch.nn.Module, calls: Sequence[UNetCall], guidance_scale: float = 0.0):
        self.unet = unet
        self.guidance_scale = guidance_scale
        self.steps = len(calls)
        self._inputs = [_named_inputs(unet, call) for call in calls]
        self.eps = [call.output for call in calls]
        self.halves = self.eps[0].shape[0]
        self.samples = self.steps * self.halves
        for t, eps in enumerate(self.eps):
            if not torch.isfinite(eps).all():
                raise FloatingPointError(_not_finite("model's output", t, self.steps))
        try:
            _stack(self._inputs, self.halves)
        except _CannotStack:
            self.batched = False
        else:
            self.batched = True

    def losses(
        self, step: np.ndarray, w: np.ndarray, skip: np.ndarray | None = None, batch_size: int | None = None
    ) -> np.ndarray:
        """Mean squared error between teacher and student, raw U-Net outputs over all halves, in float32.

        Whatever the U-Net predicts (epsilon, v, sample) is compared as it is. The patch lives as long as this call.

        Args:
            step: (n,) which of the T steps each student is evaluated at.
            w: (n, m) block weights.
            skip: (n, m) blocks to bypass, or None.
            batch_size: the most U-Net samples in one call (default T * k, at least k). Inputs that cannot be stacked
                are evaluated one student at a time.

        Returns:
            (n,) float64 errors.

        Raises:
            FloatingPointError: an error is NaN or infinite.
        """
        k = self.halves
        rows = max(1, (batch_size or self.steps * k) // k) if self.batched else 1
        losses = np.empty(len(step))
        with torch.inference_mode(), BlockControl(self.unet) as control:
            for start in range(0, len(step), rows):
                part = slice(start, start + rows)
                students = step[part]
                control.set(np.repeat(w[part], k, axis=0), None if skip is None else np.repeat(skip[part], k, axis=0))
                eps_hat = self.unet(**self._at(students), return_dict=False)[0]
                eps = torch.cat([self.eps[t] for t in students])
                error = (eps.float() - eps_hat.float()).square().reshape(len(students), -1).mean(1)
                losses[part] = error.cpu().numpy()
                self.samples += len(students) * k
        if not np.isfinite(losses).all():
            t = int(step[np.flatnonzero(~np.isfinite(losses))[0]])
            raise FloatingPointError(_not_finite("re-weighted model's error", t, self.steps))
        return losses

    def _at(self, students: np.ndarray) -> dict[str, Any]:
        inputs = [self._inputs[t] for t in students]
        return _stack(inputs, self.halves) if self.batched else inputs[0]


def record_teacher(
    pipe: Any,
    prompt: str,
    *,
    steps: int,
    seed: int,
    guidance_scale: float | None = None,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
) -> Teacher:
    """Run the pipeline itself once, unpatched, under deterministic DDIM (Eq. 1), and keep its U-Net calls.

    The scheduler is `DDIMScheduler.from_config` of the pipeline's own (spacing, prediction type and zero-SNR rescaling
    stay; predicted latents are clipped only where the configuration says so) and is put back whatever happens.

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`.
        prompt: one prompt.
        steps: T, 1 to 50.
        seed: seed of the initial noise, drawn on the CPU.
        guidance_scale: None leaves the pipeline's default.
        negative_prompt: used only under guidance.
        height: pixels; None leaves the pipeline's default.
        width: pixels; None leaves the pipeline's default.

    Raises:
        ValueError: no U-Net, a blank prompt, steps out of range, or not exactly one U-Net call a step.
        FloatingPointError: the model's own output is NaN or infinite.
    """
    check_request(pipe, prompt, steps, seed)
    optional = {
        "guidance_scale": guidance_scale, "negative_prompt": negative_prompt, "height": height, "width": width,
    }  # fmt: skip
    scheduler = pipe.scheduler
    pipe.scheduler = _ddim(scheduler)
    try:
        with captured(pipe) as calls:
            pipe(
                prompt,
                num_inference_steps=steps,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="latent",
                **{name: value for name, value in optional.items() if value is not None},
            )
    finally:
        pipe.scheduler = scheduler
    if len(calls) != steps:
        raise ValueError(
            f"The pipeline called its U-Net {len(calls)} times for {steps} steps, and the probe needs one call a step."
        )
    return Teacher(as_unet(pipe), calls, float(getattr(pipe, "guidance_scale", guidance_scale or 0.0)))


def check_request(pipe: Any, prompt: str, steps: int, seed: int) -> None:
    """Refuse, in one sentence, what no teacher can be recorded for."""
    if getattr(pipe, "unet", None) is None:
        raise ValueError(f"{type(pipe).__name__} has no U-Net, and only a U-Net's blocks can be probed.")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("The prompt is blank: give the probe one sentence to look at.")
    if not _whole(steps) or not 1 <= steps <= 50:
        raise ValueError(f"steps must be a whole number from 1 to 50, not {steps!r}.")
    if not _whole(seed) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number of at least 0 and below 2^63, not {seed!r}.")


def check_batch_size(batch_size: int | None) -> None:
    """Refuse, in one sentence, a batch without samples."""
    if batch_size is not None and (not _whole(batch_size) or batch_size < 1):
        raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size!r}.")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _ddim(scheduler: Any) -> DDIMScheduler:
    return DDIMScheduler.from_config(scheduler.config, clip_sample=scheduler.config.get("clip_sample", False))


def _not_finite(what: str, t: int, T: int) -> str:
    return f"The {what} is not a finite number at step {t + 1} of {T}: check the weights or load the model in float32."


def _named_inputs(unet: torch.nn.Module, call: UNetCall) -> dict[str, Any]:
    """One call's arguments by name, its timestep spread over the call's samples."""
    inputs = dict(inspect.signature(type(unet).forward).bind(unet, *call.args, **call.kwargs).arguments)
    del inputs["self"]
    inputs.pop("return_dict", None)
    inputs.update(inputs.pop("kwargs", {}))
    timestep, sample = torch.as_tensor(inputs["timestep"]), inputs["sample"]
    inputs["timestep"] = timestep.to(sample.device).expand(sample.shape[0])
    return inputs


class _CannotStack(Exception):
    pass


def _stack(parts: Sequence[Any], k: int) -> Any:
    """Concatenate the same argument of several calls along the batch, through dicts, lists and tuples of tensors."""
    first = parts[0]
    if any(type(part) is not type(first) for part in parts):
        raise _CannotStack
    if isinstance(first, torch.Tensor):
        if first.ndim == 0 or first.shape[0] != k or any(part.shape != first.shape for part in parts):
            raise _CannotStack
        return torch.cat(list(parts))
    if isinstance(first, dict):
        if any(part.keys() != first.keys() for part in parts):
            raise _CannotStack
        return {key: _stack([part[key] for part in parts], k) for key in first}
    if isinstance(first, (list, tuple)):
        if any(len(part) != len(first) for part in parts):
            raise _CannotStack
        return type(first)(_stack(list(column), k) for column in zip(*parts, strict=True))
    if first is None or (isinstance(first, (bool, int, float, str)) and all(part == first for part in parts)):
        return first
    raise _CannotStack
