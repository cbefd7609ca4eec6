"""Apple's GPUs have no float64: nothing within a U-Net may make one, whatever the method."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from reweight.engine.drawing import applied
from reweight.methods import METHODS
from reweight.methods.base import Drawing
from reweight.probing.ablation import sensitivity

HANDED_ON = {
    getattr(torch.ops.aten, name) for name in ("_to_copy", "to", "detach", "select", "slice", "index", "lift_fresh")
}


class NoDoubles(TorchDispatchMode):
    """Remembers what computes with a float64 tensor while the U-Net works; weights wait on the CPU in that."""

    def __init__(self, unet: torch.nn.Module) -> None:
        super().__init__()
        self.inside, self.found = 0, set()
        unet.register_forward_pre_hook(lambda *_: setattr(self, "inside", self.inside + 1))
        unet.register_forward_hook(lambda *_: setattr(self, "inside", self.inside - 1))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [
            one for one in (*args, *(made if isinstance(made, (tuple, list)) else (made,))) if torch.is_tensor(one)
        ]
        if self.inside and any(one.dtype == torch.float64 for one in tensors) and func.overloadpacket not in HANDED_ON:
            self.found.add(str(func))
        return made


@pytest.mark.parametrize("key", list(METHODS))
def test_a_method_makes_no_float64_within_the_unet(sd_pipe, key):
    method = METHODS[key]
    drawing = Drawing(3, 2.0, "sd15", weights=np.full((3, 7), 0.9))
    chosen = method.settings_for("sd15")
    settings = {key: replace(chosen, scope="within") if key == "at-edm" else chosen}  # its blocks have one layer each
    doubles = NoDoubles(sd_pipe.unet)
    with doubles, applied(sd_pipe, key, settings, drawing):
        sd_pipe("red cat", num_inference_steps=3, guidance_scale=2.0, height=32, width=32, output_type="latent")
    assert doubles.found == set()


def test_measuring_makes_none_either(sd_pipe):
    doubles = NoDoubles(sd_pipe.unet)
    with doubles:
        sensitivity(sd_pipe, "red cat", steps=1, guidance_scale=0.0, height=32, width=32)
    assert doubles.found == set()
