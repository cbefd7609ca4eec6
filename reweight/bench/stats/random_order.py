"""The random-order control, drawn anew for every prompt and noise, so that its intervals hold the variance of the order.

One fixed permutation is one arbitrary ranking of its own; the control is the average over many.
"""

from __future__ import annotations

import hashlib

DRAWS = 4  # orders for each prompt and noise; their mean enters the paired difference


def order_seed(prompt: str, seed: int, draw: int) -> int:
    """The seed of one order, 128 bits, the same for the same prompt, seed of the noise and draw (0, 1, …)."""
    digest = hashlib.sha256(f"{seed}\0{draw}\0{prompt}".encode()).digest()
    return int.from_bytes(digest[:16], "big")
