"""Copies of a pipeline that share its weights, so that one can draw while another is paused in a drawing."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn


def copy_of(pipe: Any) -> Any:
    """A pipeline with the same weights but its own modules and scheduler, so that hooks on one leave the other alone.
    It takes a few megabytes at most. The pipeline must be unpatched."""
    networks = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    shared = {id(one): one for part in networks.values() for one in (*part.parameters(), *part.buffers())}
    other = copy.copy(pipe)
    for name, part in networks.items():
        setattr(other, name, copy.deepcopy(part, shared))
    other.scheduler = copy.deepcopy(pipe.scheduler)
    return other
