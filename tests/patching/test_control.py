"""A mask beside the weights, weights that are differentiated, and copies made while a pipeline is re-weighted."""

import copy

import numpy as np
import pytest
import tiny
import torch
from test_patch import draw, inputs, predict, traces

from reweight.patching.patch import BlockControl, bypassed, reweighted

RNG = np.random.default_rng(0)


class TestMask:
    def test_is_what_thresholds_would_bypass(self, sd_pipe):
        w, skip = 1 + 0.2 * RNG.standard_normal((2, 7)), RNG.random((2, 7)) < 0.3
        with reweighted(sd_pipe, w, thresholds=np.where(skip, w + 1, w - 1)):
            expected = draw(sd_pipe)
        with reweighted(sd_pipe, w, bypass=skip):
            assert (draw(sd_pipe) == expected).all()
        with reweighted(sd_pipe, np.ones(7), bypass=skip):
            neutral = draw(sd_pipe)
        with bypassed(sd_pipe, skip):
            assert (draw(sd_pipe) == neutral).all()

    def test_adds_to_thresholds(self, sd_pipe):
        w, skip, other = np.full((2, 7), 0.9), np.zeros((2, 7), bool), np.zeros((2, 7), bool)
        skip[:, 1], other[:, 5] = True, True
        with reweighted(sd_pipe, w, bypass=skip | other):
            expected = draw(sd_pipe)
        with reweighted(sd_pipe, w, thresholds=np.where(other, 1.0, 0.0), bypass=skip):
            assert (draw(sd_pipe) == expected).all()

    @pytest.mark.parametrize("w, mask", [((7,), (2, 7)), ((2, 7), (7,)), ((2, 7), (2, 2, 7)), ((2, 2, 7), (2, 7))])
    def test_smaller_shapes_hold_for_all_steps_and_samples(self, sd_pipe, w, mask):
        weights, skip = 1 + 0.2 * RNG.standard_normal(w), RNG.random(mask) < 0.3
        whole = (2, 2, 7)
        with reweighted(sd_pipe, np.broadcast_to(weights, whole), bypass=np.broadcast_to(skip, whole)):
            expected = draw(sd_pipe, num_images_per_prompt=2)
        with reweighted(sd_pipe, weights, bypass=skip):
            assert (draw(sd_pipe, num_images_per_prompt=2) == expected).all()

    @pytest.mark.parametrize("mask, match", [
        (np.zeros((3, 7), bool), r"\(2, 7\) but the bypass mask \(3, 7\)"),
        (np.zeros((1, 7), bool), r"\(2, 7\) but the bypass mask \(1, 7\)"),
        (np.zeros((2, 6), bool), "6 blocks .* has 7"),
        (np.zeros((2, 7)), "give booleans"),
    ])  # fmt: skip
    def test_that_does_not_fit_is_refused(self, sd_pipe, mask, match):
        with pytest.raises(ValueError, match=match), reweighted(sd_pipe, np.ones((2, 7)), bypass=mask):
            raise AssertionError("entered")


