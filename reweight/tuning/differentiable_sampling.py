"""Draws pictures as tensors through the pipeline, optionally with gradients.

Unlike in `engine.drawing`, pictures are not rounded and there are no retries.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..patching.differentiable import Per, weighted

Pair = tuple[str, int]  # a prompt and the seed of its noise


@dataclass(frozen=True)
class Sampling:
    """Arguments of the pipeline's call. None: the pipeline's default."""

    steps: int
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    height: int | None = None
    width: int | None = None

    def options(self, count: int) -> dict[str, Any]:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        given["num_inference_steps"] = given.pop("steps")
        if "negative_prompt" in given:
            given["negative_prompt"] = [given["negative_prompt"]] * count
        return given


@contextmanager
def prepared(pipe: Any, *, checkpointing: bool) -> Iterator[None]:
    """Prepare a pipeline for tuning: frozen networks, activation checkpointing, and no safety checker, whose input
    cannot carry a gradient (no picture drawn here is shown). Undone on exit."""
    networks = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    with ExitStack() as undo:
        for parameter in (p for network in networks for p in network.parameters() if p.requires_grad):
            undo.callback(parameter.requires_grad_, True)
            parameter.requires_grad_(False)
        for network in (pipe.unet, pipe.vae) if checkpointing else ():
            if not network.is_gradient_checkpointing:
                network.enable_gradient_checkpointing()
                undo.callback(network.disable_gradient_checkpointing)
        if getattr(pipe, "safety_checker", None) is not None:
            undo.callback(setattr, pipe, "safety_checker", pipe.safety_checker)
            pipe.safety_checker = None
        yield


def pictures(
    pipe: Any, pairs: Sequence[Pair], sampling: Sampling, weights: Tensor | None = None, *, per: Per = "stage",
    check: Callable[[], object] = lambda: None,
) -> Tensor:  # fmt: skip
    """The pictures of (prompt, seed) pairs, drawn in one batch, (n, 3, height, width) in [0, 1].

    weights: (T, k) or (n, T, k), see `weighted`; None draws vanilla, unpatched. Gradients flow if they are enabled.
    check: called after each step; an exception that it raises stops the drawing.
    """
    call = inspect.unwrap(type(pipe).__call__)  # diffusers wraps it in no_grad

    def step_end(_pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        check()
        return tensors

    patch = nullcontext() if weights is None else weighted(pipe, weights, per=per)
    with patch:
        return call(
            pipe, [prompt for prompt, _ in pairs], generator=[torch.Generator("cpu").manual_seed(s) for _, s in pairs],
            output_type="pt", callback_on_step_end=step_end, **sampling.options(len(pairs)),
        ).images  # fmt: skip
