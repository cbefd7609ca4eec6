"""HPS v2 computed by the hpsv2 package (requirements-hps.txt), to reproduce its exact numbers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
from PIL import Image

from .scorer import check_lengths


class HPSPackage:
    """The hpsv2 package as a scorer: mixed precision on a GPU; it reads its checkpoint again for every prompt.

    version: "v2.0" or "v2.1". ValueError of one sentence if the package is not installed or cannot be imported.
    """

    name = "hpsv2 package"

    def __init__(self, version: str = "v2.0") -> None:
        self._version = version
        found = _installed()
        if found is None:
            raise ValueError(
                "The hpsv2 package is not installed: pip install -r requirements-hps.txt, or choose --scorer hps."
            )
        self.version = f"{version} ({found})"
        try:
            import hpsv2
        except Exception as error:
            raise ValueError(
                f"The installed {found} cannot be imported ({type(error).__name__}): it needs a torchvision that fits "
                "torch; or choose --scorer hps."
            ) from error
        self._package = hpsv2

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> np.ndarray:
        """The package's score of each picture with its prompt, (n,)."""
        check_lengths(images, prompts)
        scores = np.empty(len(images), np.float32)
        for prompt in dict.fromkeys(prompts):
            rows = [i for i, other in enumerate(prompts) if other == prompt]
            try:
                scores[rows] = self._package.score([images[i] for i in rows], prompt, hps_version=self._version)
            except FileNotFoundError as error:
                raise ValueError(
                    "The installed hpsv2 lacks its vocabulary file, as its release 1.2.0 does: install hpsv2x."
                ) from error
            except OSError as error:
                raise ValueError("The hpsv2 package cannot download its weights: give it a network once.") from error
        return scores


def _installed() -> str | None:
    for name in ("hpsv2x", "hpsv2"):
        try:
            return f"{name} {distribution(name).version}"
        except PackageNotFoundError:
            continue
    return None
