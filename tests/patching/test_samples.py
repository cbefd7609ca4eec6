"""A table for each sample: whose table each one gets, whatever guidance does to the batch."""

import numpy as np
import pytest
import tiny
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline, StableDiffusionPAGPipeline, UNetMotionModel
from diffusers.models.unets.unet_motion_model import MotionAdapter
from PIL import Image
from test_patch import NEAR, draw, inputs, predict

from reweight.methods.freeu import freeu
from reweight.patching.patch import BlockControl, bypassed, reweighted

PROMPTS = ["a red apple on table", "the blue cat in rain"]


def tables(n, T=2, m=7):
    return 1 + 0.3 * np.random.default_rng(0).standard_normal((n, T, m))


def several(pipe, guidance=3.0, **kwargs):
    negative = ["low quality"] * 2 if guidance > 1 else None
    return draw(pipe, prompt=PROMPTS, negative_prompt=negative, guidance=guidance, num_images_per_prompt=2, **kwargs)


@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_two_prompts_of_two_pictures_get_their_own_four(sd_pipe, guidance):
    w, latents = tables(4), torch.randn(4, 4, tiny.SAMPLE, tiny.SAMPLE)
    with reweighted(sd_pipe, w):
        together = several(sd_pipe, guidance, latents=latents)
    for i in range(4):
        with reweighted(sd_pipe, w[i]):
            alone = draw(sd_pipe, prompt=PROMPTS[i // 2], guidance=guidance, latents=latents[i : i + 1])
        assert np.abs(together[i] - alone[0]).max() < NEAR


@pytest.mark.parametrize("n, guidance, match", [
    (2, 3.0, "weights for 2 samples .* batch of 8, which is 4 in 2 parts"),
    (2, 0.0, "weights for 2 samples .* batch of 4"),
    (8, 3.0, "weights for 8 samples .* batch of 8, which is 4 in 2 parts"),
    (3, 3.0, "weights for 3 samples .* batch of 8"),
])  # fmt: skip
def test_another_number_of_tables_is_refused(sd_pipe, n, guidance, match):
    for context in (reweighted(sd_pipe, tables(n)), bypassed(sd_pipe, tables(n) > 1)):
        with pytest.raises(ValueError, match=match), context:
            several(sd_pipe, guidance)


def test_one_picture_is_one_sample_though_guidance_doubles_it(sd_pipe):
    with pytest.raises(ValueError, match="batch of 2, which is 1 in 2 parts"), reweighted(sd_pipe, tables(2)):
        draw(sd_pipe)


def test_a_single_table_serves_all(sd_pipe):
    w = tables(1)
    with reweighted(sd_pipe, w[0]):
        expected = several(sd_pipe)
    with reweighted(sd_pipe, w):
        assert (several(sd_pipe) == expected).all()


def test_a_unet_alone_has_no_guidance_unless_it_is_said():
    unet, w = tiny.build_sd_unet(), tables(2, T=1)
    arguments = inputs(unet, batch=4)
    with (
        pytest.raises(ValueError, match=r"for 2 samples .* of 4: .* guidance_parts="),
        reweighted(unet, w),
    ):
        predict(unet, *arguments)
    with reweighted(unet, w, guidance_parts=2):
        twice = predict(unet, *arguments)
    with BlockControl(unet) as control:
        control.set(np.tile(w[:, 0], (2, 1)))
        assert torch.equal(predict(unet, *arguments), twice)
    with BlockControl(unet, guidance_parts=2) as control:
        control.set(w[:, 0])
        assert torch.equal(predict(unet, *arguments), twice)


def test_pictures_guided_by_a_picture_triple_the_batch(sd_pipe):
    unet = tiny.build_sd_unet(in_channels=8)
    pipe = StableDiffusionInstructPix2PixPipeline(**sd_pipe.components | {"unet": unet}, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    w, image = tables(2), Image.new("RGB", (4 * tiny.SAMPLE, 4 * tiny.SAMPLE), "red")
    latents = torch.randn(2, 4, tiny.SAMPLE, tiny.SAMPLE)
    with reweighted(pipe, w):
        together = draw(
            pipe, latents=latents, prompt=[PROMPTS[0]] * 2, negative_prompt=["low quality"] * 2, image=[image] * 2
        )
    for i in range(2):
        with reweighted(pipe, w[i]):
            assert np.abs(draw(pipe, latents=latents[i : i + 1], image=image)[0] - together[i]).max() < NEAR


@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_perturbed_attention_adds_a_part(sd_pipe, guidance):
    pipe = StableDiffusionPAGPipeline(**sd_pipe.components, requires_safety_checker=False, pag_applied_layers="mid")
    pipe.set_progress_bar_config(disable=True)
    w, latents = tables(2), torch.randn(2, 4, tiny.SAMPLE, tiny.SAMPLE)
    with reweighted(pipe, w):
        together = draw(pipe, guidance=guidance, latents=latents, num_images_per_prompt=2, pag_scale=2.0)
    for i in range(2):
        with reweighted(pipe, w[i]):
            alone = draw(pipe, guidance=guidance, latents=latents[i : i + 1], pag_scale=2.0)
        assert np.abs(alone[0] - together[i]).max() < NEAR


@pytest.fixture(scope="module")
def motion_unet():
    """What AnimateDiff makes of the tiny U-Net: it calls its resnets and Transformers with keywords."""
    torch.manual_seed(0)
    unet = tiny.build_sd_unet()
    adapter = MotionAdapter(
        block_out_channels=tiny.WIDTHS, motion_layers_per_block=2, motion_num_attention_heads=2,
        motion_norm_num_groups=4, motion_max_seq_length=8,
    )  # fmt: skip
    return UNetMotionModel.from_unet2d(unet, adapter).eval()


def frames(batch=2, count=3):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, 4, count, tiny.SAMPLE, tiny.SAMPLE, generator=generator)
    text = torch.randn(batch, 5, 16, generator=generator)
    return latents, torch.tensor(500), text.repeat_interleave(count, dim=0)


def test_frames_share_the_table_of_their_sample(motion_unet):
    w, skip, arguments = tables(2, T=1), tables(2, T=1) > 1.2, frames()
    with reweighted(motion_unet, w, bypass=skip):
        together = predict(motion_unet, *arguments)
    for i in range(2):
        sample, timestep, text = arguments
        with reweighted(motion_unet, w[i], bypass=skip[i]):
            alone = predict(motion_unet, sample[i : i + 1], timestep, text[3 * i : 3 * i + 3])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("version", [1, 2])
def test_freeu_edits_what_comes_by_keyword(motion_unet, version):
    arguments = frames(1)
    plain = predict(motion_unet, *arguments)
    with freeu(motion_unet, b1=1.4, b2=1.6, s1=0.9, s2=0.2, version=version):
        edited = predict(motion_unet, *arguments)
    assert edited.isfinite().all() and not torch.equal(edited, plain)
    assert torch.equal(predict(motion_unet, *arguments), plain)


def test_neutral_edits_by_keyword_are_the_baseline(motion_unet):
    arguments = frames(1)
    with freeu(motion_unet, b1=1.0, b2=1.0, s1=1.0, s2=1.0):
        torch.testing.assert_close(
            predict(motion_unet, *arguments), predict(motion_unet, *arguments), atol=1e-5, rtol=1e-4
        )
