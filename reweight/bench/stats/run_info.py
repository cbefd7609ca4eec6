"""Provenance of a benchmark's figures, written at the top of every JSON file."""

from __future__ import annotations

from typing import Any

import torch

from ...engine.provenance import current_versions
from ...models.loading import LoadedModel
from ..overhead.time_estimates import device_name


def run_info(kind: str, loaded: LoadedModel, **settings: Any) -> dict[str, Any]:
    """The kind of file, the model and its revision, the machine, the settings and the versions."""
    return {
        "format": f"reweight-{kind}-1", "model": loaded.source, "revision": loaded.revision, "dtype": loaded.dtype,
        "device": device_name(loaded.device), "threads": torch.get_num_threads(), **settings,
        "versions": current_versions(),
    }  # fmt: skip
