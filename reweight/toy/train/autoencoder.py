"""Trains the embedded models' AutoencoderKL: 128x128x3 pictures to 16x16x8 latents, channels sorted by smoothness."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from . import checkpoint
from .replay import Gradient

CROP, CROP_SHARE = 64, 0.45
BATCH = {"cpu": (16, 6), "cuda": (192, 64)}  # of crops, of whole pictures
FINEST = 0.4
SHARPENED = "vae-sharpened"  # in the work folder, whose latents are those of "vae"
ANCHOR = 0.1  # weight of the squared distance from the original latents during sharpening
KEPT = 3  # weight of keeping the decoding of latents drawn by the U-Net
EQUIVARIANCE = 0.5  # weight of decoding downscaled latents to downscaled pictures, which keeps latents smooth


def new_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=8, layers_per_block=1, norm_num_groups=16, sample_size=128,
        block_out_channels=(32, 32, 64, 64), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, mid_block_add_attention=False, scaling_factor=1.0,
    )  # fmt: skip


def shipped(work: Path) -> Path:
    """The folder of the autoencoder that is exported."""
    return work / SHARPENED if (work / SHARPENED).is_dir() else work / "vae"


def to_tensor(pictures: np.ndarray | torch.Tensor, device: str) -> torch.Tensor:
    """uint8 (n, h, w, 3) to float (n, 3, h, w) in [-1, 1]."""
    if isinstance(pictures, np.ndarray):
        pictures = torch.from_numpy(np.ascontiguousarray(pictures))
    return (pictures.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()


def _slopes(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def reconstruction_loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """L1 + half the squared error + L1 of the gradients, for pictures in [-1, 1]."""
    slopes = sum(F.l1_loss(a, b) for a, b in zip(_slopes(x), _slopes(y), strict=True))
    return F.l1_loss(x, y) + 0.5 * F.mse_loss(x, y) + slopes


@torch.no_grad()
def psnr(vae: AutoencoderKL, pictures: np.ndarray, device: str) -> float:
    """Mean peak signal-to-noise ratio in dB of decode(encode(picture)) over (n, 128, 128, 3) uint8."""
    values = []
    for i in range(0, len(pictures), 16):
        x = to_tensor(pictures[i : i + 16], device)
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(-10 * torch.log10(((x - y) / 2).square().mean((1, 2, 3))))
    return torch.cat(values).mean().item()


@torch.no_grad()
def order(vae: AutoencoderKL, pictures: np.ndarray, device: str) -> None:
    """Fold a change of basis into quant_conv and post_quant_conv: uncorrelated channels, sorted from smooth to fine.

    The directions solve the generalised eigenproblem of the low-pass covariance against the full one; a channel's
    standard deviation is the root of its smooth share, relative to the smoothest channel's and at least FINEST. Noise
    then hides fine structure before coarse structure, as in natural images, so that shapes are decided first.
    """
    latents = torch.cat(
        [vae.encode(to_tensor(pictures[i : i + 32], device)).latent_dist.mode() for i in range(0, len(pictures), 32)]
    )
    smooth = F.avg_pool2d(latents, 4)
    flat, low = (x.permute(1, 0, 2, 3).flatten(1).double() for x in (latents, smooth))  # (channels, n)
    mean = flat.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(torch.cov(flat))
    white = torch.diag(values.clamp_min(1e-6).rsqrt()) @ vectors.T
    share, turn = torch.linalg.eigh(torch.cov(white @ low))
    share, turn = share.flip(0), turn.flip(1)
    scale = (share / share[0]).clamp_min(0).sqrt().clamp_min(FINEST)
    forth = torch.diag(scale) @ turn.T @ white
    back = torch.linalg.inv(forth)
    c = len(mean)
    encode, decode = vae.quant_conv, vae.post_quant_conv
    weight, bias = encode.weight[:c, :, 0, 0].double(), encode.bias[:c].double()
    encode.weight[:c] = (forth @ weight)[..., None, None].to(encode.weight)
    encode.bias[:c] = (forth @ (bias - mean[:, 0])).to(encode.bias)
    encode.weight[c:] = 0
    encode.bias[c:] = -9.0
    weight = decode.weight[..., 0, 0].double()
    decode.bias += (weight @ mean[:, 0]).to(decode.bias)
    decode.weight.copy_((weight @ back)[..., None, None])


def crops(pictures: torch.Tensor, n: int, side: int) -> torch.Tensor:
    """n random square crops, uint8 (n, side, side, 3), of random pictures (k, h, w, 3), on their device."""
    device, (k, height, width) = pictures.device, pictures.shape[:3]
    rows, y, x = (torch.randint(most, (n,), device=device) for most in (k, height - side + 1, width - side + 1))
    along = torch.arange(side, device=device)
    return pictures[rows[:, None, None], (y[:, None] + along)[:, :, None], (x[:, None] + along)[:, None, :]]


def autoencoder_loss(vae: AutoencoderKL, x: torch.Tensor) -> torch.Tensor:
    """The loss on pictures (n, 3, h, w): reconstruction, a small KL term, and decoding of downscaled latents.

    Half of the latents are downscaled by 2, and a quarter by 4.
    """
    posterior = vae.encode(x).latent_dist
    z = posterior.sample()
    kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
    loss = reconstruction_loss(x, vae.decode(z).sample.float()) + 1e-4 * kl
    n = len(x)
    for factor, rows, share in ((2, slice(n // 2), 0.7), (4, slice(n - max(1, n // 4), n), 0.3)):
        small = vae.decode(F.avg_pool2d(z[rows], factor)).sample.float()
        loss = loss + EQUIVARIANCE * share * reconstruction_loss(F.avg_pool2d(x[rows], factor), small)
    return loss


def train_autoencoder(
    work: Path, pictures: np.ndarray, *, minutes: float, device: str, seed: int, on_progress
) -> AutoencoderKL:
    """Train for `minutes` in total, including earlier runs, with checkpoints every two minutes in `work`; returns the
    autoencoder after `order`."""
    torch.manual_seed(seed)
    vae = new_autoencoder().to(device)
    average = copy.deepcopy(vae).requires_grad_(False)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=1e-3, fused=True)
    training = checkpoint.Training(
        work / "autoencoder.pt", optimizer, minutes=minutes, every=120, model=vae, average=average
    )
    torch.manual_seed(seed * 1_000_003 + training.step)
    held, known = pictures[-256:], torch.from_numpy(pictures[:-256]).to(device)

    def loss(n: int, side: int) -> torch.Tensor:
        x = to_tensor(crops(known, n, side), device)
        with torch.autocast(device, torch.bfloat16):
            return autoencoder_loss(vae, x)

    many, few = BATCH[device]
    of_crops = Gradient(lambda: loss(many, CROP), optimizer, device)
    of_pictures = Gradient(lambda: loss(few, pictures.shape[1]), optimizer, device)
    for step in training:
        value = of_crops() if training.fraction < CROP_SHARE else of_pictures()
        training.move()
        training.average("average", 0.998)
        if step % 100 == 0:
            on_progress("autoencoder", training.fraction, f"step {step}, loss {value.item():.4f}")
        if training.due:
            training.save()
            text = f"step {step}, PSNR {psnr(average, held[:64], device):.2f} dB"
            on_progress("autoencoder", training.fraction, text)
    order(average, pictures[:2048], device)
    return average


def sharpening_loss(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """The mean log error (that is, PSNR) of pictures x decoded as y, plus reconstruction loss and distance of z from `before`."""
    errors = (x - y).square().mean((1, 2, 3))
    return errors.log().mean() + reconstruction_loss(x, y) + ANCHOR * F.mse_loss(z, before)


def sharpen(
    work: Path, vae: AutoencoderKL, pictures: np.ndarray, latents: np.ndarray, drawn: np.ndarray, *, minutes: float,
    device: str, seed: int, on_progress,
) -> AutoencoderKL:  # fmt: skip
    """A copy of vae, trained further for `minutes` in total: sharper, but compatible with the U-Net trained with vae.

    latents: (n, 8, 16, 16) of the first n pictures, which the new latents stay close to. drawn: (k, 8, 16, 16), latents
    drawn by the U-Net, a sixth of every batch, whose decoding is kept. The loss is PSNR, without downscaled latents.
    """
    vae = vae.to(device).requires_grad_(False)
    model, average = copy.deepcopy(vae).requires_grad_(True), copy.deepcopy(vae)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-3, fused=True)
    training = checkpoint.Training(
        work / "sharpened.pt", optimizer, minutes=minutes, every=120, hold=0.3, model=model, average=average
    )
    torch.manual_seed(seed * 1_000_003 + training.step)
    count = min(len(latents), len(pictures) - 256)
    known, coded, fixed = (torch.from_numpy(array).to(device) for array in (pictures[:count], latents[:count], drawn))
    some = BATCH[device][1] // 6

    def loss() -> torch.Tensor:
        rows = torch.randint(count, (5 * some,), device=device)
        others = fixed[torch.randint(len(fixed), (some,), device=device)].float()
        x = to_tensor(known[rows], device)
        with torch.autocast(device, torch.bfloat16):
            with torch.no_grad():
                shown = vae.decode(others).sample.float()
            z = model.encode(x).latent_dist.mode()
            y, again = model.decode(torch.cat([z, others.to(z)])).sample.float().split([5 * some, some])
        return sharpening_loss(x, y, z.float(), coded[rows].float()) + KEPT * reconstruction_loss(shown, again)

    gradient = Gradient(loss, optimizer, device)
    for step in training:
        value = gradient()
        training.move()
        training.average("average", 0.998)
        if step % 100 == 0:
            on_progress("sharper", training.fraction, f"step {step}, loss {value.item():.4f}")
        if training.due:
            training.save()
            text = f"step {step}, PSNR {psnr(average, pictures[-256:][:64], device):.2f} dB"
            on_progress("sharper", training.fraction, text)
    return average
