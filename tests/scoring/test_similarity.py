"""How far from vanilla: against values known without a library."""

import numpy as np
import pytest
import torch
from PIL import Image

from reweight.scoring import difference_map, distance


def picture(seed=0, side=32):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def test_equal_pictures_have_no_distance():
    far = distance(picture(), picture())
    assert far.ssim == pytest.approx(1, abs=1e-6) and far.mean_difference == 0


def test_equal_pictures_with_hardly_any_contrast_have_no_distance_either():
    pale = Image.fromarray(np.random.default_rng(0).integers(240, 243, (32, 32, 3), dtype=np.uint8))
    assert distance(pale, pale).ssim == pytest.approx(1, abs=1e-9)


def test_a_constant_shift_is_the_mean_difference():
    a, b = Image.new("RGB", (32, 32), (100, 100, 100)), Image.new("RGB", (32, 32), (110, 100, 95))
    assert distance(a, b).mean_difference == pytest.approx(5)
    assert distance(a, b) == distance(b, a)


def test_ssim_of_flat_pictures_is_the_luminance_term():
    a, b = Image.new("RGB", (32, 32), (100,) * 3), Image.new("RGB", (32, 32), (150,) * 3)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert distance(a, b).ssim == pytest.approx(expected, abs=1e-3)


def test_noise_is_far_and_more_noise_farther():
    base = np.asarray(picture(), np.float32)
    noise = np.random.default_rng(1).normal(size=base.shape)
    noisy = [Image.fromarray(np.clip(base + s * noise, 0, 255).astype(np.uint8)) for s in (5, 40)]
    near, far = (distance(one, picture()) for one in noisy)
    assert 1 > near.ssim > far.ssim and 0 < near.mean_difference < far.mean_difference
    assert abs(distance(picture(), picture(1)).ssim) < 0.2


@pytest.mark.parametrize("side", [16, 129])
def test_it_is_the_libraries_value(side):
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = np.asarray(picture(2, side)), np.asarray(picture(3, side)) // 2
    batches = (torch.from_numpy(x.astype(np.float64)).permute(2, 0, 1)[None] for x in (a, b))
    expected = float(structural_similarity_index_measure(*batches, data_range=255.0))
    assert distance(Image.fromarray(a), Image.fromarray(b)).ssim == pytest.approx(expected, abs=1e-9)


def test_modes_are_brought_to_rgb():
    grey = Image.new("L", (32, 32), 77)
    assert distance(grey, Image.new("RGBA", (32, 32), (77, 77, 77, 10))).mean_difference == 0


@pytest.mark.parametrize("measure", [distance, difference_map])
def test_other_sizes_are_refused_in_a_sentence(measure):
    with pytest.raises(ValueError, match=r"different sizes, \(32, 32\) and \(40, 40\).*\.$"):
        measure(picture(), picture(side=40))


def test_the_map_is_black_where_equal_and_brighter_with_the_difference():
    assert not np.asarray(difference_map(picture(), picture())).any()
    vanilla, changed = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)
    changed[:, :, :] = np.arange(0, 256, 8, dtype=np.uint8)[None, :, None]
    shown = np.asarray(difference_map(Image.fromarray(changed), Image.fromarray(vanilla)), int)
    assert shown.shape == (32, 32, 3) and not shown[:, 0].any()
    brightness = shown[0].sum(-1)
    assert (np.diff(brightness) >= 0).all() and brightness[1] > 0
    assert (shown[0, -1] == [255, 255, 204]).all()  # saturated
    assert (shown[..., 0] >= shown[..., 1]).all() and (shown[..., 1] >= shown[..., 2]).all()


def test_gain_enlarges():
    a, b = Image.new("RGB", (8, 8), (4,) * 3), Image.new("RGB", (8, 8))
    low, high = (np.asarray(difference_map(a, b, gain=gain)).sum() for gain in (1, 8))
    assert 0 < low < high


def test_a_distance_leaves_the_number_of_threads_as_it_was():
    threads, picture = torch.get_num_threads(), Image.new("RGB", (16, 16))
    torch.set_num_threads(2)
    try:
        assert distance(picture, picture).ssim == 1 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
