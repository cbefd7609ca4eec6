"""Make tests/fixtures/hps_reference.npz: what the hpsv2 package's own code says about small towers of random weights.

    python tools/hps_reference.py

The package needs torchvision and pins that the tests cannot have, so it is installed here into an environment of its
own, under a temporary folder that is removed afterwards (about 1 GB while it lasts). `hpsv2x` is the same code as
`hpsv2` 1.2.0 with the vocabulary file that its release forgot. Towers, vocabulary and pictures are made up here.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

OUT = Path(__file__).parents[1] / "tests" / "fixtures" / "hps_reference.npz"
FULL = ("torch==2.13.0", "numpy", "pillow", "ftfy", "regex", "tqdm", "huggingface_hub", "requests", "clint")
ALONE = ("torchvision==0.28.0", "hpsv2x==1.2.0")
PROMPTS = (
    "a red apple on a wooden table",
    "An  ANIME girl\twith blue hair,\n4k, it's 8 o'clock ",
    "caf\u00e9 &amp;amp; &lt;b&gt; \u201ccurly\u201d \u2014 ma\u00c3\u00b1ana \u30c4",
    "the tree " * 60,
    "",
)
MERGES = (
    "t h", "th e</w>", "a n", "i n", "o n</w>", "r e", "an i", "ani m", "anim e</w>", "a p", "ap p", "app l", "appl e</w>",
    "t re", "tre e</w>", "w o", "wo o", "woo d", "t a", "ta b", "tab l", "tabl e</w>", "b l", "bl u", "blu e</w>",
    "re d</w>", "h a", "ha i", "hai r</w>", "g i", "gi r", "gir l</w>", "' s</w>",
)  # fmt: skip
SHAPES = ((56, 56), (160, 160), (90, 61), (37, 200), (100, 33), (20, 20))  # (height, width)


def main() -> None:
    """Install the package next to nothing of ours, and let it speak."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "setuptools", "wheel", *FULL], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", *ALONE], check=True)
        subprocess.run([python, __file__, "--inside"], check=True)


def inside() -> None:
    """The reference itself, in that environment."""
    import numpy as np
    import torch
    from PIL import Image

    _declare_operators()
    from hpsv2.src.open_clip import CLIP, SimpleTokenizer, image_transform
    from hpsv2.src.open_clip import tokenizer as tokenizing

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "merges.txt.gz"
        file.write_bytes(gzip.compress("\n".join(["# merges", *MERGES]).encode()))
        tokenizing._tokenizer = SimpleTokenizer(str(file))
    ids = tokenizing.tokenize(list(PROMPTS))
    torch.manual_seed(0)
    model = CLIP(
        embed_dim=12,
        vision_cfg={"image_size": 56, "layers": 2, "width": 32, "head_width": 8, "patch_size": 14},
        text_cfg={"context_length": 77, "vocab_size": tokenizing._tokenizer.vocab_size, "width": 24, "heads": 3, "layers": 2},
        output_dict=True,
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    preprocess = image_transform(56, is_train=False, resize_longest_max=True)
    rng = np.random.default_rng(0)
    pictures = [_picture(rng, *shape) for shape in SHAPES]
    pixels = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
    with torch.no_grad():
        said = model(pixels, ids[:1].expand(len(pixels), -1))
        texts = model.encode_text(ids, normalize=True)
    arrays = {f"weights/{name}": value.numpy() for name, value in model.state_dict().items()}
    arrays |= {f"picture/{i}": picture for i, picture in enumerate(pictures)}
    arrays |= {"pixels": pixels.numpy(), "ids": ids.numpy(), "prompts": np.array(PROMPTS), "merges": np.array(MERGES)}
    arrays |= {"image_features": said["image_features"].numpy(), "text_features": texts.numpy()}
    arrays["scores"] = (said["image_features"] @ texts.T).numpy()
    OUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUT, **arrays)


def _picture(rng, height: int, width: int):
    """Smooth colours with some noise, (height, width, 3)."""
    import numpy as np

    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(9 * x + 4 * y), np.cos(7 * y - x), np.sin(23 * x * y)], -1) * 100 + 128
    return np.clip(waves + rng.normal(0, 20, waves.shape), 0, 255).astype(np.uint8)


def _declare_operators() -> None:
    """A torchvision for CUDA beside a torch for the CPU lacks its compiled operators, none of which is used here."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    sys.modules[__name__].library = library


if __name__ == "__main__":
    inside() if "--inside" in sys.argv else main()
