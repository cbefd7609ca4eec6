"""A cache of encoded prompts, so that all columns, seeds and settings of a prompt share one encoding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch

MOST = 24  # cached prompts
NAMES = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class Texts:
    """Encodes prompts bitwise as the pipeline does, and caches the last ones; not thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, dict[str, torch.Tensor | None]] = OrderedDict()

    def encoded(
        self, pipe: Any, prompt: str | Sequence[str], negative: str | Sequence[str] | None, guidance: float
    ) -> dict[str, torch.Tensor | None]:
        """Keyword arguments that replace `prompt` and `negative_prompt` in a pipeline's call. Do not modify them."""
        guided = guidance > 1 and getattr(pipe.unet.config, "time_cond_proj_dim", None) is None
        texts = tuple(
            None if text is None else text if isinstance(text, str) else tuple(text) for text in (prompt, negative)
        )
        key = (*texts, guided, next(pipe.unet.parameters()).dtype)
        if key not in self._kept:
            with torch.no_grad():
                made = pipe.encode_prompt(
                    prompt=_plain(prompt), device=pipe._execution_device, num_images_per_prompt=1,
                    do_classifier_free_guidance=guided, negative_prompt=_plain(negative),
                )  # fmt: skip
            self._kept[key] = dict(zip(NAMES, made, strict=False))
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return dict(self._kept[key])


def _plain(text: str | Sequence[str] | None) -> str | list[str] | None:
    return text if text is None or isinstance(text, str) else list(text)
