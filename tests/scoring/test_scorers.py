"""Scorers by name, and the distances that need more than pixels."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from reweight.scoring import ImageFeatures, feature_cosine, lpips, scorer_named
from reweight.scoring.scorers import SCORERS, Loading


class MeanColour:
    """A scorer in three lines: features are the mean colour, the score is how red a picture is."""

    name, version = "mean colour", "1"

    def features(self, images):
        means = np.array([np.asarray(image, float).mean((0, 1)) for image in images])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def score(self, images, prompts):
        return self.features(images)[:, 0]


RED, GREEN, BROWN = (Image.new("RGB", (16, 16), colour) for colour in ((200, 0, 0), (0, 90, 0), (90, 90, 0)))


def test_feature_cosine_is_the_cosine_of_each_pair():
    assert isinstance(MeanColour(), ImageFeatures)
    found = feature_cosine([RED, RED, BROWN], [RED, GREEN, RED], MeanColour())
    np.testing.assert_allclose(found, [1, 0, 2**-0.5], atol=1e-7)


@pytest.mark.parametrize("measure", [lpips, lambda a, b: feature_cosine(a, b, MeanColour())])
def test_pairs_are_wanted(measure):
    with pytest.raises(ValueError, match=r"2 pictures and 1 vanilla ones.*\.$"):
        measure([RED, RED], [RED])


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is here")
def test_without_torchvision_lpips_is_one_sentence():
    with pytest.raises(ValueError, match=r"^LPIPS needs a torchvision [^\n]*\.$"):
        lpips([RED], [GREEN])


def test_no_scorer_is_none_and_auto_is_none_without_weights(tmp_path):
    assert scorer_named("none") is None and scorer_named("auto") is None
    with pytest.raises(ValueError, match=rf"no scorer 'aesthetic': choose one of auto, {', '.join(SCORERS)}, none\.$"):
        scorer_named("aesthetic")
    with pytest.raises(ValueError, match=r"no HPS checkpoint gone\.pt.*\.$"):
        scorer_named("auto", options=Loading(checkpoint=tmp_path / "gone.pt"))


@pytest.mark.skipif(importlib.util.find_spec("hpsv2") is not None, reason="the package is here")
@pytest.mark.parametrize("name", ["hpsv2", "hpsv2-v2.1"])
def test_the_package_that_is_not_installed_is_one_sentence(name):
    with pytest.raises(ValueError, match=r"not installed: pip install -r requirements-hps\.txt[^\n]*\.$"):
        scorer_named(name)
