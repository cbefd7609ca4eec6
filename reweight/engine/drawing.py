"""One picture by one method, on the calling thread."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..methods import freeu
from ..models.folder import ModelError, out_of_memory
from ..models.loading import LoadedModel
from ..patching.patch import reweighted
from .request import Request

METHODS = ("vanilla", "reweighted", "freeu")


class _NotFinite(ModelError):
    pass


def draw(
    loaded: LoadedModel,
    request: Request,
    method: str,
    weights: np.ndarray | None = None,
    on_step: Callable[[int], object] = lambda step: None,
) -> Image.Image:
    """The picture of a request by one of METHODS; vanilla is never patched.

    weights: (T, m), for "reweighted". on_step: called with the number of each step that has ended, from 1; what it
    raises stops the drawing and comes through. A model in half precision whose values overflow has a second try in
    float32, one whose memory runs out a second, slower try that needs less; with the same noise up to rounding.
    ModelError of one sentence when that does not help either, or the model's safety checker hides the picture.
    """
    with sentences():
        try:
            return _drawn(loaded, request, method, weights, on_step)
        except _NotFinite:
            if loaded.dtype != "float16":
                raise
            otherwise = _in_float32
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            otherwise = _sparingly
        with otherwise(loaded.pipe):
            return _drawn(loaded, request, method, weights, on_step)


def overlong(loaded: LoadedModel, request: Request) -> Iterator[str]:
    """A sentence for each of the prompts that the text encoder does not read whole."""
    tokenizer = loaded.pipe.tokenizer
    room = tokenizer.model_max_length
    texts = {"prompt": request.prompt, "negative prompt": request.negative_prompt if request.guidance > 1 else ""}
    for name, text in texts.items():
        count = len(tokenizer(text, truncation=False, verbose=False).input_ids)
        if count > room:
            yield f"The {name} has {count} tokens and the text encoder reads {room}: the end is ignored."


@contextmanager
def sentences() -> Iterator[None]:
    """Turn memory that runs out, and numbers that are none, into a ModelError of one sentence."""
    try:
        yield
    except FloatingPointError as error:
        raise ModelError(str(error)) from error
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        said = "There is not enough memory for this: choose a smaller size or another model."
        raise ModelError(said) from error.with_traceback(None)  # whose frames hold the tensors that are in the way


def _drawn(
    loaded: LoadedModel, request: Request, method: str, weights: np.ndarray | None, on_step: Callable[[int], object]
) -> Image.Image:
    pipe = loaded.pipe

    def step_end(_pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        _check_finite(torch.isfinite(tensors["latents"]).all())
        on_step(step + 1)
        return tensors

    with ExitStack() as patches:
        if method == "reweighted":
            patches.enter_context(reweighted(pipe, weights))
        elif method == "freeu":
            patches.enter_context(freeu(pipe, **asdict(request.freeu)))
        result = pipe(
            request.prompt,
            negative_prompt=request.negative_prompt or None,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            height=request.size,
            width=request.size,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=step_end,
            output_type="np",
        )
    if any(getattr(result, "nsfw_content_detected", None) or ()):
        raise ModelError("The model's own safety checker hides this picture: change the prompt or the seed.")
    pixels = result.images[0]
    _check_finite(np.isfinite(pixels).all())
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def _check_finite(finite: Any) -> None:
    if not finite:
        raise _NotFinite(
            "The model gave values that are not finite numbers: choose weights nearer 1, or another model."
        )


@contextmanager
def _in_float32(pipe: Any) -> Iterator[None]:
    """The networks of a pipeline in half precision in full; on leaving they are what they were, bit for bit."""
    networks = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    try:
        for network in networks:
            network.to(torch.float32)
        yield
    finally:
        for network in networks:
            network.to(torch.float16)


@contextmanager
def _sparingly(pipe: Any) -> Iterator[None]:
    """Attention one slice at a time; on leaving the pipeline is what it was."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    processors = pipe.unet.attn_processors
    pipe.unet.set_attention_slice("max")
    try:
        yield
    finally:
        pipe.unet.set_attn_processor(processors)
