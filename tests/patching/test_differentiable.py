"""Weights as tensors: the same as `reweighted`, with gradients that are right."""

import pytest
import torch

from reweight.patching.blocks import columns, target_blocks
from reweight.patching.differentiable import weighted
from reweight.patching.patch import reweighted

PROMPT = "a red apple on table"


def draw(pipe, n=1, steps=2, guidance=3.0):
    generators = [torch.Generator().manual_seed(i) for i in range(n)]
    call = type(pipe).__call__.__wrapped__
    return call(
        pipe, [PROMPT] * n, num_inference_steps=steps, guidance_scale=guidance, generator=generators, output_type="pt"
    ).images  # fmt: skip


@pytest.mark.parametrize("kind", ["sd_pipe", "sdxl_pipe"])
def test_it_draws_what_reweighted_draws(kind, request):
    pipe = request.getfixturevalue(kind)
    m = len(target_blocks(pipe.unet))
    w = torch.rand(2, 2, m, dtype=torch.float64) + 0.5
    with torch.no_grad():
        with weighted(pipe, w):
            ours = draw(pipe, 2)
        with reweighted(pipe, w.numpy()):
            theirs = draw(pipe, 2)
        assert torch.allclose(ours, theirs, atol=1e-6)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in pipe.unet.modules())


def test_the_gradient_is_the_finite_difference(sd_pipe):
    for part in (sd_pipe.unet, sd_pipe.vae, sd_pipe.text_encoder):
        part.to(torch.float64).requires_grad_(False)
    weights = torch.ones(2, 7, dtype=torch.float64, requires_grad=True)

    def value(w):
        with weighted(sd_pipe, w):
            return draw(sd_pipe, 1).double().square().mean()

    value(weights).backward()
    found = weights.grad.clone()
    assert (found != 0).all()
    for t, i in ((0, 0), (0, 3), (1, 6)):
        step = torch.zeros(2, 7, dtype=torch.float64)
        step[t, i] = 1e-4
        with torch.no_grad():
            slope = (value(weights + step) - value(weights - step)) / 2e-4
        assert float(slope) == pytest.approx(float(found[t, i]), rel=1e-3, abs=1e-9)


def test_checkpointing_changes_no_gradient(sd_pipe):
    for part in (sd_pipe.unet, sd_pipe.vae):
        part.requires_grad_(False)
    found = []
    for _ in range(2):
        weights = torch.ones(2, 7, requires_grad=True)
        with weighted(sd_pipe, weights):
            draw(sd_pipe, 1).square().mean().backward()
        found.append(weights.grad)
        sd_pipe.unet.enable_gradient_checkpointing()
        sd_pipe.vae.enable_gradient_checkpointing()
    assert torch.allclose(*found, rtol=1e-4, atol=1e-9)


def test_one_weight_for_each_transformer(sd_pipe):
    labels, places = columns(target_blocks(sd_pipe.unet), "transformer")
    assert len(labels) == len(places) == 16 and labels[:3] == ("0.0", "0.1", "1.0")
    stage = torch.linspace(0.8, 1.2, 7)
    spread = torch.stack([stage[int(label.split(".")[0])] for label in labels])
    with torch.no_grad():
        with weighted(sd_pipe, stage.expand(2, 7)):
            one = draw(sd_pipe)
        with weighted(sd_pipe, spread.expand(2, 16), per="transformer"):
            other = draw(sd_pipe)
    assert torch.equal(one, other)


def test_reweighted_takes_a_weight_for_each_transformer_too(sd_pipe):
    weights = torch.rand(2, 16, dtype=torch.float64) + 0.5
    off = torch.zeros(2, 16, dtype=torch.bool)
    off[0, 3] = True
    with torch.no_grad():
        with weighted(sd_pipe, weights, per="transformer"):
            one = draw(sd_pipe)
        with reweighted(sd_pipe, weights.numpy()):
            other = draw(sd_pipe)
        with reweighted(sd_pipe, weights.numpy(), bypass=off.numpy()):
            without = draw(sd_pipe)
    assert torch.allclose(one, other, atol=1e-6) and not torch.allclose(other, without, atol=1e-6)
    with (
        pytest.raises(ValueError, match="has 9 blocks but this U-Net has 7, with 16 Transformers"),
        reweighted(sd_pipe, torch.ones(2, 9)),
    ):
        pass
    assert not sd_pipe.unet._forward_pre_hooks


def test_shapes_that_do_not_fit_and_nesting_are_refused(sd_pipe):
    with pytest.raises(ValueError, match=r"give \(steps, 7\)"), weighted(sd_pipe, torch.ones(2, 6)):
        pass
    with pytest.raises(ValueError, match="2 steps"), weighted(sd_pipe, torch.ones(2, 7)):
        draw(sd_pipe, steps=3)
    with (
        weighted(sd_pipe, torch.ones(2, 7)),
        pytest.raises(RuntimeError, match="already"),
        weighted(sd_pipe, torch.ones(2, 7)),
    ):
        pass
    assert not sd_pipe.unet._forward_pre_hooks