class TestGradient:
    """By finite differences in double precision."""

    def loss(self, unet, w, **options):
        with reweighted(unet, w, **options):
            return unet(*inputs(unet, dtype=torch.float64))[0].square().mean()

    @pytest.mark.parametrize("shape", [(7,), (1, 7), (2, 1, 7)])
    def test_flows_to_the_weights(self, shape):
        unet = tiny.build_sd_unet().double()
        w = torch.tensor(1 + 0.2 * RNG.standard_normal(shape), requires_grad=True)
        skip = np.zeros(shape, bool)
        skip[..., 2] = True
        self.loss(unet, w, bypass=skip).backward()
        assert (w.grad[..., 2] == 0).all() and (w.grad[..., [0, 1, 3, 4, 5, 6]] != 0).all()
        for place in ((0,) * (len(shape) - 1) + (i,) for i in (0, 2, 3, 6)):
            up, down = (w.detach().clone() for _ in range(2))
            up[place] += 1e-5
            down[place] -= 1e-5
            with torch.no_grad():
                slope = (self.loss(unet, up, bypass=skip) - self.loss(unet, down, bypass=skip)) / 2e-5
            torch.testing.assert_close(w.grad[place], slope, rtol=1e-5, atol=1e-9)

    def test_the_picture_is_that_of_the_numbers(self, sd_pipe):
        w = torch.tensor(1 + 0.2 * RNG.standard_normal((2, 7)))
        with reweighted(sd_pipe, w):
            expected = draw(sd_pipe)
        with reweighted(sd_pipe, w.clone().requires_grad_()):
            assert (draw(sd_pipe) == expected).all()

    def test_an_optimiser_moves_them_inside_one_context(self):
        unet, w = tiny.build_sd_unet(), torch.nn.Parameter(torch.ones(1, 7))
        optimiser, losses = torch.optim.SGD([w], lr=0.5), []
        with reweighted(unet, w):
            for _ in range(4):
                loss = unet(*inputs(unet))[0].square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
        assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1]

    def test_flows_through_a_control_too(self):
        unet, w = tiny.build_sd_unet(), torch.full((2, 7), 0.9, requires_grad=True)
        with BlockControl(unet) as control:
            control.set(w, [True] + [False] * 6)
            unet(*inputs(unet))[0].square().mean().backward()
            control.set(w.detach())
            assert not control.rows.factors.requires_grad
        assert (w.grad[:, 0] == 0).all() and (w.grad[:, 1:] != 0).all()


class TestCopies:
    @pytest.mark.parametrize("before", [False, True])
    def test_a_copy_of_the_pipeline_asks_its_own_scheduler(self, sd_pipe, before):
        w = 1 + 0.2 * RNG.standard_normal((3, 7))
        with reweighted(sd_pipe, w):
            expected = draw(sd_pipe, steps=3)
        fresh = copy.deepcopy(sd_pipe)
        fresh.scheduler.timesteps = None
        with reweighted(fresh, w):
            if before:
                draw(fresh, steps=3)
            twin = copy.deepcopy(fresh)
            assert (draw(twin, steps=3) == expected).all(), "before the original has run"
            draw(fresh, steps=3)
            fresh.scheduler.set_timesteps(2)
            assert (draw(twin, steps=3) == expected).all()
        assert (draw(twin, steps=3) == expected).all(), "it goes its own way"

    def test_an_explicit_scheduler_is_copied_with_its_pipeline(self, sd_pipe):
        w = 1 + 0.2 * RNG.standard_normal((2, 7))
        with reweighted(sd_pipe, w, scheduler=sd_pipe.scheduler):
            twin = copy.deepcopy(sd_pipe)
            expected = draw(sd_pipe)
            sd_pipe.scheduler.set_timesteps(5)
            assert (draw(twin) == expected).all()

    def test_tables_for_samples_ask_the_copys_guidance(self, sd_pipe):
        w = 1 + 0.2 * RNG.standard_normal((2, 2, 7))
        with reweighted(sd_pipe, w):
            twin = copy.deepcopy(sd_pipe)
            draw(sd_pipe, guidance=0.0, num_images_per_prompt=2)
            draw(twin, guidance=3.0, num_images_per_prompt=2)
            draw(sd_pipe, guidance=0.0, num_images_per_prompt=2)

    def test_a_copy_of_the_unet_leaves_the_pipeline_behind(self, sd_pipe):
        copied = []
        type(sd_pipe.vae).__deepcopy__ = lambda vae, memo: copied.append(vae)
        try:
            with reweighted(sd_pipe, np.full((2, 7), 0.9)):
                expected = draw(sd_pipe)
                sd_pipe.unet = copy.deepcopy(sd_pipe.unet)
                assert (draw(sd_pipe) == expected).all()
        finally:
            del type(sd_pipe.vae).__deepcopy__
        assert not copied

    def test_the_original_is_clean_when_it_ends(self, sd_pipe):
        clean = traces(sd_pipe.unet)
        with reweighted(sd_pipe, np.full((2, 7), 0.9)):
            copy.deepcopy(sd_pipe)
        assert traces(sd_pipe.unet) == clean
        predict(sd_pipe.unet)
