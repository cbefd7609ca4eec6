"""Limits a small network to one CPU thread: its threads would wait for each other longer than they compute."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

SMALL = 20_000_000  # parameters
FEW = 8  # samples of a call


class OneThread:
    """Hooks around a small network's forward: a call with at most FEW samples uses one thread.

    `torch.set_num_threads` is called in the calling thread, and its number is restored when the call ends.
    """

    def __init__(self, network: nn.Module) -> None:
        self._before: list[int] = []
        network.register_forward_pre_hook(self._enter, with_kwargs=True)
        network.register_forward_hook(self._leave, always_call=True)

    @torch.compiler.disable
    def _enter(self, network: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._before.append(torch.get_num_threads())
        if len(given[0] if given else named["sample"]) <= FEW:
            torch.set_num_threads(1)

    @torch.compiler.disable
    def _leave(self, network: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        if self._before:  # empty where a hook before `_enter` refused the call
            torch.set_num_threads(self._before.pop())


def limit_threads(pipe: Any) -> None:
    """Use one thread for the U-Net and the decoder of a small model on the CPU; larger models are unchanged."""
    if pipe.device.type == "cpu" and sum(weight.numel() for weight in pipe.unet.parameters()) < SMALL:
        OneThread(pipe.unet)
        OneThread(pipe.vae.decoder)
