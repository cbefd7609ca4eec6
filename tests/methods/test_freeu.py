import math
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
import tiny
import torch
from nets import draw, predict, traces

from reweight.methods.freeu import PRESETS, FreeU, dimmed, factors, freeu, strengthened
from reweight.patching.blocks import concatenations
from reweight.patching.patch import reweighted

OURS = dict(b1=1.4, b2=1.6, s1=0.9, s2=0.2)


def by_the_formula(h, skip, b, s):
    """One pair of features by the paper's formula, sample by sample, with a shifted spectrum and an explicit centre."""
    h_out, skip_out = h.clone(), skip.clone()
    batch, channels, height, width = h.shape
    for i in range(batch):
        mean = h[i].sum(0) / channels
        alpha = (b - 1) * (mean - mean.min()) / (mean.max() - mean.min()) + 1
        for c in range(channels // 2):
            h_out[i, c] = h[i, c] * alpha
    for i in range(batch):
        for c in range(skip.shape[1]):
            spectrum = torch.fft.fftshift(torch.fft.fft2(skip[i, c].double()))
            row, column = height // 2, width // 2
            spectrum[row - 1 : row + 1, column - 1 : column + 1] *= s
            skip_out[i, c] = torch.fft.ifft2(torch.fft.ifftshift(spectrum)).real
    return h_out, skip_out


@pytest.mark.parametrize("side", [2, 4, 5, 8])
@pytest.mark.parametrize("b, s", [(1.5, 0.9), (0.7, 0.2), (0.0, 0.0), (1.2, 1.5)])
def test_formula(b, s, side):
    h, skip = torch.randn(2, 6, side, side), torch.randn(2, 4, side, side)
    expected_h, expected_skip = by_the_formula(h, skip, b, s)
    torch.testing.assert_close(strengthened(h, b), expected_h)
    torch.testing.assert_close(dimmed(skip, s), expected_skip)


def test_a_constant_backbone_gives_no_nan():
    h = torch.full((1, 4, 3, 3), 2.0)
    torch.testing.assert_close(strengthened(h, 1.5), h)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half(dtype):
    x = torch.randn(1, 4, 4, 4).to(dtype)
    assert strengthened(x, 1.3).dtype == dimmed(x, 0.5).dtype == dtype


def test_one_pixel_is_all_low_frequency():
    x = torch.randn(1, 2, 1, 1)
    torch.testing.assert_close(dimmed(x, 0.25), x * 0.25)


@pytest.mark.parametrize(
    "build, widths, counts",
    [
        (tiny.build_sd_unet, (32, 64, 128, 128), {"1": 7, "2": 3, None: 2}),
        (tiny.build_sdxl_unet, (32, 64, 128), {"1": 4, "2": 3, None: 2}),
    ],
)
def test_levels_select_what_the_authors_channel_counts_select(build, widths, counts):
    """Widths in the proportions of 320, 640, 1280: the authors change h of 1280 by b1, of 640 by b2, of 320 not."""
    unet = build(block_out_channels=widths)
    config = FreeU(b1=11, b2=12, s1=0.1, s2=0.2)
    by_level = {11: "1", 12: "2", 1: None}
    by_width = {128: "1", 64: "2", 32: None}
    places = concatenations(unet)
    chosen = [by_level[factors(config, place.level)[0]] for place in places]
    assert chosen == [by_width[place.h_channels] for place in places]
    assert Counter(chosen) == counts


@pytest.mark.parametrize("version", [1, 2])
def test_leaving_is_bitwise(sd_pipe, version):
    before, clean = draw(sd_pipe), traces(sd_pipe.unet)
    with freeu(sd_pipe, **OURS, version=version):
        changed = draw(sd_pipe)
    assert np.abs(changed - before).max() > 1e-3
    assert (draw(sd_pipe) == before).all()
    assert traces(sd_pipe.unet) == clean
    with pytest.raises(KeyError), freeu(sd_pipe, **OURS, version=version):
        raise KeyError
    assert traces(sd_pipe.unet) == clean


@pytest.mark.parametrize(
    "name, slider",
    [("sd_pipe", slider) for slider in ("b1", "b2", "s1", "s2")]
    + [("sdxl_pipe", "b2")]
    + [pytest.param("sdxl_pipe", slider, marks=pytest.mark.thorough) for slider in ("b1", "s1", "s2")],
)
def test_every_slider_has_an_effect(request, name, slider):
    pipe = request.getfixturevalue(name)
    with freeu(pipe, **OURS):
        before = draw(pipe)
    with freeu(pipe, **OURS | {slider: 0.5}):
        assert np.abs(draw(pipe) - before).max() > 1e-4


@pytest.mark.parametrize("slider", ["b1", "b2", "s1", "s2"])
def test_zero_is_a_value_like_any_other(sd_pipe, slider):
    pictures = []
    for value in (0.0, 1e-6):
        with freeu(sd_pipe, **OURS | {slider: value}):
            pictures.append(draw(sd_pipe))
    assert np.abs(pictures[0] - pictures[1]).max() < 1e-4
    with pytest.raises(ValueError, match="switches itself off"), freeu(sd_pipe, **OURS | {slider: 0}, version=1):
        pass


def test_ones_are_nearly_the_baseline(sd_pipe):
    before = draw(sd_pipe)
    with freeu(sd_pipe, b1=1, b2=1, s1=1, s2=1):
        np.testing.assert_allclose(draw(sd_pipe), before, atol=1e-4)


def test_a_whole_unet_against_the_formula():
    """Hand-placed pre-hooks on a Stable Diffusion U-Net: which resnets, how wide, which factors."""
    unet = tiny.build_sd_unet()
    rule = {  # (stage, resnet): (width of h, factor number)
        **{(0, i): (32, 1) for i in range(3)},
        **{(1, i): (32, 1) for i in range(3)},
        **{(2, 0): (32, 1), (2, 1): (16, 2), (2, 2): (16, 2)},
        (3, 0): (16, 2),
    }
    handles = []
    for (stage, resnet), (width, number) in rule.items():

        def edit(module, arguments, width=width, number=number):
            h, skip = arguments[0][:, :width], arguments[0][:, width:]
            return (torch.cat(by_the_formula(h, skip, OURS[f"b{number}"], OURS[f"s{number}"]), 1), *arguments[1:])

        handles.append(unet.up_blocks[stage].resnets[resnet].register_forward_pre_hook(edit))
    expected = predict(unet)
    for handle in handles:
        handle.remove()
    with freeu(unet, **OURS):
        torch.testing.assert_close(predict(unet), expected, atol=1e-5, rtol=1e-4)


def test_version_1_is_diffusers(sd_pipe):
    sd_pipe.enable_freeu(**OURS)
    expected = draw(sd_pipe)
    with pytest.raises(RuntimeError, match="disable_freeu"), freeu(sd_pipe, **OURS):
        pass
    sd_pipe.disable_freeu()
    with freeu(sd_pipe, **OURS, version=1):
        assert (draw(sd_pipe) == expected).all()


@pytest.mark.parametrize("outer, inner", [(2, 2), (1, 1), (1, 2), (2, 1)])
def test_nesting_is_refused(sd_pipe, outer, inner):
    with (
        freeu(sd_pipe, **OURS, version=outer),
        pytest.raises(RuntimeError, match="already"),
        freeu(sd_pipe, **OURS, version=inner),
    ):
        pass


def test_goes_together_with_reweighting(sd_pipe):
    with freeu(sd_pipe, **OURS):
        alone = draw(sd_pipe)
        with reweighted(sd_pipe, np.full((2, 7), 0.9)):
            assert (draw(sd_pipe) != alone).any()
        assert (draw(sd_pipe) == alone).all()


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "1", None, True])
@pytest.mark.parametrize("slider", ["b1", "b2", "s1", "s2"])
def test_settings_are_checked(slider, value):
    with pytest.raises(ValueError, match=rf"^FreeU's {slider} must be [^\n]*\.$"):
        FreeU(**OURS | {slider: value})


def test_presets_fit_the_context(sd_pipe):
    for preset in PRESETS.values():
        with freeu(sd_pipe, **asdict(preset)):
            pass
    with pytest.raises(ValueError, match="versions 1 and 2"):
        FreeU(**OURS, version=3)
