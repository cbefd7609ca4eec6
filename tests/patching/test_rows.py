"""Which row of the weights a U-Net call gets: schedulers, image-to-image, and what happens when they do not fit."""

from importlib.util import find_spec

import diffusers
import numpy as np
import pytest
import tiny
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline
from nets import draw, inputs, predict, traces

from reweight.patching.blocks import target_blocks
from reweight.patching.patch import reweighted

ONE_CALL = [
    ("DDIMScheduler", {}),
    ("DDPMScheduler", {}),
    ("EulerDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("EulerDiscreteScheduler", {"timestep_spacing": "linspace", "interpolation_type": "linear"}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++"}),
    ("DPMSolverSinglestepScheduler", {}),
    ("UniPCMultistepScheduler", {}),
    ("DEISMultistepScheduler", {}),
    ("LMSDiscreteScheduler", {}),
    ("LCMScheduler", {}),
    ("TCDScheduler", {}),
]
TWO_CALLS = ["HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"]


def table(T, m=7):
    """Weights that tell their row, and hardly change a picture."""
    return 1 + np.arange(T)[:, None] / 1000 + np.zeros((T, m))


def rows_used(pipe, T, call):
    """The rows that the U-Net calls of `call()` got."""
    rows = []
    with reweighted(pipe, table(T, len(target_blocks(pipe.unet)))) as control:
        handle = pipe.unet.register_forward_hook(
            lambda *_: rows.append(round(1000 * (float(control.rows.weights[0, 0]) - 1)))
        )
        try:
            call()
        finally:
            handle.remove()
    return rows


def use(pipe, name, **config):
    if name == "DPMSolverSDEScheduler" and not find_spec("torchsde"):
        pytest.skip("needs torchsde")
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **config)
    return pipe


@pytest.mark.parametrize("name, config", ONE_CALL)
@pytest.mark.parametrize(
    "T", [pytest.param(1, marks=pytest.mark.thorough), 2, pytest.param(7, marks=pytest.mark.thorough)]
)
def test_one_call_a_step(sd_pipe, name, config, T):
    use(sd_pipe, name, **config)
    assert rows_used(sd_pipe, T, lambda: draw(sd_pipe, steps=T)) == list(range(T))


@pytest.mark.parametrize("name", [*TWO_CALLS, "DPMSolverSDEScheduler"])
@pytest.mark.parametrize("T", [1, 2, 5])
def test_all_calls_of_a_step_share_its_row(sd_pipe, name, T):
    use(sd_pipe, name)
    expected = [row for row in range(T) for _ in range(2)][: 2 * T - 1]
    assert rows_used(sd_pipe, T, lambda: draw(sd_pipe, steps=T)) == expected


@pytest.mark.parametrize("T, expected", [(1, [0]), (2, [0, 1, 1]), (5, [0, 1, 1, 2, 3, 4])])
def test_a_timestep_that_pndm_repeats_shares_its_row(sd_pipe, T, expected):
    use(sd_pipe, "PNDMScheduler", skip_prk_steps=True)
    assert rows_used(sd_pipe, T, lambda: draw(sd_pipe, steps=T)) == expected


