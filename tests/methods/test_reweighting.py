"""Re-weighting as a method: its weights follow its settings and the drawing's scores, unless weights are given."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from nets import inputs, predict

from reweight.methods import METHODS, Drawing
from reweight.methods.base import Chosen
from reweight.methods.reweighting import Reweighting
from reweight.patching.blocks import target_blocks
from reweight.patching.patch import reweighted

METHOD = METHODS["reweighted"]


@pytest.fixture(scope="module")
def unet():
    return tiny.build_sd_unet(layers_per_block=1)


def test_weights_are_computed_from_settings_and_scores_where_they_are_applied(unet):
    blocks = target_blocks(unet)
    scores = np.linspace(0.1, 1, len(blocks))[None]
    settings = Reweighting(low=0.5, high=1.5, schedule="reversed")
    drawing = Drawing(1, chosen=Chosen(scores, "given"), blocks=blocks)
    weights = ((len(blocks) + 1) / len(blocks) - scores) * (1.5 - 0.5) + 0.5
    sample = inputs(unet)
    with reweighted(unet, weights):
        expected = predict(unet, *sample)
    with METHOD.apply(WithUNet(unet), settings, drawing):
        assert torch.equal(predict(unet, *sample), expected)
    assert METHOD.cache_key(settings, drawing) != METHOD.cache_key(Reweighting(low=0.6, high=1.5), drawing)


def test_given_weights_come_before_scores():
    given = Drawing(1, weights=np.full((1, 7), 0.9), chosen=Chosen(np.ones((1, 7)), "given"))
    weights, bypass = Reweighting(low=0.5, high=1.5).tables(given)
    assert (weights == 0.9).all() and bypass is None


class WithUNet:
    """As much of a pipeline as the method reads."""

    def __init__(self, unet: torch.nn.Module) -> None:
        self.unet = unet
