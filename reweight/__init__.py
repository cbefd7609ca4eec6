"""See which Transformer block of a diffusion U-Net matters at which denoising step, and what re-weighting does.

The names here are the public API; they are imported when first used.
"""

import os
from importlib import import_module
from typing import Any

os.environ.setdefault("DIFFUSERS_DISABLE_REMOTE_CODE", "1")  # diffusers reads it once, when it is imported

__version__ = "0.1.0"

_HOMES = {
    "load": "models",
    "probe": "importance",
    "iter_probe": "importance",
    "sensitivity": "direct",
    "agreement": "direct",
    "proposition_1": "proposition",
    "reweighted": "patch",
    "bypassed": "patch",
    "captured": "patch",
    "freeu": "methods",
    "FreeU": "methods",
    "ImportanceTable": "schedule",
    "empirical": "schedule",
    "static": "schedule",
    "target_blocks": "blocks",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
