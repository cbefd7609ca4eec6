"""Tiny Stable Diffusion and SDXL folders, built from configs: the real classes, small and untrained."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WIDTHS = (8, 16, 32, 32)  # in the proportions of Stable Diffusion's 320, 640, 1280, 1280
SAMPLE = 16  # latents; pictures have four times the side
WORDS = ("a red apple on table", "the blue cat in rain", "low quality blurry ugly")


def build_sd_unet(**overrides: object) -> UNet2DConditionModel:
    """Seven target blocks, as Stable Diffusion has."""
    config = dict(
        sample_size=SAMPLE,
        block_out_channels=WIDTHS,
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    return _settled(UNet2DConditionModel, config | overrides)


def build_sdxl_unet(**overrides: object) -> UNet2DConditionModel:
    """Five target blocks, as SDXL has."""
    config = dict(
        sample_size=SAMPLE,
        block_out_channels=WIDTHS[:3],
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 16,
    )
    return _settled(UNet2DConditionModel, config | overrides)


def build_sd(folder: Path, **overrides: object) -> Path:
    """Save a tiny Stable Diffusion pipeline into folder. overrides: of the U-Net's configuration."""
    StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_settled(CLIPTextModel, _text_config()),
        tokenizer=_tokenizer(),
        unet=build_sd_unet(**overrides),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def build_sdxl(folder: Path) -> Path:
    """Save a tiny SDXL pipeline into folder."""
    StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_settled(CLIPTextModel, _text_config()),
        text_encoder_2=_settled(CLIPTextModelWithProjection, _text_config()),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=build_sdxl_unet(),
        scheduler=_scheduler(),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def _settled(kind: type, config: object) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return (kind(**config) if isinstance(config, dict) else kind(config)).eval()


def _vae() -> AutoencoderKL:
    config = dict(
        block_out_channels=(4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=4 * SAMPLE,
    )
    return _settled(AutoencoderKL, config)


def _text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=16,
        intermediate_size=32,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


def _vocabulary() -> dict[str, int]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,"
    merged = [first + second for first, second in _merges()]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters), *merged]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def _merges() -> list[tuple[str, str]]:
    """Pairs that build each of our words from the left."""
    pairs = []
    for word in " ".join(WORDS).split():
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            pairs.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
    return list(dict.fromkeys(pairs))


def _tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab=_vocabulary(), merges=_merges(), model_max_length=77)


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )
