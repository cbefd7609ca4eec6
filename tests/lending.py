"""One tiny pipeline for many tests: each gets it as if it were new, and one that a test has changed is not lent again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from diffusers import DiffusionPipeline


class Lender:
    """Lends a pipeline whose networks are shared as long as they stay as they were; its scheduler is each one's own."""

    def __init__(self, load: Callable[[], DiffusionPipeline]) -> None:
        self.load, self.pipe, self.before = load, None, []

    @contextmanager
    def lent(self) -> Iterator[DiffusionPipeline]:
        """The pipeline, for the block."""
        if self.pipe is None:
            self.pipe = self.load()
            self.pipe.set_progress_bar_config(disable=True)
            self.before = [State(network) for network in networks(self.pipe)]
        own = copy.copy(self.pipe)
        own.scheduler = copy.deepcopy(own.scheduler)
        own._progress_bar_config = dict(own._progress_bar_config)
        yield own
        if not all(state.holds() for state in self.before):
            self.pipe = None


class State:
    """What is in a network: its modules' attributes, hooks, weights."""

    def __init__(self, network: torch.nn.Module) -> None:
        attributes = [vars(module) for module in network.modules()]
        attributes += [value for held in attributes for value in held.values() if isinstance(value, dict)]
        self.attributes = [(held, dict(held)) for held in attributes]
        weights = (*network.parameters(), *network.buffers())
        self.weights = [(weight, weight.requires_grad, weight.detach().clone()) for weight in weights]

    def holds(self) -> bool:
        """Whether everything is as it was."""
        try:
            same = all(held == before for held, before in self.attributes)
        except RuntimeError:  # one tensor in another's place
            return False
        return same and all(
            weight.requires_grad == learned and weight.dtype == before.dtype and weight.grad is None
            and torch.equal(weight, before)
            for weight, learned, before in self.weights
        )  # fmt: skip


def networks(pipe: DiffusionPipeline) -> list[torch.nn.Module]:
    """The pipeline's networks."""
    return [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
