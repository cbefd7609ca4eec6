"""What happens when a drawing fails: non-finite values and full memory become errors of one sentence, or a second try."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..models.folder import ModelError, out_of_memory


class NotFinite(ModelError):
    """The model gave values that are not finite numbers."""


@contextmanager
def sentences() -> Iterator[None]:
    """Turn out-of-memory errors and non-finite values into a ModelError of one sentence."""
    try:
        yield
    except FloatingPointError as error:
        raise ModelError(str(error)) from error
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        text = "There is not enough memory for this: choose a smaller size or another model."
        raise ModelError(text) from error.with_traceback(None)  # its frames would keep tensors in memory


def check_finite(finite: Any) -> None:
    """NotFinite unless the argument is true."""
    if not finite:
        raise NotFinite("The model gave values that are not finite numbers: choose weights nearer 1, or another model.")


@contextmanager
def in_float32(pipe: Any) -> Iterator[None]:
    """Run a half-precision pipeline in float32; on exit its weights are bitwise the same as before."""
    networks = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    try:
        for network in networks:
            network.to(torch.float32)
        yield
    finally:
        for network in networks:
            network.to(torch.float16)


@contextmanager
def sliced_attention(pipe: Any) -> Iterator[None]:
    """Compute attention in slices; undone on exit."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    processors = pipe.unet.attn_processors
    pipe.unet.set_attention_slice("max")
    try:
        yield
    finally:
        pipe.unet.set_attn_processor(processors)
