import pytest
import tiny
from diffusers import UNet2DConditionModel, UNet2DModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel

from reweight.patching.blocks import as_unet, concatenations, target_blocks


def test_stable_diffusion_has_seven_blocks_in_execution_order():
    blocks = target_blocks(tiny.build_sd_unet())
    assert [(b.label, b.name, b.stage, b.level, len(b.transformers)) for b in blocks] == [
        ("0", "down_blocks.0", "down", 0, 2),
        ("1", "down_blocks.1", "down", 1, 2),
        ("2", "down_blocks.2", "down", 2, 2),
        ("3", "mid_block", "mid", 3, 1),
        ("4", "up_blocks.1", "up", 2, 3),
        ("5", "up_blocks.2", "up", 1, 3),
        ("6", "up_blocks.3", "up", 0, 3),
    ]
    assert [b.index for b in blocks] == list(range(7))


def test_sdxl_has_five_blocks_numbered_from_one():
    blocks = target_blocks(tiny.build_sdxl_unet())
    assert [(b.label, b.name, b.level, len(b.transformers)) for b in blocks] == [
        ("1", "down_blocks.1", 1, 2),
        ("2", "down_blocks.2", 2, 2),
        ("3", "mid_block", 2, 1),
        ("4", "up_blocks.0", 2, 3),
        ("5", "up_blocks.1", 1, 3),
    ]


@pytest.mark.parametrize("build", [tiny.build_sd_unet, tiny.build_sdxl_unet])
def test_blocks_hold_every_transformer_once_and_run_in_order(build):
    unet = build()
    paths = [path for block in target_blocks(unet) for path in block.transformers]
    assert sorted(paths) == sorted(n for n, module in unet.named_modules() if isinstance(module, Transformer2DModel))


def test_a_mid_block_without_attention_is_no_target():
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        mid_block_type=None,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        norm_num_groups=4,
    )
    assert [b.name for b in target_blocks(unet)] == ["down_blocks.0", "up_blocks.1"]
    with pytest.raises(ValueError, match="no mid block"):
        concatenations(unet)


def test_a_unet_without_transformers_is_refused_in_one_sentence():
    unet = UNet2DModel(
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=4,
    )
    with pytest.raises(ValueError, match=r"^[^\n]*no Transformer blocks[^\n]*\.$"):
        target_blocks(unet)


def test_as_unet(sd_pipe):
    assert as_unet(sd_pipe) is sd_pipe.unet
    assert as_unet(sd_pipe.unet) is sd_pipe.unet
    for wrong in (sd_pipe.vae, None, "sd-turbo", object()):
        with pytest.raises(ValueError, match="has no U-Net"):
            as_unet(wrong)


@pytest.mark.parametrize("build", [tiny.build_sd_unet, tiny.build_sdxl_unet])
def test_concatenations_know_the_width_of_h(build):
    unet = build()
    places = concatenations(unet)
    skips = [unet.conv_in.out_channels]
    for stage in unet.down_blocks:
        skips += [resnet.out_channels for resnet in stage.resnets]
        skips += [sampler.out_channels for sampler in stage.downsamplers or ()]
    widths = [unet.get_submodule(place.path).in_channels - place.h_channels for place in places]
    assert widths == skips[::-1]