def test_pndm_with_runge_kutta_takes_four_calls_for_each_of_its_first_steps(sd_pipe):
    use(sd_pipe, "PNDMScheduler", skip_prk_steps=False, timestep_spacing="leading")
    rows = rows_used(sd_pipe, 10, lambda: draw(sd_pipe, steps=10))
    assert rows == [0] * 4 + [1] * 4 + [2] * 4 + [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("DDIMScheduler", [2, 3]),
        ("EulerDiscreteScheduler", [2, 3]),
        ("UniPCMultistepScheduler", [2, 3]),
        ("HeunDiscreteScheduler", [2, 2, 3]),
        ("KDPM2DiscreteScheduler", [2, 2, 3]),
        ("PNDMScheduler", [1, 2, 3]),
    ],
)
def test_image_to_image_uses_the_last_rows(sd_pipe, name, expected):
    use(sd_pipe, name, skip_prk_steps=True)
    pipe = StableDiffusionImg2ImgPipeline(**sd_pipe.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    image = torch.rand(1, 3, 32, 32)
    assert rows_used(pipe, 4, lambda: draw(pipe, steps=4, image=image, strength=0.5)) == expected


def test_sdxl_image_to_image_from_a_later_start(sdxl_pipe):
    pipe = StableDiffusionXLImg2ImgPipeline(**sdxl_pipe.components, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    image = torch.rand(1, 3, 32, 32)
    assert rows_used(pipe, 4, lambda: draw(pipe, steps=4, image=image, denoising_start=0.5)) == [2, 3]
    use(pipe, "HeunDiscreteScheduler")
    assert rows_used(pipe, 4, lambda: draw(pipe, steps=4, image=image, strength=0.5)) == [2, 2, 3]


def test_one_context_several_calls_and_another_scheduler(sd_pipe):
    def several():
        draw(sd_pipe, steps=3)
        draw(sd_pipe, steps=3, guidance=0.0)
        use(sd_pipe, "HeunDiscreteScheduler")
        draw(sd_pipe, steps=3)
        use(sd_pipe, "EulerDiscreteScheduler")
        draw(sd_pipe, steps=3)

    assert rows_used(sd_pipe, 3, several) == [0, 1, 2, 0, 1, 2, 0, 0, 1, 1, 2, 0, 1, 2]


def test_custom_timesteps(sd_pipe):
    use(sd_pipe, "DDPMScheduler")
    assert rows_used(sd_pipe, 3, lambda: draw(sd_pipe, steps=None, timesteps=[900, 500, 100])) == [0, 1, 2]


@pytest.mark.parametrize("T, steps", [(3, 2), (1, 2), (2, 1)])
@pytest.mark.parametrize("name", ["DDIMScheduler", "PNDMScheduler", "HeunDiscreteScheduler"])
def test_wrong_number_of_steps(sd_pipe, T, steps, name):
    use(sd_pipe, name, skip_prk_steps=True)
    clean = traces(sd_pipe.unet)
    message = rf"^[^\n]*rows for {T} steps but the scheduler takes {steps}[^\n]*\.$"
    with pytest.raises(ValueError, match=message), reweighted(sd_pipe, table(T)):
        draw(sd_pipe, steps=steps)
    assert traces(sd_pipe.unet) == clean


class TestUNetAlone:
    def test_needs_a_scheduler_for_several_steps(self):
        unet = tiny.build_sd_unet()
        with (
            pytest.raises(ValueError, match=r"which of 2 steps .* give a scheduler too\.$"),
            reweighted(unet, table(2)),
        ):
            pass
        assert not unet._forward_pre_hooks

    def test_takes_a_scheduler(self):
        unet, scheduler = tiny.build_sd_unet(), diffusers.DDIMScheduler()
        scheduler.set_timesteps(4)
        sample, _, text = inputs(unet)
        with reweighted(unet, table(4), scheduler=scheduler) as control:
            for row, t in enumerate(scheduler.timesteps):
                predict(unet, sample, t.expand(2), text)
                np.testing.assert_allclose(control.rows.weights, 1 + row / 1000)
            predict(unet, sample, scheduler.timesteps[2].item(), text)
            np.testing.assert_allclose(control.rows.weights, 1.002)
            predict(unet, sample, scheduler.timesteps[1].to(torch.bfloat16), text)
            np.testing.assert_allclose(control.rows.weights, 1.001)

    def test_a_strange_timestep(self):
        unet, scheduler = tiny.build_sd_unet(), diffusers.DDIMScheduler()
        sample, _, text = inputs(unet)
        with reweighted(unet, table(4), scheduler=scheduler):
            scheduler.set_timesteps(4)
            with pytest.raises(ValueError, match=r"timestep 3, which is not in the scheduler's schedule[^\n]*\.$"):
                predict(unet, sample, 3, text)
            with pytest.raises(ValueError, match="different timesteps"):
                predict(unet, sample, torch.tensor([750, 500]), text)

    def test_a_loop_that_never_steps_the_scheduler(self):
        unet, scheduler = tiny.build_sd_unet(), diffusers.HeunDiscreteScheduler()
        scheduler.set_timesteps(3)
        sample, _, text = inputs(unet)
        rows = []
        with reweighted(unet, table(3), scheduler=scheduler) as control:
            for t in scheduler.timesteps:
                predict(unet, sample, t, text)
                rows.append(round(1000 * (control.rows.weights[0, 0] - 1)))
        assert rows == [0, 0, 1, 1, 2]
