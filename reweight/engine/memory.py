"""How much memory is free, how much a model needs, and whether another one fits."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import torch

from ..models.placing import weight_bytes

MARGIN = 1.2  # times a model's own size are needed while it loads


def free_memory(device: str) -> float:
    """Free bytes on a device; infinite if unknown."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("inf")
    found = (float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min(next(found, float("inf")), _of_container())


def size_of(pipe: Any) -> int:
    """Bytes of a pipeline's weights."""
    return weight_bytes(pipe)


def size_on_disk(name: str) -> int:
    """Bytes of the weight files in a folder; 0 if name is not a folder."""
    try:
        return sum(path.stat().st_size for path in Path(name).glob("*/*.safetensors"))
    except (OSError, ValueError):
        return 0


def fits(size: float, before: list[Any], device: str, half: bool) -> bool:
    """Whether a model fits into memory beside pipelines that are loaded already.

    size: bytes of its files in half precision; 0 if unknown, then the size of the largest of `before` is assumed.
    half: whether it will be loaded in half precision.
    """
    known = size * (1 if half else 2)
    need = known or max(map(size_of, before), default=0)
    return free_memory(device) >= MARGIN * need


def collect() -> None:
    """Free memory that is no longer referenced."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _of_container() -> float:
    """Free bytes within the container's memory limit."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="utf-8"))
        return float("inf") if limit == "max" else float(int(limit) - used)
    except (OSError, ValueError):
        return float("inf")
