"""One context manager for each peer method, one file each."""

from .freeu import PRESETS, FreeU, freeu

__all__ = ["PRESETS", "FreeU", "freeu"]
