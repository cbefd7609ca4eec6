"""Further copies of a pipeline that share its weights: one can be in the midst of a drawing while another draws."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn


def copy_of(pipe: Any) -> Any:
    """A pipeline with networks and a scheduler of its own, and the same weights: what a method does to one, the other
    does not see. A few megabytes at most. The pipeline must be unpatched."""
    networks = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    shared = {id(one): one for part in networks.values() for one in (*part.parameters(), *part.buffers())}
    other = copy.copy(pipe)
    for name, part in networks.items():
        setattr(other, name, copy.deepcopy(part, shared))
    other.scheduler = copy.deepcopy(pipe.scheduler)
    return other
