import pytest
import tiny
import torch

from reweight.patching.blocks import target_blocks
from reweight.patching.insides import Attention, inside


@pytest.mark.parametrize("build", [tiny.build_sd_unet, tiny.build_sdxl_unet])
@torch.no_grad()
def test_the_parts_are_in_the_order_in_which_they_run_and_take_what_they_say(build):
    unet = build()
    ran, widths = [], {}
    parts = [part for block in target_blocks(unet) for part in inside(unet, block)]
    for part in parts:

        def note(module, given, out, path=part.path):
            ran.append(path)
            widths[path] = (given[0].shape[1], (out[0] if isinstance(out, tuple) else out).shape[1])

        unet.get_submodule(part.path).register_forward_hook(note)
    generator = torch.Generator().manual_seed(1)
    text = torch.randn(1, 5, unet.config.cross_attention_dim, generator=generator)
    more = {"text_embeds": torch.zeros(1, 16), "time_ids": torch.zeros(1, 6)}
    unet(torch.randn(1, 4, 16, 16, generator=generator), torch.tensor(500), text, added_cond_kwargs=more)
    assert ran == [part.path for part in parts]
    assert widths == {part.path: part.channels for part in parts}


def test_a_decoder_blocks_resnets_take_skips_and_its_transformers_the_text():
    unet = tiny.build_sd_unet()
    *_, last = target_blocks(unet)
    parts = inside(unet, last)
    resnets, transformers = ([part for part in parts if part.kind == kind] for kind in ("resnet", "transformer"))
    assert [part.channels for part in resnets] == [(24, 8), (16, 8), (16, 8)] and [part.skip for part in resnets] == [
        8,
        8,
        8,
    ]
    assert transformers[0].attention == Attention(2, 4, 8) and transformers[0].text == Attention(2, 4, 16)
    assert (transformers[0].layers, transformers[0].hidden) == (1, 32)
    assert parts[0].parameters == sum(p.numel() for p in unet.get_submodule("up_blocks.3.resnets.0").parameters())
