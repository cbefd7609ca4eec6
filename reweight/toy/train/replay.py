"""Loss and gradient of a training step; on CUDA captured as a graph, since the kernel launches cost more than the work."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP = 3


class Gradient:
    """Calling it computes `loss()` and its gradient in the optimizer's parameters, and returns the loss.

    `loss` must sample and read on the device: after the first calls on CUDA its Python code does not run again.
    """

    def __init__(self, loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer, device: str):
        self._loss, self._optimizer, self._device = loss, optimizer, device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._value = torch.zeros(())

    def __call__(self) -> torch.Tensor:
        if self._device != "cuda":
            return self._compute()
        if self._graph is None:
            self._capture()
        self._graph.replay()
        return self._value

    def _compute(self) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=False)
        loss = self._loss()
        loss.backward()
        return loss.detach()

    def _capture(self) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._compute()
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._value = self._compute()
