"""Scores of tensors are those of pictures, and gradients flow through them."""

import numpy as np
import pytest
import torch
from PIL import Image

from reweight.scoring.clip_input import pixel_values, resized
from reweight.scoring.scorer import DifferentiableScorer
from reweight.scoring.toy_scorer import load_toy_scorer

PROMPTS = ["a photo of a red apple", "a fox in the snow"]


@pytest.mark.parametrize(("side", "near"), [(128, 1e-4), (256, 0.05)])
def test_the_toy_scorer_looks_at_tensors_as_at_pictures(side, near):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    images = [Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC) for c in coarse]
    x = torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1) / 255 for i in images]).requires_grad_()
    scorer = load_toy_scorer()
    look = scorer.look(x, PROMPTS)
    assert isinstance(scorer, DifferentiableScorer)
    assert look.score.detach().numpy() == pytest.approx(scorer.score(images, PROMPTS), abs=near)
    assert torch.allclose(look.features.norm(dim=1), torch.ones(2))
    look.score.sum().backward()
    assert torch.isfinite(x.grad).all() and (x.grad != 0).any()
    with pytest.raises(ValueError, match="2 pictures and 1 prompt"):
        scorer.look(x, PROMPTS[:1])


def test_what_hps_reads_is_the_same_of_tensors():
    image = Image.effect_noise((60, 90), 80).convert("RGB")
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    assert torch.equal(resized(x, 56)[0], pixel_values(image, 56))
