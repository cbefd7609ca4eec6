"""Pre-trains the embedded models' CLIPTextModel to classify every attribute of a caption; it is fine-tuned with the U-Net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ..world.scenes import (
    COLOURS,
    DAMAGE,
    RELATIONS,
    SETTINGS,
    SIZES,
    STYLES,
    SUBJECTS,
    draw_caption,
    draw_scene,
    parse,
)
from . import checkpoint
from .tokenizer import LENGTH

WIDTH = 128
HEADS = {
    "subject": ["", *SUBJECTS], "colour": ["", *COLOURS], "size": list(SIZES), "second": ["", *SUBJECTS],
    "second colour": ["", *COLOURS], "setting": ["", *SETTINGS], "style": list(STYLES),
    "relation": ["", *RELATIONS], "damage": ["", *DAMAGE],
}  # fmt: skip


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=WIDTH, projection_dim=WIDTH, intermediate_size=384,
            num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=LENGTH, hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Token ids, (n, 24)."""
    return tokenizer(captions, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").input_ids


def _labels(caption: str) -> list[int]:
    scene = parse(caption)
    first, second = scene.things[0], scene.things[1] if len(scene.things) > 1 else None
    said = {
        "subject": first.subject, "colour": first.colour, "size": first.size,
        "second": second.subject if second else "", "second colour": second.colour if second else "",
        "setting": scene.setting, "style": scene.style, "relation": scene.relation, "damage": scene.damage,
    }  # fmt: skip
    return [HEADS[name].index(said[name]) for name in HEADS]


def train_text_encoder(work: Path, tokenizer: CLIPTokenizer, *, minutes: float, device: str, seed: int, on_progress):
    """Train for `minutes` in total, including earlier runs; returns the encoder."""
    torch.manual_seed(seed)
    encoder = new_text_encoder(tokenizer).to(device)
    heads = torch.nn.ModuleList([torch.nn.Linear(WIDTH, len(options)) for options in HEADS.values()]).to(device)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *heads.parameters()], lr=1e-3, weight_decay=1e-3)
    training = checkpoint.Training(work / "text.pt", optimizer, minutes=minutes, every=60, model=encoder, heads=heads)
    rng = np.random.default_rng([seed, 7, training.step])
    for step in training:
        captions = [draw_caption(draw_scene(rng, pairs=0.5, damage=0.1), rng) for _ in range(64)]
        labels = torch.tensor([_labels(caption) for caption in captions], device=device)
        pooled = encoder(tokens(tokenizer, captions).to(device)).pooler_output
        logits = [head(pooled) for head in heads]
        training.learn(sum(F.cross_entropy(out, labels[:, i]) for i, out in enumerate(logits)))
        if step % 100 == 0:
            right = torch.stack([out.argmax(1) == labels[:, i] for i, out in enumerate(logits)]).float().mean()
            on_progress("text encoder", training.fraction, f"step {step}, right {right:.1%}")
        if training.due:
            training.save()
    return encoder.eval().requires_grad_(False)
