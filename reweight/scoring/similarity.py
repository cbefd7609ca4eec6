"""Identity: how far a picture is from the vanilla one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from PIL import Image

from .scorer import ImageFeatures

_COUNTING = Lock()  # torch hands the number that any thread sets to threads that begin later


@dataclass(frozen=True)
class Distance:
    """ssim: structural similarity, 1 for equal pictures. mean_difference: mean absolute difference, 0 to 255."""

    ssim: float
    mean_difference: float


def distance(picture: Image.Image, vanilla: Image.Image) -> Distance:
    """Distance of an RGB picture from the vanilla one. ValueError when their sizes differ."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = _pair(picture, vanilla)
    with _one_thread():
        ssim = structural_similarity_index_measure(_batch(a).double(), _batch(b).double(), data_range=255.0)
    return Distance(float(ssim), float(np.abs(a - b).mean()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """This thread's work on one core: a second pool of OpenMP threads would slow down whoever draws meanwhile."""
    with _COUNTING:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def feature_cosine(
    pictures: Sequence[Image.Image], vanillas: Sequence[Image.Image], scorer: ImageFeatures
) -> np.ndarray:
    """Cosine of each picture with its vanilla one in the scorer's image features, (n,), 1 for the same."""
    _check_count(pictures, vanillas)
    return (scorer.features(pictures) * scorer.features(vanillas)).sum(-1)


@torch.inference_mode()
def lpips(pictures: Sequence[Image.Image], vanillas: Sequence[Image.Image], device: str = "cpu") -> np.ndarray:
    """LPIPS (Zhang et al., arXiv 1801.03924, AlexNet) of each picture and its vanilla one, (n,), 0 for the same.

    By torchmetrics, which needs torchvision and downloads its weights once. ValueError of one sentence without them.
    """
    _check_count(pictures, vanillas)
    try:
        from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

        measure = LearnedPerceptualImagePatchSimilarity(net_type="alex").to(device)
    except Exception as error:
        raise ValueError(
            "LPIPS needs a torchvision that fits torch, and its AlexNet weights, downloaded once: leave it out."
        ) from error
    pairs = [
        [_batch(array).to(device) / 127.5 - 1 for array in _pair(*pair)]
        for pair in zip(pictures, vanillas, strict=True)
    ]
    return np.array([float(measure(*pair)) for pair in pairs])


def difference_map(picture: Image.Image, vanilla: Image.Image, gain: float = 4.0) -> Image.Image:
    """Mean absolute difference over the colours, times gain, as a picture from black through red to white."""
    a, b = _pair(picture, vanilla)
    d = np.clip(np.abs(a - b).mean(-1) * gain / 255, 0, 1)
    heat = np.stack([np.clip(d * 2.2, 0, 1), np.clip(d * 2.2 - 0.7, 0, 1), np.clip(d * 2.2 - 1.4, 0, 1)], -1)
    return Image.fromarray((heat * 255).astype(np.uint8))


def _check_count(pictures: Sequence[Image.Image], vanillas: Sequence[Image.Image]) -> None:
    if len(pictures) != len(vanillas):
        raise ValueError(f"There are {len(pictures)} pictures and {len(vanillas)} vanilla ones: give pairs.")


def _pair(picture: Image.Image, vanilla: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    if picture.size != vanilla.size:
        raise ValueError(f"The pictures have different sizes, {picture.size} and {vanilla.size}: compare equal ones.")
    return tuple(np.asarray(image.convert("RGB"), np.float32) for image in (picture, vanilla))


def _batch(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).permute(2, 0, 1)[None]
