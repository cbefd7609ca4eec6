"""Converts CLIP weights with open_clip's names to transformers' CLIPModel."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from transformers import CLIPConfig, CLIPModel

State = Mapping[str, torch.Tensor]
OUTSIDE = {
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "logit_scale": "logit_scale",
}
TRANSPOSED = ("visual.proj", "text_projection")
BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
INSIDE = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
}  # fmt: skip
IN_PROJECTION = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")


def clip_model(state: State, *, vision_head_width: int, text_head_width: int) -> CLIPModel:
    """A CLIPModel in float32 and evaluation mode, with sizes taken from the weights.

    The head widths, in channels, cannot be inferred from the weights. ValueError of one sentence if a weight is
    missing, unknown, of the wrong shape, or not finite.
    """
    if missing := [name for name in OUTSIDE if name not in state]:
        raise ValueError(f"The checkpoint lacks the weight {missing[0]}: it is no CLIP of open_clip's kind.")
    for name, value in state.items():
        if not (isinstance(value, torch.Tensor) and value.isfinite().all()):
            raise ValueError(f"The checkpoint's {name!r} has values that are not finite numbers: download it again.")
    weights = renamed(state)
    try:
        config = _config(state, vision_head_width, text_head_width)
        model = CLIPModel(config)
    except (IndexError, KeyError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise ValueError("The checkpoint's weights have shapes that make no CLIP: get it again.") from error
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ValueError("The checkpoint's weights do not fill a CLIP, one for one: get it again.") from error
    return model.requires_grad_(False).eval()


def renamed(state: State) -> dict[str, torch.Tensor]:
    """The weights in float32 with CLIPModel's names. ValueError of one sentence for an unknown name."""
    weights = {}
    for name, value in state.items():
        value = value.float()
        if name in OUTSIDE:
            weights[OUTSIDE[name]] = value.T.contiguous() if name in TRANSPOSED else value
        elif match := IN_PROJECTION.fullmatch(name):
            layer = _layer(match[1], match[2])
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                weights[f"{layer}.self_attn.{letter}_proj.{match[3]}"] = part.contiguous()
        elif (match := BLOCK.fullmatch(name)) and match[3] in INSIDE:
            weights[f"{_layer(match[1], match[2])}.{INSIDE[match[3]]}.{match[4]}"] = value
        else:
            raise ValueError(f"The checkpoint has an unknown weight {name!r}: it is no CLIP of open_clip's kind.")
    return weights


def _layer(visual: str | None, number: str) -> str:
    return f"{'vision' if visual else 'text'}_model.encoder.layers.{number}"


def _config(state: State, vision_head_width: int, text_head_width: int) -> CLIPConfig:
    width, _, patch, _ = state["visual.conv1.weight"].shape
    vocabulary, text_width = state["token_embedding.weight"].shape
    grid = round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
    vision = {
        "hidden_size": width, "patch_size": patch, "image_size": grid * patch,
        "num_attention_heads": width // vision_head_width, **_tower(state, "visual."),
    }  # fmt: skip
    text = {
        "hidden_size": text_width, "vocab_size": vocabulary, "max_position_embeddings": len(state["positional_embedding"]),
        "num_attention_heads": text_width // text_head_width, "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1, "pad_token_id": 0, **_tower(state, ""),
    }  # fmt: skip
    return CLIPConfig(vision_config=vision, text_config=text, projection_dim=state["text_projection"].shape[1])


def _tower(state: State, prefix: str) -> dict[str, int | str]:
    start = f"{prefix}transformer.resblocks."
    layers = 1 + max(int(name[len(start) :].split(".")[0]) for name in state if name.startswith(start))
    wide = len(state[f"{start}0.mlp.c_fc.weight"])
    return {"num_hidden_layers": layers, "intermediate_size": wide, "hidden_act": "gelu"}
