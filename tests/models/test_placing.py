"""In what numbers and where a model works."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reweight.engine.drawing import draw
from reweight.engine.request import validate
from reweight.models import placing
from reweight.models.loading import load_model


def test_the_numbers_are_what_the_device_is_good_at(monkeypatch):
    for fast in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda fast=fast: fast)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        assert placing.usual_dtype("cpu", downloaded=True) == (torch.bfloat16 if fast else torch.float32)
        assert placing.usual_dtype("cpu", downloaded=False) == torch.float32, (
            "embedded models and folders stay as they are"
        )
        assert placing.usual_dtype("mps", downloaded=True) == torch.float32
        assert placing.usual_dtype("cuda:0", downloaded=True) == torch.float16


def test_a_model_in_bfloat16_draws_nearly_the_same(sd_folder):
    pictures = []
    for dtype in ("float32", "bfloat16"):
        loaded = load_model(str(sd_folder), local=True, device="cpu", dtype=dtype)
        assert loaded.dtype == dtype
        request = validate(loaded.card, prompt="a red apple", steps=2, size=64)
        pictures.append([draw(loaded, request, column).pixels for column in ("vanilla", "freeu")])
    for single in pictures[1]:
        assert np.isfinite(single).all() and single.std() > 0


@pytest.mark.parametrize("free, offloads", [(10e9, False), (1e9, True)])
def test_where_a_gpu_has_too_little_memory_each_part_goes_there_in_turn(sd_pipe, monkeypatch, free, offloads):
    called = []
    monkeypatch.setattr(placing, "free_on", lambda device: free)
    monkeypatch.setattr(type(sd_pipe), "to", lambda self, device: called.append(("whole", device)) or self)
    monkeypatch.setattr(
        type(sd_pipe), "enable_model_cpu_offload", lambda self, device: called.append(("parts", device))
    )
    assert placing.place(sd_pipe, "cuda:0") is sd_pipe
    assert called == [("parts" if offloads else "whole", "cuda:0")]


def test_a_model_whose_parts_come_in_turn_draws_the_same(sd_folder):
    """The same hooks, but the place that parts go to is the CPU itself."""
    whole = load_model(str(sd_folder), local=True, device="cpu")
    parts = load_model(str(sd_folder), local=True, device="cpu")
    parts.pipe.enable_model_cpu_offload(device="cpu")
    request = validate(whole.card, prompt="a red apple", steps=2, size=64, low=0.5)
    for column in ("vanilla", "freeu", "deis", "tomesd", "vanilla"):
        assert np.array_equal(draw(parts, request, column).pixels, draw(whole, request, column).pixels), column
