"""What the text encoders make of prompts is what the pipeline makes of them itself, and is made once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reweight.engine.drawing import draw
from reweight.engine.request import validate
from reweight.models.loading import load_model
from reweight.models.texts import MOST, Texts


@pytest.fixture(scope="module", params=["sd_folder", "sdxl_folder"])
def loaded(request):
    return load_model(str(request.getfixturevalue(request.param)), local=True, device="cpu")


@pytest.mark.parametrize(
    ("guidance", "negative"),
    [
        (0.0, ""),
        (3.0, "a blue cat"),
        *(pytest.param(*case, marks=pytest.mark.thorough) for case in ((3.0, ""), (0.0, "a blue cat"))),
    ],
)
def test_pictures_are_those_of_the_prompt_itself(loaded, guidance, negative):
    request = validate(loaded.card, prompt="a red apple", negative_prompt=negative, guidance=guidance, steps=2, size=64)
    generator = torch.Generator("cpu").manual_seed(request.seed)
    expected = loaded.pipe(
        request.prompt, negative_prompt=negative or None, num_inference_steps=2, guidance_scale=guidance, height=64,
        width=64, generator=generator, output_type="np",
    ).images  # fmt: skip
    for _ in range(2):
        assert np.array_equal(draw(loaded, request).pixels, expected)


def test_a_prompt_is_encoded_once(loaded):
    calls = []
    handle = loaded.pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    request = validate(loaded.card, prompt="another apple", guidance=0.0, steps=1, size=64)
    for seed in (1, 2):
        draw(loaded, request.model_copy(update={"seed": seed}))
    assert len(calls) == 1
    draw(loaded, request, prompts=["another cat", "a red cat"], seeds=[1, 2])
    handle.remove()
    assert len(calls) == 2


def test_so_many_are_remembered(sd_pipe):
    texts = Texts()
    for n in range(MOST + 3):
        texts.encoded(sd_pipe, f"cat {n}", None, 0.0)
    assert len(texts._kept) == MOST
