"""The peak memory of a function, in addition to what was used before."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(work: Callable[[], Any], device: str) -> tuple[Any, float | None]:
    """The result of `work()`, and its peak in MB: allocated on a GPU, resident on Linux, None elsewhere."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = work()
        return result, (torch.cuda.max_memory_allocated() - before) / 1e6
    gc.collect()
    try:
        CLEAR.write_text("5", encoding="utf-8")  # resets the high-water mark
        before = _resident("VmRSS")
    except (OSError, ValueError):
        return work(), None
    result = work()
    return result, max(0.0, _resident("VmHWM") - before)


def _resident(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise ValueError(f"This system does not say {name}.")
    return int(found[1]) * 1024 / 1e6
