"""Proposition 1 measured: against one literal forward at a time, for every kind of prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from reweight.bench.studies.error_parabola import figure, sentence
from reweight.patching.patch import reweighted
from reweight.probing.proposition import proposition_1

PROMPTS = ["a red apple", "a blue fox"]
TIMES = (20, 600)
GRID = (0.8, 1.0, 1.3)


def latents(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 4, 8, 8, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", pytest.param("sample", marks=pytest.mark.thorough)])
def test_against_one_forward_at_a_time(sd_pipe, kind):
    sd_pipe.scheduler = DDIMScheduler.from_config(sd_pipe.scheduler.config, prediction_type=kind)
    x_0 = latents()
    measured = proposition_1(sd_pipe, PROMPTS, x_0, timesteps=TIMES, w=GRID, seed=4)
    alphas = sd_pipe.scheduler.alphas_cumprod
    variance = np.zeros((2, 7, 3))
    with torch.no_grad():
        for n, prompt in enumerate(PROMPTS):
            text, _ = sd_pipe.encode_prompt(prompt, "cpu", 1, False)
            eps = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4 + n))
            for t, time in enumerate(TIMES):
                a, s = alphas[time].sqrt(), (1 - alphas[time]).sqrt()
                x_t = a * x_0[n : n + 1] + s * eps
                for i in range(7):
                    for k, value in enumerate(GRID):
                        w = np.ones(7)
                        w[i] = value
                        with reweighted(sd_pipe, w):
                            output = sd_pipe.unet(x_t, time, text).sample
                        eps_hat = {
                            "epsilon": output,
                            "v_prediction": a * output + s * x_t,
                            "sample": (x_t - a * output) / s,
                        }[kind]
                        variance[t, i, k] += float((eps - eps_hat).var(correction=0)) / 2
    np.testing.assert_allclose(measured.variance, variance, rtol=1e-3)
    relative = measured.variance / measured.variance[..., 1:2] - 1
    assert (measured.relative_low - 1e-6 <= relative).all() and (relative <= measured.relative_high + 1e-6).all()
    assert not measured.relative_low[..., 1].any() and (measured.relative_low < measured.relative_high)[..., 0].all()
    for t, i in np.ndindex(2, 7):
        p = np.poly1d(np.polyfit(GRID, variance[t, i], 2))
        if p.c[0] > 1e-4:
            assert measured.minimum[t, i] == pytest.approx(-p.c[1] / (2 * p.c[0]), rel=0.05, abs=0.01)
    np.testing.assert_allclose(measured.explained, 1, atol=1e-6)  # three points lie on a parabola
    assert measured.blocks == tuple("0123456") and measured.timesteps == TIMES


def test_the_interval_holds_the_minimum_and_the_batch_changes_nothing(sd_pipe):
    prompts = [*PROMPTS, "the green tree"]
    parabolas = [proposition_1(sd_pipe, prompts, latents(3), timesteps=[500], batch_size=size) for size in (None, 1, 5)]
    one = parabolas[0]
    sure = ~np.isnan(one.low)
    assert (one.low[sure] <= one.minimum[sure] + 1e-9).all() and (one.minimum[sure] <= one.high[sure] + 1e-9).all()
    assert one.variance.shape == (1, 7, 5)
    for other in parabolas[1:]:
        np.testing.assert_allclose(other.variance, one.variance, rtol=1e-4)
    unet = sd_pipe.unet
    assert not unet._forward_pre_hooks and not unet._forward_hooks


def test_without_any_signal_eps_hat_is_exact_and_the_minimum_is_still_found(sd_pipe):
    sd_pipe.scheduler = DDIMScheduler.from_config(
        sd_pipe.scheduler.config, prediction_type="v_prediction", rescale_betas_zero_snr=True
    )
    measured = proposition_1(sd_pipe, PROMPTS, latents(), timesteps=[999])
    assert (measured.variance < 1e-6).all() and np.isfinite(measured.minimum).any()


def test_sdxl(sdxl_pipe):
    measured = proposition_1(sdxl_pipe, PROMPTS, latents(), timesteps=[300])
    assert measured.blocks == tuple("12345") and measured.variance.shape == (1, 5, 5)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"prompts": PROMPTS[:1]}, "1 prompts for 2 latents"),
    ({"w": (0.9, 1.0, 1.0)}, "at least 3 different weights"),
    ({"timesteps": [1000]}, r"Timesteps lie in \[0, 1000\)"),
    ({"timesteps": []}, "Timesteps lie in"),
    ({"batch_size": 0}, "batch_size must be"),
])  # fmt: skip
def test_bad_requests_get_one_sentence(sd_pipe, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        proposition_1(sd_pipe, latents=latents(), **{"prompts": PROMPTS, "timesteps": TIMES} | changes)


def test_the_minima_are_counted_and_drawn(sd_pipe):
    found = proposition_1(sd_pipe, PROMPTS, latents(), timesteps=TIMES, w=GRID)
    told = np.isfinite(found.low) & np.isfinite(found.high)
    below, above = (found.high[told] < 1).sum(), (found.low[told] > 1).sum()
    said = sentence(found)
    about = told.sum() - below - above
    assert said.startswith(
        f"Of 14 minima {below} have a 95% interval below 1, {about} one that holds 1 and {above} one above 1; "
    )
    assert f"; {14 - told.sum()} have none" in said and told.sum() < 14
    axes = figure(found).axes[0]
    assert [text.get_text() for text in axes.get_legend().texts] == [f"block {block}" for block in found.blocks]
    lines = [container.lines[0].get_ydata() for container in axes.containers]
    np.testing.assert_allclose(np.transpose(lines), np.where(told, found.minimum, np.nan))
