"""SD-Turbo and SDXL with full-size U-Nets of the published configurations, random weights and small other components."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ...models.folder import out_of_memory
from ...toy.train.tokenizer import build_tokenizer


@dataclass(frozen=True)
class FullSize:
    """A published model to be built with random weights.

    key: in `methods.freeu.PRESETS` and in the registry. unet: the published configuration where it differs from
    diffusers' defaults. text_widths: of its text encoders; their sum is the U-Net's cross-attention width.
    """

    key: str
    title: str
    unet: dict[str, Any]
    text_widths: tuple[int, ...]


SD_TURBO = FullSize(
    key="sd-turbo",
    title="SD-Turbo",
    unet={
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    text_widths=(1024,),
)
SDXL = FullSize(
    key="sdxl",
    title="SDXL",
    unet={
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    text_widths=(768, 1280),
)
FULL_SIZE: dict[str, FullSize] = {model.key: model for model in (SD_TURBO, SDXL)}


def build(model: FullSize, *, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> Any:
    """The diffusers pipeline with random weights, created in its dtype on its device, so that nothing is copied.

    device: "cpu" or "cuda". The text encoders have one layer and the autoencoder four channels, so it decodes no usable
    picture: request latents. ValueError of one sentence if there is too little memory.
    """
    try:
        return _built(model, dtype, device, seed)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        kind = str(dtype).removeprefix("torch.")
        raise ValueError(f"There is not enough memory for {model.title} in {kind}: take a smaller dtype.") from error


def _built(model: FullSize, dtype: torch.dtype, device: str, seed: int) -> Any:
    with torch.random.fork_rng([] if device == "cpu" else [device]), made_in(dtype, device):
        torch.manual_seed(seed)
        parts: dict[str, nn.Module] = {
            "unet": UNet2DConditionModel(**model.unet),
            "vae": AutoencoderKL(
                block_out_channels=(4,) * 4, down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, norm_num_groups=2,
            ),
            "text_encoder": CLIPTextModel(_text_config(model.text_widths[0])),
        }  # fmt: skip
        if len(model.text_widths) > 1:
            parts["text_encoder_2"] = CLIPTextModelWithProjection(_text_config(model.text_widths[1]))
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing", steps_offset=1
    )
    parts = {name: part.eval().requires_grad_(False) for name, part in parts.items()}
    if "text_encoder_2" in parts:
        pipe = StableDiffusionXLPipeline(
            **parts, tokenizer=build_tokenizer(), tokenizer_2=build_tokenizer(), scheduler=scheduler,
            add_watermarker=False,
        )  # fmt: skip
    else:
        pipe = StableDiffusionPipeline(
            **parts, tokenizer=build_tokenizer(), scheduler=scheduler, safety_checker=None, feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _text_config(width: int) -> CLIPTextConfig:
    tokenizer = build_tokenizer()
    return CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width, projection_dim=width,
        num_hidden_layers=1, num_attention_heads=width // 64, max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


@contextmanager
def made_in(dtype: torch.dtype, device: str) -> Iterator[None]:
    """Modules created inside have this dtype and device from the start."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)
