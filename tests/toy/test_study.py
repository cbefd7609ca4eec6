"""The study of ways of training: each arm's loss by hand, equal minutes, and a resumed training is the same, bitwise."""

import copy
import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from typer.testing import CliRunner

from reweight.patching.patch import BlockControl
from reweight.toy import __main__ as commands
from reweight.toy.distill.trajectory import Teacher, Trajectory
from reweight.toy.study.arm import draw_batch
from reweight.toy.study.arms import ARMS, chosen
from reweight.toy.study.arms.alignment import Alignment, alignment
from reweight.toy.study.arms.assembly import Assembly, AssemblyByPaper, least
from reweight.toy.study.arms.consistency import Consistency
from reweight.toy.study.arms.memory import Memory
from reweight.toy.study.arms.min_snr import MinSnr
from reweight.toy.study.arms.muon import FlatMuon, Muon
from reweight.toy.study.arms.plain import Plain
from reweight.toy.study.arms.reflow import Reflow, huber, u_shaped
from reweight.toy.study.material import Material, Pictures
from reweight.toy.study.measures import one_step_errors, timesteps_of, v_losses
from reweight.toy.study.plot import draw as plot
from reweight.toy.study.run import Size, Study, results, train
from reweight.toy.study.training import ArmTraining
from reweight.toy.train.denoiser import new_scheduler

WIDTH, TOKENS = 16, 6


@pytest.fixture(scope="module")
def unet():
    return new(3)


@pytest.fixture(scope="module")
def small():
    return new(2)


def new(stages):
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8,) * stages, norm_num_groups=4,
        cross_attention_dim=WIDTH, attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D",) * stages,
        up_block_types=("CrossAttnUpBlock2D",) * stages,
    )  # fmt: skip


def pictures(n, seed):
    g = torch.Generator().manual_seed(seed)
    memory = torch.nn.functional.normalize(torch.randn(n, 96, generator=g), dim=1)
    return Pictures(
        torch.randn(n, 4, 8, 8, generator=g).half(), torch.randn(n, 2, TOKENS, WIDTH, generator=g).half(),
        torch.randn(n, 128, 4, 4, generator=g).half(), memory, memory[:, None].expand(-1, 2, -1).flip(0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def material():
    return Material(
        pictures(12, 1), pictures(5, 2), torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(3))
    )


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "apple.json").write_text(json.dumps({"scores": [[3, 1, 0, 2, 9, 9, 9]]}), encoding="utf-8")
    (tmp_path / "apple.calibrated.json").write_text(
        json.dumps({"scores": [[9, 9, 0, 0, 0, 9, 9], [9, 9, 1, 0, 0, 9, 9]]}), encoding="utf-8"
    )
    return tmp_path


def begin(kind, unet, material, tables=None):
    unet = copy.deepcopy(unet)
    torch.manual_seed(0)
    if kind is Consistency:
        teacher = copy.deepcopy(unet)
        told = SimpleNamespace(velocity=lambda x_t, t, states, **_: teacher(x_t, t, states, return_dict=False)[0])
        return kind(unet, material, "cpu", told)
    if kind is Reflow:
        noise = torch.randn(6, 4, 8, 8)
        return kind(unet, material, "cpu", noise, noise.flip(0))
    if issubclass(kind, Assembly):
        return kind(unet, material, "cpu", tables)
    return kind(unet, material, "cpu")


def batch_of(arm, n=4, seed=0):
    torch.manual_seed(seed)
    return draw_batch(arm.material, arm.way, n, "cpu")


