"""SSIM by matrix products is the SSIM of the app."""

import numpy as np
import pytest
from PIL import Image

from reweight.bench.stats.ssim import ssim
from reweight.scoring import distance


def test_it_is_the_similarity_that_the_app_shows():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (40, 56, 3)) for _ in range(3)] + [np.full((40, 56, 3), 7)]
    arrays.append(np.clip(arrays[0] + rng.normal(0, 9, arrays[0].shape), 0, 255))
    pictures = [Image.fromarray(array.astype(np.uint8)) for array in arrays]
    expected = [distance(picture, pictures[0]).ssim for picture in pictures]
    assert ssim(pictures, pictures[0]) == pytest.approx(expected, abs=1e-9) and expected[0] == pytest.approx(1)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="of one size, at least 11 pixels"):
        ssim([Image.new("RGB", (20, 20))], Image.new("RGB", (20, 24)))
