"""Seeds of the random-order control: new orders for every prompt and noise, so that intervals include their variance.

A single fixed permutation would be just another ranking; the control is the average over many.
"""

from __future__ import annotations

import hashlib

DRAWS = 4  # orders for each prompt and noise; their mean is used in the paired difference


def order_seed(prompt: str, seed: int, draw: int) -> int:
    """The 128-bit seed of an order, determined by the prompt, the seed of the noise and the draw (0, 1, …)."""
    digest = hashlib.sha256(f"{seed}\0{draw}\0{prompt}".encode()).digest()
    return int.from_bytes(digest[:16], "big")
