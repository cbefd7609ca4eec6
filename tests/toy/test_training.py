"""Training, for seconds: every stage runs, resumes after a kill, and exports a folder that plain diffusers opens."""

import copy
import itertools
import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from reweight.models.folder import fingerprint, shaping_files
from reweight.models.loading import load_model
from reweight.models.registry import ASSETS
from reweight.toy import __main__ as commands
from reweight.toy.distill import consistency, endpoints, matching, trajectory
from reweight.toy.distill import student as distill
from reweight.toy.distill.critic import Critic
from reweight.toy.distill.matching import critic_loss
from reweight.toy.distill.trajectory import GRID, Trajectory
from reweight.toy.train import build, checkpoint, denoiser, training_examples
from reweight.toy.train.autoencoder import (
    ANCHOR,
    FINEST,
    SHARPENED,
    autoencoder_loss,
    crops,
    new_autoencoder,
    order,
    psnr,
    reconstruction_loss,
    sharpen,
    sharpening_loss,
    to_tensor,
    train_autoencoder,
)
from reweight.toy.train.denoiser import SHAPE, Denoiser, draw_timesteps, new_scheduler, new_unet, train_denoiser, v_loss
from reweight.toy.train.memmap import fill
from reweight.toy.train.replay import Gradient
from reweight.toy.train.saving import coarsen, write_folder
from reweight.toy.train.text import new_text_encoder, tokens, train_text_encoder
from reweight.toy.train.tokenizer import build_tokenizer
from reweight.toy.world.dataset import scene_at
from reweight.toy.world.scenes import parse


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


