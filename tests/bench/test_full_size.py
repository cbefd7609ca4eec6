"""The real U-Nets of SD-Turbo and SDXL, with random weights: the same code as on the small ones, at their size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from reweight import ProbeRequest, freeu, iter_probe, reweighted, target_blocks
from reweight.bench import app
from reweight.bench.overhead.full_size_models import FULL_SIZE, build
from reweight.bench.overhead.paired_timing import METHODS, costs, draw
from reweight.methods.freeu import PRESETS

SIDE = 16  # latents
PIXELS = 8 * SIDE
WHAT = {  # labels of the blocks, Transformer2DModels, parameters of the published U-Net
    "sd-turbo": ("0123456", 16, 865_910_724),
    "sdxl": ("12345", 11, 2_567_463_684),
}


def traces(unet):
    """Everything that a context could leave behind in a U-Net."""
    return [
        (name, len(module._forward_hooks), len(module._forward_pre_hooks), sorted(vars(module)))
        for name, module in unet.named_modules()
    ]


@pytest.fixture(scope="module", params=list(FULL_SIZE))
def full_size(request):
    return request.param, build(FULL_SIZE[request.param], dtype=torch.bfloat16)


@pytest.mark.slow
def test_full_size(full_size):
    key, pipe = full_size
    labels, transformers, parameters = WHAT[key]
    blocks = target_blocks(pipe.unet)
    assert "".join(block.label for block in blocks) == labels
    assert sum(len(block.transformers) for block in blocks) == transformers
    assert pipe.unet.num_parameters() == parameters and pipe.unet.dtype == torch.bfloat16

    clean = traces(pipe.unet)
    vanilla = draw(pipe, side=SIDE)
    assert vanilla.shape == (1, 4, SIDE, SIDE) and vanilla.isfinite().all()
    assert torch.equal(draw(pipe, reweighted(pipe, np.ones((1, len(blocks)))), side=SIDE), vanilla)
    for block in blocks:
        one = np.where(np.arange(len(blocks)) == block.index, 1.1, 1.0)
        changed = draw(pipe, reweighted(pipe, one), side=SIDE)
        assert changed.isfinite().all() and not torch.equal(changed, vanilla), block
    assert not torch.equal(draw(pipe, freeu(pipe, **vars(PRESETS[key])), side=SIDE), vanilla)

    (snapshot,) = iter_probe(
        pipe,
        ProbeRequest.of("a red apple", steps=1, runs=1, iterations=1, guidance_scale=0.0, height=PIXELS, width=PIXELS),
    )
    assert snapshot.done == 1 and snapshot.table.scores.shape == (1, len(blocks))
    assert sorted(snapshot.table.scores[0]) == pytest.approx(np.arange(1, len(blocks) + 1) / len(blocks))
    assert snapshot.table.blocks == tuple(labels)

    assert traces(pipe.unet) == clean
    assert torch.equal(draw(pipe, side=SIDE), vanilla)


@pytest.mark.slow
def test_the_command_prints_and_writes_the_figures(tmp_path):
    out = tmp_path / "new" / "full-size.json"
    asked = ["--model", "sd-turbo", "--latent", "8", "--repeats", "1", "--device", "cpu", "--out", str(out)]
    result = CliRunner().invoke(app, ["full-size", *asked])
    assert result.exit_code == 0, result.output
    assert "SD-Turbo" in result.output and "865.9 M" in result.output
    written = json.loads(out.read_text(encoding="utf-8"))
    assert (written["dtype"], written["device"], written["repeats"]) == ("bfloat16", "cpu", 1)
    (model,) = written["models"]
    assert model["parameters"] == WHAT["sd-turbo"][2] and model["blocks"] == list("0123456")
    assert [cost["method"] for cost in model["costs"]] == list(METHODS)
    assert 1700 < model["peak_mb"] < 4000


def test_costs_are_taken_in_turns(sd_pipe):
    drawn = []
    found = costs(sd_pipe, PRESETS["sd-turbo"], side=8, repeats=4, on_progress=lambda name, _: drawn.append(name))
    assert [cost.method for cost in found] == list(METHODS)
    assert drawn[:3] == list(METHODS) and drawn[3:6] == [*METHODS[1:], METHODS[0]] and len(drawn) == 12
    for cost in found:
        assert len(cost.seconds) == len(cost.cpu_seconds) == 4 and min(cost.seconds + cost.cpu_seconds) > 0
        assert all(value > 0 and low <= high for value, low, high in (cost.ratio, cost.cpu_ratio))
    assert found[0].ratio == found[0].cpu_ratio == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        costs(sd_pipe, PRESETS["sd-turbo"], side=8, repeats=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "sd3"], r"^There is no full-size 'sd3': choose from sd-turbo, sdxl\.$"),
        (["--latent", "12"], "multiple of 8, not 12"),
        (["--dtype", "int8"], "^The dtype is bfloat16, float16 or float32, not 'int8'"),
        (["--device", "abacus"], "no such device here: choose cuda or cpu"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(options, message, tmp_path):
    result = CliRunner().invoke(app, ["full-size", *options, "--out", str(tmp_path / "full-size.json")])
    assert isinstance(result.exception, ValueError)
    with pytest.raises(ValueError, match=message):
        raise result.exception
    assert not list(tmp_path.iterdir())