class TestLosses:
    def test_plain_is_the_mean_squared_error_of_the_velocity(self, small, material):
        arm = begin(Plain, small, material)
        batch = batch_of(arm)
        v = arm.net.unet(batch.x_t, batch.t, batch.states, return_dict=False)[0]
        true = new_scheduler().get_velocity(batch.x, batch.noise, batch.t)
        assert arm.loss(batch).item() == pytest.approx((v - true).square().mean().item(), rel=1e-5)

    def test_min_snr_weighs_as_the_paper_says(self, small, material):
        t = torch.tensor([5, 200, 600, 999])
        a2 = new_scheduler().alphas_cumprod[t]
        snr = a2 / (1 - a2)
        arm = begin(MinSnr, small, material)
        found = arm.weights(t)
        assert torch.allclose(found, snr.clamp(max=5) / (snr + 1), atol=1e-5) and found[-1] == pytest.approx(
            0, abs=1e-6
        )
        batch = batch_of(arm)
        error = arm.net(batch.x_t, batch.t, batch.states, None) - arm.way.velocity(batch.x, batch.noise, batch.t)
        wanted = (arm.weights(batch.t) * error.square().mean((1, 2, 3))).mean()
        assert arm.loss(batch).item() == pytest.approx(wanted.item(), rel=1e-5)

    def test_alignment_adds_the_cosine_and_teaches_its_projector(self, small, material):
        a = torch.randn(2, 3, 4, 4)
        assert alignment(a, 2 * a) == pytest.approx(1) and alignment(a, -a) == pytest.approx(-1)
        coarse = torch.nn.functional.interpolate(a, scale_factor=2)
        assert alignment(a, coarse) == pytest.approx(1)
        arm, plain = begin(Alignment, small, material), begin(Plain, small, material)
        batch = batch_of(arm)
        extra = arm.loss(batch) - plain.loss(batch)
        assert abs(extra) <= 0.5
        extra.backward()
        assert all(weight.grad.abs().sum() > 0 for weight in arm.helpers.parameters())

    def test_memory_is_one_more_token_and_none_where_the_caption_is_blank(self, small, material):
        arm = begin(Memory, small, material)
        batch = batch_of(arm, n=40)
        assert not batch.told.all()
        seen = {}
        arm.net.unet.register_forward_pre_hook(lambda module, inputs: seen.update(states=inputs[2]))
        arm.loss(batch)
        token = arm.net.token(torch.zeros(96))
        assert seen["states"].shape == (40, TOKENS + 1, WIDTH)
        assert torch.equal(seen["states"][:, -1].isclose(token).all(1), ~batch.told)
        found = material.remembered(material.known.memory[[3, 7]] + 0.01)
        assert torch.equal(found, material.known.memory[[3, 7]])

    def test_reflow_is_zero_for_the_pairs_own_velocity(self, small, material):
        arm = begin(Reflow, small, material)
        ends, noise, way = arm._ends, arm._noise, arm.way
        torch.manual_seed(4)
        batch = batch_of(arm)
        wrong = arm.loss(batch).item()
        told = {}
        noised = way.noised

        def watched(x, z, t):
            told.setdefault("pair", (x, z))
            return noised(x, z, t)

        arm.way.noised, arm.net.forward = watched, lambda x_t, t, states, memory: way.velocity(*told["pair"], t)
        assert arm.loss(batch).item() == pytest.approx(0, abs=1e-5) and wrong > 0.01
        x, z = told["pair"]
        assert all(any(torch.equal(x[i], ends[k]) and torch.equal(z[i], noise[k]) for k in range(6)) for i in range(4))

    def test_a_flows_place_and_metric(self, small, material):
        arm = begin(Reflow, small, material)
        a2 = new_scheduler().alphas_cumprod
        a, s = a2.sqrt(), (1 - a2).sqrt()
        assert torch.allclose(arm._tau, s / (a + s), atol=1e-4) and (arm._tau.diff() > 0).all()
        error = torch.tensor([[3.0, 4.0]])
        c = 0.00054 * 2
        assert huber(error).item() == pytest.approx((np.sqrt(25 + c * c) - c) / np.sqrt(2), rel=1e-5)
        torch.manual_seed(0)
        tau = u_shaped(4000)
        counts = torch.histc(tau, 5, 0, 1).tolist()
        assert tau.min() >= 0 and tau.max() <= 1 and counts[2] < counts[1] < counts[0]
        assert counts[0] == pytest.approx(counts[4], rel=0.02)

    def test_consistency_learns_its_own_average_a_step_later(self, small, material):
        arm = begin(Consistency, small, material)
        assert torch.isfinite(arm.loss(batch_of(arm)))
        with torch.no_grad():
            arm.net.unet.conv_out.bias += 1
        arm.moved(step=20)  # half of the way
        assert torch.allclose(arm.kept["target"].conv_out.bias, arm.net.unet.conv_out.bias - 0.5)

    def test_an_assembled_student_is_the_whole_one_bypassed(self, unet, material, tables):
        assert least(tables, "") == [1, 2, 3] and least(tables, ".calibrated") == [2, 3, 4]
        arm = begin(Assembly, unet, material, tables)
        assert arm.left_out == [2, 3, 4] and begin(AssemblyByPaper, unet, material, tables).left_out == [1, 2, 3]
        batch = batch_of(arm)
        found = arm.net(batch.x_t, batch.t, batch.states, None)
        with BlockControl(unet) as control:
            control.set(skip=np.isin(np.arange(7), arm.left_out))
            assert torch.allclose(found, unet(batch.x_t, batch.t, batch.states)[0], atol=1e-5)
        truth = unet(batch.x_t, batch.t, batch.states)[0]
        assert arm.loss(batch).item() == pytest.approx((found - truth).square().mean().item(), rel=1e-4)
        with pytest.raises(ValueError, match=r"no tables to rank blocks by .* make them with"):
            least(tables / "elsewhere", "")

    def test_muon_moves_kernels_as_matrices_in_place(self):
        torch.manual_seed(0)
        kernel, matrix = torch.nn.Parameter(torch.randn(4, 3, 3, 3)), torch.nn.Parameter(torch.randn(5, 2))
        flat = torch.nn.Parameter(kernel.detach().clone().flatten(1))
        kernel.grad, matrix.grad = torch.randn_like(kernel), torch.randn_like(matrix)
        flat.grad, before = kernel.grad.flatten(1), matrix.detach().clone()
        FlatMuon([kernel, matrix], 0.1).step()
        torch.optim.Muon([flat], lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw").step()
        assert torch.equal(kernel.flatten(1), flat) and not torch.equal(matrix, before)

    def test_muon_and_adamw_share_all_weights(self, small, material):
        arm = begin(Muon, small, material)
        muon, rest = arm.optimizers()
        count = sum(
            w.numel() for optimizer in (muon, rest) for group in optimizer.param_groups for w in group["params"]
        )
        assert count == sum(w.numel() for w in arm.net.parameters())
        assert all(w.ndim == 2 for w in muon.param_groups[0]["params"])


class TestTraining:
    @pytest.mark.parametrize("kind", [Muon, pytest.param(Consistency, marks=pytest.mark.thorough)])
    def test_a_resumed_training_is_bitwise_the_same(self, tmp_path, small, material, kind):
        straight = training(tmp_path / "straight.pt", begin(kind, small, material))
        straight.until(2)
        for seconds in (1, 2):
            stopped = training(tmp_path / "stopped.pt", begin(kind, small, material))
            stopped.until(seconds)
        assert stopped.step == straight.step == 2 and stopped.spent == straight.spent
        ours, theirs = ([module.state_dict() for module in found._modules().values()] for found in (straight, stopped))
        for one, other in zip(ours, theirs, strict=True):
            assert [name for name, weight in one.items() if not torch.equal(weight, other[name])] == []

    def test_every_arm_sees_the_same_batches_and_stops_after_its_minutes(self, tmp_path, small, material):
        seen = {}
        for kind in (Plain, MinSnr):
            rows = seen[kind.key] = []
            found = training(tmp_path / f"{kind.key}.pt", begin(kind, small, material), rows.append)
            found.until(2)
            found.until(2)
            assert found.step == 2 and found.spent == 2
        assert len({str([row.tolist() for row in rows]) for rows in seen.values()}) == 1

    def test_another_start_is_refused_in_a_sentence(self, tmp_path, small, material):
        training(tmp_path / "arm.pt", begin(Plain, small, material)).until(1)
        with pytest.raises(ValueError, match="was begun with other weights, pictures or settings"):
            training(tmp_path / "arm.pt", begin(Plain, small, material), start="other")

    def test_results_of_unequal_minutes_are_refused(self, tmp_path, small, material):
        found = training(tmp_path / "arm.pt", begin(Plain, small, material))
        found.spent = 60.0
        with pytest.raises(ValueError, match=r"plain has had 1\.0 minutes and the study 2: ask for as many"):
            results(None, [found], 2)


class Tiny(Study):
    """A study of random pictures by a tiny U-Net, on a clock by which a step takes 20 seconds."""

    def __init__(self, work, unet, material):
        self.work, self.material, self.size, self.device, self.new = work, material, Size(batch=2), "cpu", True
        self.base = SimpleNamespace(source="tiny", revision="r")
        self._teacher, self.said = Teacher.__new__(Teacher), []
        self._teacher.unet = unet
        self.judge, self.scorer = SimpleNamespace(digest="judge"), SimpleNamespace(version="scorer")
        first = material.held.latents[:1].float(), material.held.states[:1, 0].float(), material.held.memory[:1]
        self.asked = SimpleNamespace(noise=first[0], states=first[1], memory=first[2])
        self.on_progress = lambda stage, fraction, text: self.said.append(text)
        seconds = itertools.count(0, 20)
        self.clock, self._guided = lambda: next(seconds), None


@pytest.mark.thorough
def test_a_study_trains_in_turns_goes_on_and_draws_its_plot(tmp_path, small, material):
    found = [results(Tiny(tmp_path, small, material), train(Tiny(tmp_path, small, material), [Plain, MinSnr], 1), 1)]
    again = Tiny(tmp_path, small, material)
    found.append(results(again, train(again, [Plain, MinSnr], 1), 1))
    assert again.said == [] and [result.pop("load") for result in found] and found[0] == found[1]
    for arm in found[0]["arms"]:
        assert arm["steps"] == 3 and [row[:2] for row in arm["history"]] == [[0, 0], [60, 3]]
        assert np.mean(arm["end"]["loss"]) == pytest.approx(arm["history"][-1][2], rel=1e-3)
    assert found[0]["arms"][0]["begin"]["loss"] == found[0]["arms"][1]["begin"]["loss"]
    plot(found[0], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def training(path, arm, watch=lambda rows: None, start="here"):
    """On a clock by which every step takes a second."""

    def draw():
        batch = draw_batch(arm.material, arm.way, 2, "cpu")
        watch(batch.rows)
        return batch

    seconds = itertools.count(100.0)
    return ArmTraining(path, arm, start, draw, lambda: next(seconds))


class TestMeasures:
    def test_the_true_velocity_has_no_loss_and_steps_are_spread_evenly(self, material):
        way = Trajectory(new_scheduler(), "cpu")
        t = timesteps_of(128)
        assert t[:64].equal(t[64:]) and t[0] == 7 and t[63] == 992 and (t[:64].diff() > 0).all()
        seen = []

        def net(x_t, t, states, memory):
            seen.append((x_t, memory))
            return torch.zeros_like(x_t)

        losses = v_losses(net, way, material, "cpu")
        assert losses.shape == (5,) and (losses > 0).all()
        assert torch.equal(seen[0][1], material.remembered(material.held.said[:, 0]))
        v_losses(net, way, material, "cpu", own_memory=True)
        assert torch.equal(seen[1][1], material.held.memory)

    def test_one_step_from_pure_noise_is_minus_the_velocity(self, material):
        way, ends = Trajectory(new_scheduler(), "cpu"), torch.randn(5, 4, 8, 8)
        found = one_step_errors(lambda x_t, t, states, memory: -ends, way, material, ends, "cpu")
        assert np.allclose(found, 0, atol=1e-4)


class TestCommand:
    def test_arms_are_chosen_by_name_in_their_order(self):
        assert [arm.key for arm in chosen("muon, plain")] == ["plain", "muon"] and len(chosen("all")) == len(ARMS)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--arms", "sgd"), "There is no arm 'sgd': choose from plain, muon"),
            (("--arms", ","), "There is no arm to train"),
            (("--minutes", "0"), "at least 1 minute, not 0"),
            (("--new", "--arms", "plain,reflow"), "The arm 'reflow' needs a teacher: leave it out, or --new."),
            (("--pictures", "3"), "--pictures 3 is too few: ask for at least 64"),
        ],
    )
    def test_what_cannot_be_is_said_before_any_work(self, tmp_path, options, message):
        asked = [
            "study",
            "--art",
            "none.tgz",
            "--work",
            str(tmp_path / "work"),
            "--out",
            str(tmp_path / "out.json"),
            *options,
        ]
        refused = CliRunner().invoke(commands.app, asked)
        assert isinstance(refused.exception, ValueError) and message in str(refused.exception)
        assert not (tmp_path / "work").exists()
