"""In what numbers and where a model works."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from reweight.engine.drawing import Start, draw
from reweight.engine.parabola import parabolas
from reweight.engine.request import validate
from reweight.methods.base import Drawing
from reweight.models import placing
from reweight.models.folder import ModelError
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


@pytest.fixture
def small_autoencoder(tmp_path):
    torch.manual_seed(0)
    widths = (8, 8)
    network = AutoencoderTiny(
        encoder_block_out_channels=widths, decoder_block_out_channels=widths, num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1), latent_channels=4,
    )  # fmt: skip
    network.save_pretrained(tmp_path / "small")
    return tmp_path / "small"


def test_a_small_autoencoder_takes_the_place_of_a_models_own(sd_folder, small_autoencoder, monkeypatch):
    monkeypatch.setattr("reweight.engine.parabola.PICTURES", 2)
    own = load_model(str(sd_folder), local=True, device="cpu")
    loaded = load_model(str(sd_folder), local=True, device="cpu", autoencoder=small_autoencoder)
    assert type(loaded.pipe.vae) is AutoencoderTiny and loaded.revision.startswith(f"{own.revision}+")
    request = validate(loaded.card, prompt="a red apple", steps=2, size=64)
    pixels = draw(loaded, request, "reweighted", Drawing(2, 0.0, "sd15", weights=np.full((2, 7), 0.9))).pixels
    assert pixels.shape == (1, 64, 64, 3) and np.isfinite(pixels).all()
    start = Start(Image.new("RGB", (64, 64)), 0.5)
    assert draw(loaded, request, start=start).images[0].size == (64, 64)
    assert parabolas(loaded, request.model_copy(update={"steps": 1}), lambda: None)


def test_an_autoencoder_that_is_none_is_said_so(sd_folder, small_autoencoder, tmp_path):
    with pytest.raises(ModelError, match="no autoencoder in the folder"):
        load_model(str(sd_folder), local=True, autoencoder=tmp_path / "nothing")
    (small_autoencoder / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ModelError, match="damaged or incomplete"):
        load_model(str(sd_folder), local=True, autoencoder=small_autoencoder)
