"""Records the teacher's trajectory once, and evaluates students against it in batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler

from ..patching.blocks import as_unet
from ..patching.patch import BlockControl, UNetCall, captured, not_finite_blocks
from .probe_request import Trajectory

POSITIONS = {"cuda": 65_536}  # default number of latent positions in one U-Net call
OPTIONAL = ("guidance_scale", "negative_prompt", "height", "width")  # passed to the pipeline if given
POSITIONS_ELSEWHERE = 4_096  # 16 samples of 16 x 16, 1 of 64 x 64: more is no faster on a CPU


class Teacher:
    """The unpatched U-Net's inputs and raw outputs at each of T steps of one prompt (METHOD sec. 3).

    Attributes:
        unet: the U-Net of both teacher and student: a student is the same network under `BlockControl`.
        inputs: T dicts of the U-Net's arguments by name, with a timestep for each sample.
        eps: T raw outputs, before guidance, each (k, channels, height, width).
        power: (T,), the mean square of eps at each step.
        steps: T.
        k: samples in one U-Net call: the number of pictures, doubled under guidance.
        guidance_scale: the pipeline's guidance scale.
        samples: the number of U-Net samples evaluated, including the teacher's T * k.
    """

    def __init__(
        self,
        unet: torch.nn.Module,
        calls: Sequence[UNetCall],
        guidance_scale: float = 0.0,
        check: Callable[[], object] | None = None,
    ):
        self.unet = unet
        self.guidance_scale = guidance_scale
        self.steps = len(calls)
        self._check = check
        self.inputs = [_named_inputs(unet, call) for call in calls]
        self.eps = [call.output for call in calls]
        self.k = self.eps[0].shape[0]
        self.samples = self.steps * self.k
        for t, eps in enumerate(self.eps):
            if not torch.isfinite(eps).all():
                raise FloatingPointError(self._not_finite("model's output", t))
        self.power = np.array([float(eps.float().square().mean()) for eps in self.eps])
        try:
            stacked(self.inputs, self.k)
        except _CannotStack:
            self.batched = False
        else:
            self.batched = True

    @property
    def batch_size(self) -> int:
        """The default number of U-Net samples in one call: enough to keep the device busy."""
        height, width = self.eps[0].shape[-2:]
        return max(self.k, POSITIONS.get(self.eps[0].device.type, POSITIONS_ELSEWHERE) // (height * width))

    def losses(
        self, step: np.ndarray, w: np.ndarray, skip: np.ndarray | None = None, batch_size: int | None = None
    ) -> np.ndarray:
        """Mean squared error between teacher and student: raw U-Net outputs, both guidance halves, in float32.

        The outputs are compared as predicted (epsilon, v or sample). The U-Net is patched for one batch at a time.
        `check` is called before each U-Net call, and an exception that it raises stops the evaluation; `check.pause`, if
        it exists, is called after each batch, when other jobs may use the model.

        Args:
            step: (n,) the step of each student, 0..T-1.
            w: (n, m) block weights.
            skip: (n, m) blocks to bypass, or None.
            batch_size: maximum number of U-Net samples in one call, at least k (default: the teacher's `batch_size`).
                Inputs that cannot be stacked are evaluated one student at a time.

        Returns:
            (n,) float64 errors.

        Raises:
            FloatingPointError: an error is NaN or infinite.
        """
        losses = np.empty(len(step))
        pause = getattr(self._check, "pause", None)
        for part in self._parts(len(step), batch_size):
            asked = step[part], w[part], None if skip is None else skip[part]
            for _, steps, eps_hat in self.students(*asked, batch_size):
                eps = torch.cat([self.eps[t] for t in steps])
                error = (eps.float() - eps_hat.float()).square().reshape(len(steps), -1).mean(1)
                losses[part] = error.cpu().numpy()
            if pause is not None:
                pause()
        if not np.isfinite(losses).all():
            n = int(np.flatnonzero(~np.isfinite(losses))[0])
            raise FloatingPointError(
                self._not_finite("re-weighted model's error", int(step[n]), w[n], None if skip is None else skip[n])
            )
        return losses

    def students(
        self, step: np.ndarray, w: np.ndarray, skip: np.ndarray | None = None, batch_size: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, torch.Tensor]]:
        """The students' raw outputs in batches: student indices (b,), their steps (b,), and b * k output samples.

        The arguments are those of `losses`. The U-Net is patched until the generator ends; inference mode is entered
        only within a call.
        """
        k = self.k
        with BlockControl(self.unet) as control:
            for part in self._parts(len(step), batch_size):
                control.set(np.repeat(w[part], k, axis=0), None if skip is None else np.repeat(skip[part], k, axis=0))
                eps_hat = self._call(step[part])
                self.samples += len(part) * k
                yield part, step[part], eps_hat

    def _parts(self, n: int, batch_size: int | None) -> list[np.ndarray]:
        """The indices of n students, in batches."""
        rows = max(1, (batch_size or self.batch_size) // self.k) if self.batched else 1
        return np.array_split(np.arange(n), -(-n // rows)) if n else []

    def _call(self, students: np.ndarray) -> torch.Tensor:
        if self._check is not None:
            self._check()
        inputs = [self.inputs[t] for t in students]
        with torch.inference_mode():
            return self.unet(**stacked(inputs, self.k) if self.batched else inputs[0], return_dict=False)[0]

    def _not_finite(self, what: str, t: int, w: np.ndarray | None = None, skip: np.ndarray | None = None) -> str:
        """The error message for step t, after one more call to find the first block with non-finite output."""
        with torch.inference_mode(), BlockControl(self.unet) as control, not_finite_blocks(self.unet) as noted:
            control.set(w, skip)
            self.unet(**self.inputs[t], return_dict=False)
        where = f"first in block {noted[0]}" if noted else "outside the target blocks"
        return (
            f"The {what} is not a finite number at step {t + 1} of {self.steps}, {where}: "
            "check the weights or load the model in float32."
        )


def record_teacher(pipe: Any, trajectory: Trajectory, check: Callable[[], object] | None = None) -> Teacher:
    """Run the unpatched pipeline once with deterministic DDIM (Eq. 1), and record its U-Net calls.

    The scheduler is a `DDIMScheduler` with the pipeline's configuration (spacing, prediction type and zero-SNR rescaling
    are kept; predicted latents are clipped only if the configuration says so). The pipeline's own is always restored.

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`.
        trajectory: prompt, steps, noise and guidance.
        check: called before every U-Net call, here and later; an exception that it raises stops the call.

    Raises:
        ValueError: no U-Net, or not exactly one U-Net call for each step.
        FloatingPointError: the model's own output is NaN or infinite.
    """
    check_pipeline(pipe)
    steps, images = trajectory.steps, trajectory.images
    generators = [torch.Generator("cpu").manual_seed(trajectory.seed + i) for i in range(images)]
    optional = {name: getattr(trajectory, name) for name in OPTIONAL}
    scheduler = pipe.scheduler
    pipe.scheduler = ddim_of(scheduler)
    try:
        with captured(pipe, check) as calls:
            pipe(
                trajectory.prompt,
                num_inference_steps=steps,
                num_images_per_prompt=images,
                generator=generators if images > 1 else generators[0],
                output_type="latent",
                **{name: value for name, value in optional.items() if value is not None},
            )
    finally:
        pipe.scheduler = scheduler
    if len(calls) != steps:
        raise ValueError(
            f"The pipeline called its U-Net {len(calls)} times for {steps} steps, and the probe needs one call a step."
        )
    return Teacher(as_unet(pipe), calls, float(getattr(pipe, "guidance_scale", trajectory.guidance_scale or 0)), check)


def check_pipeline(pipe: Any) -> None:
    """ValueError of one sentence for a pipeline without a U-Net."""
    if getattr(pipe, "unet", None) is None:
        raise ValueError(f"{type(pipe).__name__} has no U-Net, and only a U-Net's blocks can be probed.")


def ddim_of(scheduler: Any) -> DDIMScheduler:
    """The deterministic sampler of Eq. 1 with a scheduler's spacing, prediction type and noise schedule."""
    return DDIMScheduler.from_config(scheduler.config, clip_sample=scheduler.config.get("clip_sample", False))


def _named_inputs(unet: torch.nn.Module, call: UNetCall) -> dict[str, Any]:
    """A call's arguments by name, with a timestep for each sample."""
    inputs = dict(inspect.signature(type(unet).forward).bind(unet, *call.args, **call.kwargs).arguments)
    del inputs["self"]
    inputs.pop("return_dict", None)
    inputs.update(inputs.pop("kwargs", {}))
    timestep, sample = torch.as_tensor(inputs["timestep"]), inputs["sample"]
    inputs["timestep"] = timestep.to(sample.device).expand(sample.shape[0])
    return inputs


class _CannotStack(Exception):
    pass


def stacked(parts: Sequence[Any], k: int) -> Any:
    """Concatenate an argument of several calls along the batch dimension, also inside dicts, lists and tuples."""
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
        return {key: stacked([part[key] for part in parts], k) for key in first}
    if isinstance(first, (list, tuple)):
        if any(len(part) != len(first) for part in parts):
            raise _CannotStack
        return type(first)(stacked(list(column), k) for column in zip(*parts, strict=True))
    if first is None or (isinstance(first, (bool, int, float, str)) and all(part == first for part in parts)):
        return first
    raise _CannotStack
