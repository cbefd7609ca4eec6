"""Shows which Transformer block of a diffusion U-Net matters at which denoising step, and what re-weighting does.

The names here are the public API; they are imported on first use.
"""

import os
from importlib import import_module
from typing import Any

os.environ.setdefault("DIFFUSERS_DISABLE_REMOTE_CODE", "1")  # diffusers reads it once, when it is imported

__version__ = "0.1.0"

_HOMES = {
    "load": "models.loading",
    "probe": "probing.importance_probe",
    "iter_probe": "probing.importance_probe",
    "ProbeRequest": "probing.probe_request",
    "sensitivity": "probing.ablation",
    "agreement": "probing.ablation",
    "proposition_1": "probing.proposition",
    "tune": "tuning.loop",
    "iter_tune": "tuning.loop",
    "WeightTable": "weight_table",
    "reweighted": "patching.patch",
    "bypassed": "patching.patch",
    "captured": "patching.patch",
    "freeu": "methods.freeu",
    "FreeU": "methods.freeu",
    "ImportanceTable": "schedule",
    "empirical": "schedule",
    "static": "schedule",
    "target_blocks": "patching.blocks",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
