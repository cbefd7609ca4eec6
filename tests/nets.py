"""What tests of patches do with a U-Net: call it, draw with its pipeline, and look for what is left behind."""

import torch


def draw(pipe, steps=2, guidance=3.0, seed=0, **kwargs):
    arguments = dict(
        prompt="a red apple on table",
        negative_prompt="low quality" if guidance > 1 else None,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
    )
    return pipe(**(arguments | kwargs))[0]


def inputs(unet, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    sample = torch.randn(batch, 4, side, side, generator=generator).to(dtype)
    text = torch.randn(batch, 5, width, generator=generator).to(dtype)
    return sample, torch.tensor(500), text


@torch.no_grad()
def predict(unet, *arguments):
    return unet(*(arguments or inputs(unet)), return_dict=False)[0]


def traces(unet):
    """Everything that a context could leave behind in a U-Net."""
    return {
        name: (len(module._forward_hooks), len(module._forward_pre_hooks), sorted(vars(module)))
        for name, module in unet.named_modules()
    }
