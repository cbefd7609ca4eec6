"""Counts floating-point operations with torch's FlopCounterMode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def flops(work: Callable[[], Any]) -> int:
    """FLOPs of matrix products, convolutions and attention, including the CPU's fused attention, which torch omits."""
    with FlopCounterMode(display=False, custom_mapping={ATTENTION: _attention}) as counter:
        work()
    return counter.get_total_flops()


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """FLOPs of attention; the counter passes shapes instead of tensors."""
    return sdpa_flop_count(query, key, value)
