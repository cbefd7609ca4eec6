"""Films: the latents of every denoising step, recorded while a picture is drawn and decoded when somebody watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from .listening import Heard, decoded


@dataclass(frozen=True, eq=False)
class Film:
    """The latents of one picture after each of its T steps, on the CPU in the model's precision.

    clean: of the predicted clean picture x0, (T, channels, height, width); None if the scheduler does not give it.
    noisy: of the picture under way, the same shape.
    """

    clean: torch.Tensor | None
    noisy: torch.Tensor

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(latents.nbytes for latents in (self.clean, self.noisy) if latents is not None)

    def pictures(self, pipe: Any, *, noisy: bool = False) -> list[Image.Image]:
        """T pictures: the predicted clean picture x0 after each step, or with noisy=True the noisy latents, decoded.

        ValueError of one sentence for a scheduler that does not give x0.
        """
        latents = self.noisy if noisy else self.clean
        if latents is None:
            raise ValueError(
                "This model's scheduler does not give the clean picture that it predicts: choose another model."
            )
        return decoded(pipe, list(latents.to(pipe._execution_device).split(1)))


class Recorder:
    """Hears the steps of one picture. A drawing that has to begin again calls `begin` again, which forgets the first."""

    def begin(self, pipe: Any) -> Heard:
        """What is to hear every scheduler step of this pipeline, which is inside its methods."""
        self._clean: list[torch.Tensor | None] = []
        self._noisy: list[torch.Tensor] = []
        self._order = getattr(pipe.scheduler, "order", 1)
        return self._heard

    def film(self) -> Film:
        """The film, once the picture is drawn: the last of a step's scheduler calls is the step's."""
        last = slice(self._order - 1, None, self._order)
        clean = [latents for latents in self._clean[last] if latents is not None]
        noisy = self._noisy[last]
        return Film(torch.cat(clean).cpu() if len(clean) == len(noisy) else None, torch.cat(noisy).cpu())

    def _heard(self, clean: torch.Tensor | None, now: torch.Tensor) -> None:
        self._clean.append(clean)
        self._noisy.append(now)
