"""How many threads each stage of a pipeline works best with on this machine's processor; measured, not assumed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..models.loading import LoadedModel

CALLS = 3


@dataclass(frozen=True)
class Threads:
    """For one picture's U-Net call and for its decoding."""

    unet: int
    decoder: int


@torch.no_grad()
def measure(loaded: LoadedModel) -> Threads:
    """The quicker of one thread and all of them, for each stage, by a few calls at the model's own size."""
    pipe, most = loaded.pipe, torch.get_num_threads()
    if not loaded.device.startswith("cpu") or most == 1:
        return Threads(most, most)
    unet, side = pipe.unet, loaded.card.size // pipe.vae_scale_factor
    latents = torch.zeros(1, unet.config.in_channels, side, side, dtype=unet.dtype)
    decoded = torch.zeros(1, pipe.vae.config.latent_channels, side, side, dtype=pipe.vae.dtype)
    embedding = torch.zeros(1, 77, unet.config.cross_attention_dim, dtype=unet.dtype)
    try:
        return Threads(
            _quickest(lambda: unet(latents, 1, encoder_hidden_states=embedding), most),
            _quickest(lambda: pipe.vae.decode(decoded), most),
        )
    except Exception:  # a U-Net that wants more than this, such as SDXL's: leave it at what the program has
        return Threads(most, most)


@contextmanager
def staged(pipe: Any, threads: Threads) -> Iterator[None]:
    """Within the block the U-Net and the decoder of a pipeline work with their own numbers of threads."""
    before = torch.get_num_threads()
    hooks = []
    if (threads.unet, threads.decoder) != (before, before):
        for module, count in ((pipe.unet, threads.unet), (pipe.vae.decoder, threads.decoder)):
            hooks.append(module.register_forward_pre_hook(lambda *_, count=count: torch.set_num_threads(count)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        if hooks:
            torch.set_num_threads(before)


def _quickest(call: Callable[[], Any], most: int) -> int:
    times = {}
    try:
        for count in (1, most):
            torch.set_num_threads(count)
            call()
            times[count] = statistics.median(_timed(call) for _ in range(CALLS))
    finally:
        torch.set_num_threads(most)
    return 1 if times[1] <= times[most] else most


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
