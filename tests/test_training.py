"""Training, for seconds: every stage runs, resumes after a kill, and exports a folder that plain diffusers opens."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reweight.models import load_model
from reweight.toy import build, checkpoint, distill
from reweight.toy.autoencoder import FINEST, new_autoencoder, order, psnr, to_tensor
from reweight.toy.dataset import scene_at
from reweight.toy.denoiser import new_scheduler, new_unet, train_unet, v_loss
from reweight.toy.text import new_text_encoder, train_text_encoder
from reweight.toy.tokenizer import build_tokenizer


def quiet(*_):
    pass


def test_ordering_leaves_the_pictures_and_goes_from_smooth_to_fine():
    torch.manual_seed(0)
    vae = new_autoencoder().eval()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 160, (24, 128, 128, 3)) + rng.integers(0, 96, (24, 4, 4, 3)).repeat(32, 1).repeat(32, 2)
    pictures = pictures.astype(np.uint8)
    with torch.no_grad():
        before = vae.decode(vae.encode(to_tensor(pictures[:2], "cpu")).latent_dist.mode()).sample
        order(vae, pictures, "cpu")
        after = vae.decode(vae.encode(to_tensor(pictures[:2], "cpu")).latent_dist.mode()).sample
        latents = vae.encode(to_tensor(pictures, "cpu")).latent_dist.mode()
    assert torch.allclose(before, after, atol=2e-3)
    covariance = torch.cov(latents.permute(1, 0, 2, 3).flatten(1))
    spread = covariance.diagonal().sqrt()
    assert torch.allclose(covariance, torch.diag(spread**2), atol=0.02)
    assert spread[0] == pytest.approx(1, abs=0.01) and spread.min() > FINEST - 0.01
    assert (spread.diff() < 0.01).all() and spread[-1] < 0.9
    smooth = torch.nn.functional.avg_pool2d(latents, 4).permute(1, 0, 2, 3).flatten(1).std(1) / spread
    assert (smooth.diff() < 0.01).all()
    assert psnr(vae, pictures[:4], "cpu") > 0


def test_velocity_loss_is_zero_for_the_true_velocity():
    scheduler, x, t = new_scheduler(), torch.randn(3, 8, 16, 16), torch.tensor([10, 500, 999])
    noise = torch.randn_like(x)

    def oracle(noisy, timesteps, states, return_dict):
        a = scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return ((a.sqrt() * noise - (1 - a).sqrt() * x),)

    assert v_loss(oracle, scheduler, x, None, t, noise) < 1e-10


def test_the_terminal_step_is_pure_noise():
    assert new_scheduler().alphas_cumprod[-1] < 1e-12


def test_the_unet_has_seven_target_blocks():
    from reweight import target_blocks

    assert [block.label for block in target_blocks(new_unet())] == list("0123456")


def test_a_step_of_training_moves_every_weight(tmp_path):
    tokenizer = build_tokenizer()
    encoder, start = new_text_encoder(tokenizer), new_unet()
    scenes = [scene_at(1, i) for i in range(600)]
    latents = np.random.default_rng(0).standard_normal((600, 8, 16, 16)).astype(np.float16)
    train_unet(
        tmp_path,
        latents,
        scenes,
        tokenizer,
        encoder,
        minutes=0.001,
        device="cpu",
        seed=0,
        on_progress=quiet,
        start=start,
    )
    trained = checkpoint.load(tmp_path / "unet.pt")["model"]
    assert [name for name, weight in start.state_dict().items() if torch.equal(weight, trained[name])] == []


def test_every_stage_trains_resumes_and_exports(tmp_path):
    work, tokenizer = tmp_path / "work", build_tokenizer()
    work.mkdir()
    tokenizer.save_pretrained(work / "tokenizer")
    encoder = train_text_encoder(work, tokenizer, minutes=0.02, device="cpu", seed=0, on_progress=quiet)
    encoder.save_pretrained(work / "text_encoder")
    new_autoencoder().save_pretrained(work / "vae")
    scenes = [scene_at(1, i) for i in range(600)]
    latents = np.random.default_rng(0).standard_normal((600, 8, 16, 16)).astype(np.float16)
    options = {"device": "cpu", "seed": 0, "on_progress": quiet}
    train_unet(work, latents, scenes, tokenizer, encoder, minutes=0.01, **options)
    first = checkpoint.load(work / "unet.pt")
    train_unet(work, latents, scenes, tokenizer, encoder, minutes=first["spent"] / 60 + 0.01, **options)
    second = checkpoint.load(work / "unet.pt")
    assert second["step"] > first["step"] >= 1 and second["spent"] > first["spent"]

    folder = tmp_path / "model"
    build.export(work, folder)
    loaded = load_model(str(folder), local=True)
    assert loaded.pipe.unet.config.in_channels == 8
    assert set(json.loads((folder / "SHA256SUMS.json").read_text())) == {
        str(path.relative_to(folder)) for path in folder.rglob("*.safetensors")
    }


def test_the_trajectory_follows_the_scheduler():
    scheduler = new_scheduler()
    way, x, noise = distill.Trajectory(scheduler, "cpu"), torch.randn(3, 8, 16, 16), torch.randn(3, 8, 16, 16)
    t, later = torch.tensor([999, 499, 49]), torch.tensor([949, 449, -1])
    x_t, v = way.noised(x, noise, t), torch.randn_like(x)
    true_v = scheduler.get_velocity(x, noise, t)
    assert torch.allclose(x_t, scheduler.add_noise(x, noise, t), atol=1e-6)
    assert torch.allclose(way.clean(x_t, true_v, t), x, atol=1e-5)
    scheduler.set_timesteps(20)
    for i in range(3):
        ours = way.step(x_t, v, t, later)[i]
        theirs = scheduler.step(v[i], int(t[i]), x_t[i]).prev_sample
        if later[i] >= 0:
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_student_that_is_already_consistent_has_no_loss():
    scheduler = new_scheduler()
    way, x = distill.Trajectory(scheduler, "cpu"), torch.randn(4, 8, 16, 16)

    def oracle(x_t, t, states, return_dict):
        a, s = (root.view(-1, 1, 1, 1) for root in (way._a[t], way._s[t]))
        return ((a * x_t - x.repeat(len(t) // len(x), 1, 1, 1)) / s,)

    loss = distill.consistency_loss(
        oracle, oracle, oracle, way, x, torch.randn_like(x), torch.tensor([0, 3, 10, 19]), x, x
    )
    assert loss < 1e-6


def test_distillation_trains_and_resumes(tmp_path):
    tokenizer = build_tokenizer()
    encoder, teacher = new_text_encoder(tokenizer), new_unet()
    scenes = [scene_at(1, i) for i in range(600)]
    latents = np.random.default_rng(0).standard_normal((600, 8, 16, 16)).astype(np.float16)
    options = {"device": "cpu", "seed": 0, "on_progress": quiet}
    parts = (tmp_path, teacher, new_scheduler(), latents, scenes, tokenizer, encoder)
    distill.train_turbo(*parts, minutes=0.01, **options)
    first = checkpoint.load(tmp_path / "turbo.pt")
    distill.train_turbo(*parts, minutes=first["spent"] / 60 + 0.01, **options)
    assert checkpoint.load(tmp_path / "turbo.pt")["step"] > first["step"] >= 1


def test_the_learning_rate_warms_up_holds_and_falls():
    rates = [
        checkpoint.learning_rate(1.0, f, step) for f, step in ((0, 0), (0.1, 300), (0.5, 300), (0.75, 900), (1, 999))
    ]
    assert (
        rates[0] < 0.01 and rates[1] == 1 and rates[2] == 1 and 0.4 < rates[3] < 0.6 and rates[4] == pytest.approx(0.02)
    )


def test_plain_diffusers_opens_the_shipped_model_without_this_package(tmp_path):
    folder = Path(__file__).parent.parent / "assets" / "toy"
    code = (
        "import sys; from diffusers import StableDiffusionPipeline as P; import torch\n"
        f"pipe = P.from_pretrained({str(folder)!r}); pipe.set_progress_bar_config(disable=True)\n"
        "image = pipe('a red apple', num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]\n"
        "assert image.size == (128, 128) and not any(name.startswith('reweight') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
