"""Compiled U-Nets: contexts are heard, steps do not compile again, and a probe finds what it finds without."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from test_patch import draw, inputs, predict

from reweight.patching.patch import BlockControl, captured, reweighted
from reweight.probing.importance_probe import probe

SMALL = {
    "block_out_channels": (8, 16), "layers_per_block": 1, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip
M = 3  # target blocks


@pytest.fixture(autouse=True)
def _forgotten():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.fixture(params=["in place", "wrapped", "blocks"])
def compiled(request):
    """(what is hooked, what is called): by `unet.compile()`, `torch.compile(unet)` and `compile_repeated_blocks()`."""
    unet = tiny.build_sd_unet(**SMALL)
    if request.param == "wrapped":
        return unet, torch.compile(unet, backend="eager")
    (unet.compile if request.param == "in place" else unet.compile_repeated_blocks)(backend="eager")
    return unet, unet


@pytest.mark.slow
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_context_is_heard_after_the_first_call_and_its_steps_share_code(compiled, mode):
    unet, call = compiled
    plain, rows = tiny.build_sd_unet(**SMALL), 1 + 0.2 * np.random.default_rng(0).standard_normal((5, M))
    with mode():
        before = predict(call, *inputs(unet))
        with captured(unet) as calls:
            assert torch.equal(predict(call, *inputs(unet)), before) and len(calls) == 1
        counts = []
        with BlockControl(unet) as control, BlockControl(plain) as expected:
            for row in rows:
                control.set(row)
                expected.set(row)
                assert torch.equal(predict(call, *inputs(unet)), predict(plain))
                counts.append(graphs())
            rows = np.stack([rows[0], rows[1]])
            control.set(rows, rows > 1.1)
            expected.set(rows, rows > 1.1)
            torch.testing.assert_close(predict(call, *inputs(unet)), predict(plain), atol=1e-5, rtol=1e-4)
        assert len(set(counts)) == 1, "another row is not compiled again"
        assert torch.equal(predict(call, *inputs(unet)), before)


def test_a_pipeline_of_two_steps_is_that_of_the_plain_unet(sd_pipe):
    sd_pipe.unet = tiny.build_sd_unet(**SMALL)
    w = 1 + 0.2 * np.random.default_rng(0).standard_normal((2, M))
    with reweighted(sd_pipe, w):
        expected = draw(sd_pipe)
    sd_pipe.unet.compile(backend="eager")
    with reweighted(sd_pipe, w):
        assert (draw(sd_pipe) == expected).all()
    assert graphs() == 1


@pytest.mark.thorough
def test_a_probe_of_a_compiled_unet_finds_the_same_table(sd_pipe):
    options = {"steps": 2, "guidance_scale": 3.0, "height": 32, "width": 32, "runs": 2, "iterations": 2}
    sd_pipe.unet = tiny.build_sd_unet(**SMALL)
    expected = probe(sd_pipe, "a red apple on table", **options)
    sd_pipe.unet.compile(backend="eager")
    assert probe(sd_pipe, "a red apple on table", **options) == expected


@pytest.mark.slow
def test_more_contexts_than_dynamo_keeps_code_for_are_right_all_the_same():
    unet, plain = tiny.build_sd_unet(**SMALL), tiny.build_sd_unet(**SMALL)
    unet.compile(backend="eager")
    for n in range(torch._dynamo.config.recompile_limit + 3):
        w = np.full((1, M), 0.9 + n / 100)
        with reweighted(unet, w), reweighted(plain, w):
            assert torch.equal(predict(unet), predict(plain))
