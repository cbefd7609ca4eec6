"""The two optimisers of tuning: Adam on the gradient, and CMA-ES. Both can resume from a saved state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from .differentiable_sampling import Pair
from .objective import Objective
from .tuning_settings import HIGH, LOW, Tuning


class Stepper(Protocol):
    """An optimiser. free: the current weights, of shape `Tuning.shape`. Construct it with another's state to resume."""

    @property
    def free(self) -> np.ndarray: ...

    def step(self, objective: Objective, pairs: Sequence[Pair]) -> float:
        """One iteration on these pairs; returns the mean paired gain over vanilla before the update."""
        ...

    def state(self) -> dict[str, Any]: ...


class Gradient:
    """Adam (Kingma and Ba, arXiv 1412.6980) on the gradient of the objective, with weights clipped to [0, 2]."""

    def __init__(
        self, free: np.ndarray, steps: int, columns: int, settings: Tuning, state: dict[str, Any] | None
    ) -> None:
        self.settings, self.size = settings, (steps, columns)
        self.theta = torch.tensor(state["free"] if state else free, dtype=torch.float64, requires_grad=True)
        self.adam = torch.optim.Adam([self.theta], lr=settings.rate)
        if state and state["moments"]:
            before = self.adam.state_dict()
            before["state"] = {0: {
                "step": torch.tensor(float(state["moments"]["step"])),
                "exp_avg": torch.tensor(state["moments"]["first"], dtype=torch.float64),
                "exp_avg_sq": torch.tensor(state["moments"]["second"], dtype=torch.float64),
            }}  # fmt: skip
            self.adam.load_state_dict(before)

    @property
    def free(self) -> np.ndarray:
        return self.theta.detach().numpy().copy()

    def step(self, objective: Objective, pairs: Sequence[Pair]) -> float:
        self.adam.zero_grad()
        gains: list[float] = []
        together = self.settings.together
        objective.vanilla(pairs)
        for i in range(0, len(pairs), together):
            part = pairs[i : i + together]
            with torch.enable_grad():
                weights = self.theta.expand(self.size)
                worth = objective.worth(weights, part)
                loss = -worth.value(weights.to(worth.gain.device), self.settings) * len(part) / len(pairs)
                loss.backward()
            gains += worth.gain.detach().tolist()
        self.adam.step()
        with torch.no_grad():
            self.theta.clamp_(LOW, HIGH)
        return float(np.mean(gains))

    def state(self) -> dict[str, Any]:
        kept = self.adam.state_dict()["state"].get(0)
        moments = kept and {
            "step": float(kept["step"]), "first": kept["exp_avg"].tolist(), "second": kept["exp_avg_sq"].tolist()
        }  # fmt: skip
        return {"free": self.theta.tolist(), "moments": moments}


class Evolution:
    """CMA-ES (Hansen, arXiv 1604.00772): a generation's candidates are drawn in one batch, from the same noises.

    It resumes by replaying the values passed to `tell`, which gives the same candidates.
    """

    def __init__(
        self, free: np.ndarray, steps: int, columns: int, settings: Tuning, state: dict[str, Any] | None
    ) -> None:
        try:
            import cma
        except ImportError as error:
            raise ValueError("CMA-ES needs the package cma: install it with pip, or tune by gradient.") from error
        self.settings, self.shape, self.size = settings, free.shape, (steps, columns)
        rng = np.random.default_rng([settings.seed, 77])
        options = {
            "bounds": [LOW, HIGH], "verbose": -9, "seed": np.nan, "randn": lambda *shape: rng.standard_normal(shape),
            "maxiter": np.inf, "tolfun": 0, "tolx": 0, "tolstagnation": np.inf, "tolflatfitness": np.inf,
        }  # fmt: skip
        if settings.population:
            options["popsize"] = settings.population
        start = free.ravel()
        self.dummy = start.size == 1  # CMA-ES needs two dimensions: the second has no effect
        self.search = cma.CMAEvolutionStrategy(np.resize(start, max(2, start.size)), settings.sigma, options)
        self.told: list[list[float]] = []
        for values in state["told"] if state else []:
            self._tell(self.search.ask(), values)

    @property
    def free(self) -> np.ndarray:
        return self._shaped(np.asarray(self.search.result.xfavorite))

    def step(self, objective: Objective, pairs: Sequence[Pair]) -> float:
        candidates = self.search.ask()
        table = np.stack([np.broadcast_to(self._shaped(np.asarray(x)), self.size) for x in candidates])
        jobs = [(c, pair) for c in range(len(candidates)) for pair in pairs]
        objective.vanilla(pairs)
        parts = []
        with torch.no_grad():
            for i in range(0, len(jobs), self.settings.together):
                part = jobs[i : i + self.settings.together]
                parts.append(objective.worth(torch.tensor(table[[c for c, _ in part]]), [pair for _, pair in part]))
        gain, match, likeness = (
            torch.cat([getattr(p, name) for p in parts]).view(len(candidates), -1)
            for name in ("gain", "match", "likeness")
        )
        values = [
            -float(type(parts[0])(gain[c], match[c], likeness[c]).value(torch.tensor(table[c]).to(gain), self.settings))
            for c in range(len(candidates))
        ]
        self._tell(candidates, values)
        return float(gain.mean())

    def state(self) -> dict[str, Any]:
        return {"told": self.told}

    def _tell(self, candidates: list[np.ndarray], values: list[float]) -> None:
        self.search.tell(candidates, values)
        self.told.append(values)

    def _shaped(self, x: np.ndarray) -> np.ndarray:
        return (x[:1] if self.dummy else x).reshape(self.shape)
