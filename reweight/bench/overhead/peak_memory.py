"""The peak memory of a function, in addition to what was used before."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable
from itertools import accumulate
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


def tensors_peak(work: Callable[[], Any], device: str) -> float:
    """The most MB that tensors of `work()` take at once, beyond those there were; on a CPU by torch's profiler.

    Unlike the resident memory it does not depend on what the allocator kept of earlier work.
    """
    if device == "cuda":
        return peak(work, device)[1] or 0.0
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it logs every start and stop
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiled:
        work()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return max(accumulate((size for _, size in changes), initial=0)) / 1e6


def _resident(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise ValueError(f"This system does not say {name}.")
    return int(found[1]) * 1024 / 1e6
