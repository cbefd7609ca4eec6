"""Human Preference Score v2 (Wu et al., arXiv 2306.09341) from the official checkpoints, in transformers' CLIPModel."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from .clip_input import pixel_values, resized, token_ids
from .openclip import clip_model
from .scorer import Look, check_lengths

REPOSITORY = "xswu/HPSv2"
FILES = {"v2.0": "HPS_v2_compressed.pt", "v2.1": "HPS_v2.1_compressed.pt"}
TOKENIZER = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
VISION_HEAD, TEXT_HEAD = 80, 64  # channels per head of ViT-H-14


class HPS:
    """HPS v2: the cosine of the CLIP embeddings of a picture and its prompt, in float32, without logit scale.

    Scores of v2.0 and v2.1 are not comparable; the paper's are v2.0. Make it with `load_hps`.
    """

    name = "HPS"

    def __init__(
        self, model: CLIPModel, tokenizer: Any, version: str, *, device: str = "cpu", batch_size: int = 16
    ) -> None:
        self.model, self.tokenizer, self.version = model.to(device), tokenizer, version
        self.device, self.batch_size = device, batch_size

    @torch.inference_mode()
    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Image embeddings of length 1, (n, 1024)."""
        side = self.model.config.vision_config.image_size
        batches = [
            self.model.get_image_features(torch.stack([pixel_values(image, side) for image in batch]).to(self.device))
            for batch in self._batches(images)
        ]
        return self._unit(batches)

    @torch.inference_mode()
    def text_features(self, prompts: Sequence[str]) -> np.ndarray:
        """Prompt embeddings of length 1, (n, 1024)."""
        length = self.model.config.text_config.max_position_embeddings
        batches = [
            self.model.get_text_features(token_ids(self.tokenizer, batch, length).to(self.device))
            for batch in self._batches(prompts)
        ]
        return self._unit(batches)

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> np.ndarray:
        """The cosine of each picture with its prompt, (n,) in [-1, 1]; the paper's lie near 0.28."""
        check_lengths(images, prompts)
        different = list(dict.fromkeys(prompts))
        texts = self.text_features(different)[[different.index(prompt) for prompt in prompts]]
        return (self.features(images) * texts).sum(-1)

    def look(self, pictures: torch.Tensor, prompts: Sequence[str]) -> Look:
        """The same with gradients, for pictures (n, 3, h, w) in [0, 1]; HPS's match with the prompt is its score."""
        check_lengths(pictures, prompts)
        x = resized(pictures.to(self.device).float(), self.model.config.vision_config.image_size)
        seen = self.model.get_image_features(x)
        features = torch.nn.functional.normalize(getattr(seen, "pooler_output", seen), dim=-1)
        score = (features * torch.tensor(self.text_features(prompts), device=features.device)).sum(-1)
        return Look(score, score, features)

    def _batches(self, items: Sequence) -> list[Sequence]:
        return [items[i : i + self.batch_size] for i in range(0, len(items), self.batch_size)]

    def _unit(self, outputs: list[Any]) -> np.ndarray:
        if not outputs:
            return np.empty((0, self.model.config.projection_dim), np.float32)
        embeddings = torch.cat([getattr(output, "pooler_output", output) for output in outputs])
        return torch.nn.functional.normalize(embeddings, dim=-1).cpu().numpy()


def load_hps(
    version: str = "v2.0",
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] = TOKENIZER,
    device: str = "cpu",
    batch_size: int = 16,
    vision_head_width: int = VISION_HEAD,
    text_head_width: int = TEXT_HEAD,
) -> HPS:
    """Load HPS version "v2.0" or "v2.1"; the checkpoint is loaded without executing code.

    checkpoint: the official file, by default from the hub or its cache (2 GB). tokenizer: CLIP's, a folder or hub id.
    ValueError of one sentence if the checkpoint or the tokenizer is missing, damaged or of another model.
    """
    if version not in FILES:
        raise ValueError(f"There is no HPS {version!r}: choose one of {', '.join(FILES)}.")
    path = Path(checkpoint) if checkpoint is not None else _download(FILES[version])
    if not path.is_file():
        raise ValueError(f"There is no HPS checkpoint {path.name}: give the file {FILES[version]} of {REPOSITORY}.")
    try:
        model = clip_model(_state(path), vision_head_width=vision_head_width, text_head_width=text_head_width)
    except ValueError as error:
        raise ValueError(f"{path.name} is no HPS: {error}") from error
    try:
        read = CLIPTokenizer.from_pretrained(tokenizer)
    except Exception as error:
        raise ValueError(
            f"CLIP's tokenizer is not available from {tokenizer}: download it once with a network, or name its folder."
        ) from error
    if len(read) != model.config.text_config.vocab_size:
        raise ValueError(f"The tokenizer has {len(read)} tokens, not HPS's: use that of {TOKENIZER}.")
    return HPS(model, read, version, device=device, batch_size=batch_size)


def _download(file: str) -> Path:
    try:
        return Path(hf_hub_download(REPOSITORY, file))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"The HPS checkpoint {file} cannot be downloaded: fetch it from {REPOSITORY} on huggingface.co once, "
            "and name the file."
        ) from error


def _state(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        raise ValueError("The file is damaged, or holds more than weights: get it again.") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError("The file holds no weights under 'state_dict'.")
    return state
