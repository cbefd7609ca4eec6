"""Chooses a pipeline's dtype, and places it on a device: as a whole, or each component only while it is used."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

WORK = 2.5e9  # bytes that drawing needs on a GPU in addition to the weights


def usual_dtype(device: str, downloaded: bool) -> torch.dtype:
    """The default dtype: float16 on CUDA; bfloat16, which halves the memory, for downloaded models on a CPU that
    multiplies in it; else float32."""
    if device.startswith("cuda"):
        return torch.float16
    return torch.bfloat16 if downloaded and device == "cpu" and multiplies_in_bfloat16() else torch.float32


def multiplies_in_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions."""
    supported = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(known() for known in supported if known is not None)


def place(pipe: Any, device: str) -> Any:
    """Move a pipeline to its device; if the memory is too small, each component is moved there only while it is used."""
    if not device.startswith("cuda") or weight_bytes(pipe) + WORK < free_on(device):
        return pipe.to(device)
    pipe.enable_model_cpu_offload(device=device)
    return pipe


def weight_bytes(pipe: Any) -> int:
    """Bytes of a pipeline's weights."""
    networks = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    return sum(weight.numel() * weight.element_size() for network in networks for weight in network.parameters())


def free_on(device: str) -> float:
    """Free bytes on a GPU."""
    return torch.cuda.mem_get_info(device)[0]