def test_crops_are_squares_of_the_pictures():
    torch.manual_seed(0)
    pictures = torch.arange(3 * 8 * 8).reshape(3, 8, 8, 1).expand(-1, -1, -1, 3)
    squares = crops(pictures, 40, 5)
    assert squares.shape == (40, 5, 5, 3)
    corners = squares[:, 0, 0, 0]
    assert len(corners.unique()) > 12 and set((corners // 64).tolist()) == {0, 1, 2}
    grown = corners[:, None, None] + 8 * torch.arange(5)[:, None] + torch.arange(5)
    assert torch.equal(squares[..., 0], grown)


def test_the_autoencoders_loss_reaches_every_weight():
    torch.manual_seed(0)
    vae = new_autoencoder()
    autoencoder_loss(vae, torch.rand(2, 3, 32, 32) * 2 - 1).backward()
    assert [name for name, weight in vae.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_two_trainings_from_a_seed_begin_with_the_same_autoencoder(tmp_path):
    pictures = np.zeros((300, 32, 32, 3), np.uint8)
    begun = []
    for name in "ab":
        (tmp_path / name).mkdir()
        vae = train_autoencoder(tmp_path / name, pictures, minutes=0, device="cpu", seed=5, on_progress=quiet)
        begun.append(vae.state_dict()["encoder.conv_in.weight"])
    assert torch.equal(*begun)


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
def test_a_gradient_is_that_of_the_loss_and_drawn_anew(device):
    torch.manual_seed(0)
    weight = torch.ones(5, device=device, requires_grad=True)
    drawn = torch.zeros(5, device=device)

    def loss():
        drawn.copy_(torch.rand(5, device=device))
        return (drawn * weight**2).sum()

    gradient, seen = Gradient(loss, torch.optim.SGD([weight], lr=0.1), device), []
    for value in (1.0, 1.0, 3.0):
        with torch.no_grad():
            weight.fill_(value)
        found = gradient().item()
        assert found == pytest.approx((drawn * value**2).sum().item(), rel=1e-5)
        assert torch.allclose(weight.grad, 2 * value * drawn)
        seen.append(weight.grad.tolist())
    assert seen[0] != seen[1]


def test_velocity_loss_is_zero_for_the_true_velocity():
    scheduler, x, t = new_scheduler(), torch.randn(3, 8, 16, 16), torch.tensor([10, 500, 999])
    noise = torch.randn_like(x)
    true = scheduler.get_velocity(x, noise, t)

    def oracle(noisy, timesteps, ids):
        assert torch.allclose(noisy, scheduler.add_noise(x, noise, t), atol=1e-6) and torch.equal(timesteps, t)
        return true

    assert v_loss(oracle, Trajectory(scheduler, "cpu"), x, None, t, noise) < 1e-10


def test_timesteps_cover_the_schedule_and_crowd_about_the_middle():
    torch.manual_seed(0)
    t = draw_timesteps(4000, "cpu")
    assert t.min() < 5 and t.max() > 994 and t.dtype == torch.long
    share = ((t >= 250) & (t < 750)).float().mean()
    assert 0.58 < share < 0.68  # half of them uniform, of the others 73%


def test_the_terminal_step_is_pure_noise():
    assert new_scheduler().alphas_cumprod[-1] < 1e-12


def test_the_unet_has_seven_target_blocks():
    from reweight import target_blocks

    assert [block.label for block in target_blocks(new_unet())] == list("0123456")


@pytest.fixture
def small(monkeypatch):
    """Batches of four, and few examples: what the steps do is the same."""
    monkeypatch.setitem(denoiser.BATCH, "cpu", 4)
    monkeypatch.setattr(training_examples, "HELD", 4)
    monkeypatch.setattr(distill, "JUDGED", 2)
    monkeypatch.setattr(training_examples, "VARIANTS", 2)


@pytest.fixture
def known(small, tmp_path):
    latents = np.random.default_rng(0).standard_normal((24, 8, 16, 16)).astype(np.float16)
    return training_examples.read_examples(tmp_path, latents, build_tokenizer(), seed=1, workers=1)


def narrow_unet():
    """The U-Net with fewer channels: what is trained, kept and shipped is soon done."""
    return UNet2DConditionModel.from_config(new_unet().config | {"block_out_channels": (32, 32, 64)})


OPTIONS = {"seed": 0, "on_progress": quiet}
BLINK = 2e-4  # minutes: one step, checkpoint included


def test_the_captions_of_the_examples_say_their_scenes(known, tmp_path, monkeypatch):
    tokenizer = build_tokenizer()
    for i, ids in enumerate(known.ids):
        scene = scene_at(1, i)
        for caption in tokenizer.batch_decode(ids, skip_special_tokens=True):
            said = parse(caption)
            assert [thing.subject for thing in said.things] == [thing.subject for thing in scene.things]
            assert said.setting in ("", scene.setting)
        assert (i in known.pairs) == (len(scene.things) == 2) == (i not in known.singles)
    assert not torch.equal(known.ids[:, 0], known.ids[:, 1])
    monkeypatch.setattr(training_examples, "CHUNK", 7)
    (tmp_path / "again").mkdir()
    again = training_examples.read_examples(tmp_path / "again", known.latents.numpy(), tokenizer, seed=1, workers=2)
    assert torch.equal(again.ids, known.ids)


def test_a_draw_gives_captions_of_its_latents_and_now_and_then_none(known):
    torch.manual_seed(0)
    learned, held = known.split()
    assert torch.equal(torch.cat([learned.latents, held.latents]), known.latents) and len(held.ids) == 4
    assert len(held.singles) + len(held.pairs) == 4 and max(*held.singles, *held.pairs) < 4
    for pairs, allowed in ((0.0, learned.singles), (1.0, learned.pairs)):
        latents, ids = learned.draw(300, pairs)
        blank = 0
        for x, caption in zip(latents, ids, strict=True):
            row = next(i for i, other in enumerate(learned.latents) if torch.equal(other.float(), x))
            assert row in allowed
            empty = torch.equal(caption, known.blank)
            assert empty or any(torch.equal(caption, variant) for variant in learned.ids[row])
            blank += empty
        assert 10 < blank < 60


def test_a_step_of_training_moves_every_weight(tmp_path, known):
    start = Denoiser(new_unet(), new_text_encoder(build_tokenizer()).requires_grad_(False))
    train_denoiser(tmp_path, known, start, minutes=BLINK, device="cpu", **OPTIONS)
    trained = checkpoint.load(tmp_path / "unet.pt")["model"]
    still = [name for name, weight in start.named_parameters() if torch.equal(weight, trained[name])]
    assert still == []


def resumes(path, train):
    """Trains for a blink, then on from the checkpoint for another."""
    train(BLINK)
    first = checkpoint.load(path)
    result = train(first["spent"] / 60 + BLINK)
    second = checkpoint.load(path)
    assert second["step"] > first["step"] >= 1 and second["spent"] > first["spent"]
    return result


def test_sharpening_wants_each_picture_sharper_and_the_latents_where_they_were():
    torch.manual_seed(0)
    x, z = torch.rand(2, 3, 16, 16) * 2 - 1, torch.randn(2, 8, 2, 2)
    near, far = (x + size * torch.randn_like(x) for size in (0.1, 0.2))
    at_home = sharpening_loss(x, near, z, z)
    assert sharpening_loss(x, far, z, z) > at_home
    assert sharpening_loss(x, near, z + 1, z) - at_home == pytest.approx(ANCHOR)
    errors = (x - near).square().mean((1, 2, 3)).log().mean()
    assert at_home == pytest.approx(float(errors + reconstruction_loss(x, near)), rel=1e-5)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """An untrained base model's work folder, with latents, and the model's own folder."""
    work = tmp_path_factory.mktemp("base") / "work"
    work.mkdir()
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(work / "tokenizer")
    new_text_encoder(tokenizer).save_pretrained(work / "text_encoder")
    new_autoencoder().save_pretrained(work / "vae")
    np.save(work / "latents.npy", np.random.default_rng(0).standard_normal((24, 8, 16, 16)).astype(np.float16))
    model = Denoiser(narrow_unet(), new_text_encoder(tokenizer))
    model.unet.save_config(work / SHAPE)
    checkpoint.save(work / "unet.pt", average=model.state_dict())
    build.export(work, work.parent / "toy")
    return work, work.parent / "toy"


def test_every_stage_trains_resumes_and_exports(tmp_path, known):
    work, tokenizer = tmp_path / "work", build_tokenizer()
    work.mkdir()
    tokenizer.save_pretrained(work / "tokenizer")

    def read(minutes):
        return train_text_encoder(work, tokenizer, minutes=minutes, device="cpu", **OPTIONS)

    start = Denoiser(narrow_unet(), resumes(work / "text.pt", read))
    vae, pictures = new_autoencoder(), np.random.default_rng(0).integers(0, 256, (260, 32, 32, 3), np.uint8)
    before = {name: weight.clone() for name, weight in vae.state_dict().items()}

    latents = known.latents[:4, :, :4, :4].numpy()

    def sharper(minutes):
        return sharpen(work, vae, pictures, latents, latents, minutes=minutes, device="cpu", **OPTIONS)

    trained = resumes(work / "sharpened.pt", sharper)
    assert all(torch.equal(weight, before[name]) for name, weight in vae.state_dict().items())
    moved = {name for name, weight in trained.state_dict().items() if not torch.equal(weight, before[name])}
    assert {"encoder.conv_in.weight", "decoder.conv_out.weight"} <= moved
    resumes(
        work / "unet.pt", lambda minutes: train_denoiser(work, known, start, minutes=minutes, device="cpu", **OPTIONS)
    )
    folder = tmp_path / "model"
    for there, name in (vae, "vae"), (trained, SHARPENED):
        there.save_pretrained(work / name)
        build.export(work, folder)
        shipped = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
        assert torch.equal(shipped["decoder.conv_out.weight"], there.decoder.conv_out.weight.half())
    loaded = load_model(str(folder), local=True)
    assert loaded.pipe.unet.config.in_channels == 8 and loaded.pipe.unet.config.block_out_channels == [32, 32, 64]
    assert set(json.loads((folder / "SHA256SUMS.json").read_text(encoding="utf-8"))) == {
        path.relative_to(folder).as_posix() for path in shaping_files(folder)
    }


@pytest.mark.slow
def test_everything_is_trained_in_order_and_what_is_there_stays(tmp_path, base, small, monkeypatch):
    work = Path(shutil.copytree(base[0], tmp_path / "work"))
    (work / "unet.pt").unlink()
    monkeypatch.setattr(build, "DRAWN", 2)
    latents = np.random.default_rng(0).standard_normal((280, 8, 16, 16)).astype(np.float16)
    for name, array in (("pictures", np.zeros((280, 128, 128, 3), np.uint8)), ("latents", latents)):
        np.save(work / f"{name}.npy", array)
        (work / f"{name}.done").write_text("280", encoding="utf-8")
    plan = build.Plan(280, *[BLINK] * 4, workers=1)
    with pytest.raises(ValueError, match=r"280 pictures are too few for training: give at least 2000\.$"):
        build.train(work, tmp_path / "none.tgz", plan, "cpu", quiet)
    monkeypatch.setattr(build, "FEWEST", 280)
    told = []
    build.train(work, tmp_path / "none.tgz", plan, "cpu", lambda *about: told.append(about))
    assert {"U-Net", "endpoints", "sharper"} == {stage for stage, *_ in told} and len(np.load(work / "drawn.npy")) == 2
    build.export(work, tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"), local=True)
    assert np.array_equal(distill.read_latents(work, loaded.pipe.vae), latents)
    before = (work / SHARPENED / "diffusion_pytorch_model.safetensors").stat().st_mtime_ns
    build.train(work, tmp_path / "none.tgz", plan, "cpu", quiet)
    assert (work / SHARPENED / "diffusion_pytorch_model.safetensors").stat().st_mtime_ns == before


def test_latents_are_the_autoencoders_own(tmp_path):
    vae, told = new_autoencoder().eval(), []
    vae.save_pretrained(tmp_path / "vae")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    latents = build.encode(tmp_path, pictures, "cpu", lambda *about: told.append(about))
    with torch.no_grad():
        own = vae.encode(to_tensor(pictures, "cpu")).latent_dist.mode()
    assert torch.allclose(torch.from_numpy(latents).float(), own, atol=0.02)
    (tmp_path / "vae" / "config.json").unlink()
    assert np.array_equal(build.encode(tmp_path, pictures, "cpu", quiet), latents) and told[-1][1] == 1


def test_what_is_made_part_by_part_goes_on_after_a_kill(tmp_path):
    rows = np.arange(20, dtype=np.float16).reshape(10, 2)

    def made(start):
        for i in range(start, 10, 3):
            if i == 6 and not start:
                raise KeyboardInterrupt
            yield rows[i : i + 3]

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "rows.npy", rows.shape, np.float16, made)
    assert (tmp_path / "rows.done").read_text(encoding="utf-8") == "6"
    for _ in range(2):
        assert np.array_equal(fill(tmp_path / "rows.npy", rows.shape, np.float16, made), rows)
    assert len(fill(tmp_path / "rows.npy", (4, 2), np.float16, made)) == 10
    for shape in ((11, 2), (10, 3)):
        with pytest.raises(ValueError, match=r"started with shape \(10, 2\)"):
            fill(tmp_path / "rows.npy", shape, np.float16, made)


@pytest.mark.parametrize("minutes", [0, -1])
def test_a_training_of_no_minutes_has_ended(minutes):
    assert checkpoint.Clock(minutes).fraction == 1


def test_the_trajectory_follows_the_scheduler():
    scheduler = new_scheduler()
    way, x, noise = Trajectory(scheduler, "cpu"), torch.randn(3, 8, 16, 16), torch.randn(3, 8, 16, 16)
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
    way, x = Trajectory(new_scheduler(), "cpu"), torch.randn(4, 8, 16, 16)

    def velocity(x_t, t, states):
        a, s = way._at(t)
        return (a * x_t - x) / s

    def oracle(x_t, t, states, return_dict):
        return (velocity(x_t, t, states),)

    i, noise = torch.tensor([0, 3, 10, 19]), torch.randn_like(x)
    assert consistency.consistency_loss(oracle, oracle, velocity, way, x, noise, i, None) < 1e-6


def test_matching_moves_pictures_from_the_critics_estimate_to_the_teachers():
    way, t = Trajectory(new_scheduler(), "cpu"), torch.tensor([980, 600, 300, 20])
    x = torch.randn(4, 8, 16, 16, requires_grad=True)
    wanted, thought = torch.randn_like(x), torch.randn_like(x)

    def velocity(clean):
        def of(x_t, t, states):
            a, s = way._at(t)
            return (a * x_t - clean) / s

        return of

    def critic(clean, bright=0.0):
        return lambda x_t, t, states: (velocity(clean)(x_t, t, states), bright * x_t.mean((1, 2, 3)))

    def gradient(clean, bright=0.0):
        loss = matching.matching_loss(velocity(wanted), critic(clean, bright), way, x, torch.randn_like(x), t, None)
        return torch.autograd.grad(loss, x)[0] * x.numel()

    far = (x - wanted).abs().mean((1, 2, 3), keepdim=True).detach()
    away = (thought - wanted) / far
    assert torch.allclose(gradient(thought), away, atol=1e-3)
    assert not gradient(wanted).any()
    told = gradient(thought, bright=1.0) - away
    assert torch.allclose(told[:1], torch.zeros(1), atol=1e-3) and (told[1:] < 0).all()  # brighter is what seems real
    assert told.square().mean().sqrt() == pytest.approx(matching.REAL * away.square().mean().sqrt().item(), rel=1e-2)


@pytest.mark.thorough
def test_the_critic_learns_what_is_drawn_and_what_is_real():
    torch.manual_seed(0)
    critic, way = Critic(narrow_unet()), Trajectory(new_scheduler(), "cpu")
    drawn, states, t = torch.zeros(8, 8, 16, 16), torch.zeros(8, 3, 128), torch.arange(0, 800, 100)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        noise = torch.randn_like(drawn)
        losses.append(critic_loss(critic, way, drawn, drawn + 1, t, noise, states))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    with torch.no_grad():
        _, logits = critic(torch.cat([drawn[:2], drawn[:2] + 1]), torch.zeros(4, dtype=torch.long), states[:4])
    assert logits[:2].max() < logits[2:].min()


def test_student_and_critic_have_a_loss_each(base, known, monkeypatch):
    pipe = load_model(str(base[1]), local=True, device="cpu").pipe
    teacher = trajectory.Teacher(pipe.unet, pipe.scheduler, pipe.tokenizer, pipe.text_encoder, "cpu")
    start = teacher.copy()
    objective, student = matching.Matching(teacher, known, start), teacher.copy().requires_grad_(True)
    monkeypatch.setattr(matching, "HEAD_START", 0)
    objective.loss(student).backward()
    (critic,) = objective.learners.values()
    for network in (student, critic):
        assert [name for name, weight in network.named_parameters() if not weight.grad.any()] == []
    assert all(weight.grad is None for weight in teacher.unet.parameters())
    again = matching.Matching(teacher, known, start)
    again.critic.load_state_dict(critic.state_dict())
    torch.manual_seed(0)
    again.loss(teacher.copy()).backward()  # a student that does not learn: the critic's gradient alone
    torch.manual_seed(0)
    critic.zero_grad()
    objective.loss(student).backward()
    for mine, its in zip(critic.parameters(), again.critic.parameters(), strict=True):
        assert torch.equal(mine.grad, its.grad)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_student_that_knows_the_endpoint_has_no_loss_at_its_own_steps(steps):
    way, noise, end = Trajectory(new_scheduler(), "cpu"), torch.randn(8, 8, 16, 16), torch.randn(8, 8, 16, 16)
    told, seen = torch.arange(8), []

    def oracle(x_t, t, states, return_dict):
        a, s = way._at(t)
        seen.append((x_t, t, states))
        return ((a * x_t - end[states]) / s,)

    assert endpoints.trajectory_loss(oracle, way, noise, end, told, steps) < 1e-6
    *_, (x_t, t, states) = seen
    timesteps = range(999, 0, -(1000 // steps))
    assert t.tolist() == np.repeat(timesteps, 8 // steps).tolist() and torch.equal(states, told)
    assert torch.allclose(x_t, way.noised(end, noise, t), atol=1e-5)
    assert sum(len(t) for _, t, _ in seen[:-1]) == sum(8 - 8 // steps * k for k in range(1, steps))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20])
def test_the_schedulers_that_ship_do_what_the_students_learned(steps):
    way, x = Trajectory(new_scheduler(), "cpu"), torch.randn(2, 8, 16, 16)
    lcm, ddim = (method.scheduler(new_scheduler()) for method in (consistency.Consistency, endpoints.Endpoints))
    for scheduler in (lcm, ddim):
        scheduler.set_timesteps(steps)
        assert scheduler.config.timestep_spacing == "trailing"
    assert set(lcm.timesteps.tolist()) <= set(GRID) and int(lcm.timesteps[0]) == int(ddim.timesteps[0]) == 999
    ours = theirs = x
    for t, later in itertools.pairwise([*lcm.timesteps.tolist(), -1]):
        v, at = torch.randn_like(x), torch.full((2,), t)
        theirs = lcm.step(v, t, theirs, generator=torch.Generator().manual_seed(t)).prev_sample
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(t))
        ours = way.noised(way.clean(ours, v, at), noise, torch.full((2,), later))
        assert torch.allclose(ours, theirs, atol=1e-4)
    if 1000 % steps:
        return  # diffusers' DDIM then steps to a neighbour of its own timesteps
    assert ddim.timesteps.tolist() == list(range(999, 0, -(1000 // steps)))
    ours = theirs = x
    for t, later in itertools.pairwise([*ddim.timesteps.tolist(), -1]):
        v = torch.randn_like(x)
        theirs = ddim.step(v, t, theirs).prev_sample
        ours = way.step(ours, v, torch.full((2,), t), torch.full((2,), later))
        assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
def test_every_distillation_trains_resumes_and_ships(tmp_path, base, small, monkeypatch):
    work, teacher = Path(shutil.copytree(base[0], tmp_path / "work")), base[1]
    monkeypatch.setattr(endpoints, "CHUNK", 2)
    monkeypatch.setattr(trajectory, "GRID", (999, 499))  # of the teacher's own samples; another test takes all twenty
    home = work / f"turbo-{fingerprint(teacher)}"
    folders = {method: tmp_path / method for method in ("consistency", "trajectory", "matching")}
    for method, folder in folders.items():

        def run(minutes, method=method, folder=folder):
            distill.distill(work, teacher, folder, method=method, minutes=minutes, pairs=5, device="cpu", **OPTIONS)

        resumes(home / f"{method}.pt", run)
        saved = checkpoint.load(home / f"{method}.pt")
        assert not torch.equal(saved["model"]["conv_in.weight"], saved["average"]["conv_in.weight"])
        loaded = load_model(str(folder), local=True)
        kept = narrow_unet()
        kept.load_state_dict(saved["average"])
        coarsen(kept)
        assert torch.allclose(loaded.pipe.unet.conv_in.weight, kept.conv_in.weight, atol=1e-3)
        assert loaded.vocabulary is not None and max(f.stat().st_size for f in folder.rglob("*.safetensors")) < 10e6
    run(BLINK)  # less than is spent: writes the folder only
    assert checkpoint.load(home / f"{method}.pt")["step"] == saved["step"]
    assert fingerprint(folder) == loaded.revision
    opens_in_plain_diffusers([*folders.values()], tmp_path, (1, 2, 4), 0)


@pytest.mark.thorough
def test_distillation_goes_on_from_the_student_that_is_there(tmp_path, base, small):
    work, folder = Path(shutil.copytree(base[0], tmp_path / "work")), Path(shutil.copytree(base[1], tmp_path / "turbo"))
    torch.manual_seed(1)
    student = narrow_unet()
    parts = load_model(str(folder), local=True).pipe.components
    write_folder(
        folder, unet=student, **{name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "scheduler")}
    )
    distill.distill(
        work, base[1], folder, method="consistency", minutes=BLINK, pairs=5, device="cpu", go_on=True, **OPTIONS
    )
    saved = checkpoint.load(work / f"turbo-{fingerprint(base[1])}" / "consistency.pt")
    for name in ("model", "average", "target", "start"):
        assert torch.allclose(saved[name]["conv_in.weight"], student.conv_in.weight.float(), atol=1e-3)


@pytest.mark.thorough
def test_the_written_student_keeps_a_share_of_what_it_started_from(tmp_path, base, small):
    work, folder = Path(shutil.copytree(base[0], tmp_path / "work")), Path(shutil.copytree(base[1], tmp_path / "turbo"))
    path = work / f"turbo-{fingerprint(base[1])}" / "consistency.pt"
    options = {"method": "consistency", "pairs": 5, "device": "cpu", "go_on": True, "keep": 0.25, **OPTIONS}
    distill.distill(work, base[1], folder, minutes=BLINK, **options)
    saved = checkpoint.load(path)
    saved["average"]["conv_in.weight"] += 1.0
    checkpoint.save(path, **saved)
    distill.distill(work, base[1], folder, minutes=BLINK / 2, **options)  # less than is spent: only writes
    written = load_model(str(folder), dtype="float32", local=True).pipe.unet.conv_in.weight
    blend = narrow_unet()
    blend.load_state_dict({name: 0.75 * w + 0.25 * saved["start"][name] for name, w in saved["average"].items()})
    coarsen(blend)
    assert torch.allclose(written, blend.conv_in.weight, atol=1e-3)


def test_coarse_weights_are_near_and_compress():
    unet = narrow_unet()
    before = copy.deepcopy(unet)
    coarsen(unet)
    sizes = [
        len(zlib.compress(b"".join(w.detach().half().numpy().tobytes() for w in net.parameters())))
        for net in (before, unet)
    ]
    assert sizes[1] < 0.65 * sizes[0]
    for coarse, fine in zip(unet.parameters(), before.parameters(), strict=True):
        if coarse.ndim == 1:
            assert torch.equal(coarse, fine)
        else:
            assert torch.equal(coarse.half().float(), coarse) and 0 < (coarse - fine).abs().max() <= fine.std() / 32


def test_endpoints_are_the_teachers_own_samples(tmp_path, base, known):
    pipe = load_model(str(base[1]), local=True, device="cpu").pipe
    teacher = trajectory.Teacher(pipe.unet, pipe.scheduler, pipe.tokenizer, pipe.text_encoder, "cpu")
    made = endpoints.Endpoints(teacher, known, tmp_path / "endpoints.npy", count=2, **OPTIONS)
    latents = pipe(
        prompt_embeds=teacher.states(made.ids), latents=made.noise.float(), num_inference_steps=20,
        negative_prompt_embeds=teacher.states(tokens(pipe.tokenizer, ["", ""])), output_type="latent",
        guidance_scale=trajectory.GUIDANCE,
    ).images  # fmt: skip
    assert torch.nn.functional.mse_loss(made.ends.float(), latents) < 5e-3 * latents.var()
    again = endpoints.Endpoints(teacher, known, tmp_path / "endpoints.npy", count=2, **OPTIONS)
    assert torch.equal(again.noise, made.noise) and torch.equal(again.ids, made.ids)
    fewer = endpoints.Endpoints(teacher, known, tmp_path / "endpoints.npy", count=1, **OPTIONS)
    assert all(torch.equal(getattr(fewer, name), getattr(made, name)[:1]) for name in ("noise", "ids", "ends"))


def test_distillation_says_in_one_sentence_what_it_needs(tmp_path, base, small, monkeypatch, capsys):
    work = Path(shutil.copytree(base[0], tmp_path / "work"))

    def refused(message):
        with pytest.raises(ValueError, match=message) as caught:
            distill.distill(
                work, base[1], tmp_path / "out", method="consistency", minutes=1, pairs=5, device="cpu", **OPTIONS
            )
        assert str(caught.value).endswith(".") and str(tmp_path) not in str(caught.value)

    (work / "latents.done").write_text("7", encoding="utf-8")
    refused("are incomplete")
    (work / "latents.done").unlink()
    new_autoencoder().save_pretrained(work / "vae")
    refused("another autoencoder's")
    (work / "latents.npy").unlink()
    refused("train the base model there first")
    monkeypatch.setattr(sys, "argv", ["reweight.toy", "distill", "--work", str(work), "--base", str(base[1])])
    with pytest.raises(SystemExit, match="1"):
        commands.main()
    assert capsys.readouterr().out.endswith("train the base model there first.\n")


def opens_in_plain_diffusers(folders, elsewhere, numbers, guidance):
    """Checks that a process without this package draws: the same picture again, another for each number of steps."""
    code = f"""
import sys, numpy as np, torch
from diffusers import StableDiffusionPipeline
for folder in {[str(folder) for folder in folders]}:
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    def draw(steps):
        generator = torch.Generator().manual_seed(0)
        images = pipe("a red apple", num_inference_steps=steps, guidance_scale={guidance}, generator=generator).images
        assert images[0].size == (128, 128)
        return np.asarray(images[0]).tobytes()
    pictures = [draw(steps) for steps in {numbers}]
    assert len(set(pictures)) == len(pictures) and draw({numbers[0]}) == pictures[0]
assert not any(name.startswith("reweight") for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "numbers", "guidance"),
    [
        pytest.param("toy", (2,), 7.5, marks=pytest.mark.slow),
        pytest.param("toy-turbo", (1, 2, 4), 0, marks=pytest.mark.thorough),
    ],
)
def test_plain_diffusers_opens_the_shipped_models_without_this_package(tmp_path, name, numbers, guidance):
    if not (ASSETS / name).is_dir():
        pytest.skip(f"{name} is not built yet")
    opens_in_plain_diffusers([ASSETS / name], tmp_path, numbers, guidance)
