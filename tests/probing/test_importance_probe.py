"""The probe against a slow, literal transcription of the paper's loop; its promises; direct sensitivity."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from diffusers.models.transformers.transformer_2d import Transformer2DModel

from reweight.probing.ablation import agreement, agreement_by_step, agreement_p, sensitivity
from reweight.probing.importance_probe import iter_probe, probe
from reweight.probing.probe_request import ProbeRequest, Trajectory
from reweight.probing.search import PRESETS, ProbeSettings, Runs, bootstrap_means, interval, update_thresholds
from reweight.probing.teacher import record_teacher

PROMPT = "a red apple on the table"
SIDE = 32  # pixels; latents a quarter of that
LOOSE = {  # bounds and tolerances at which a tiny net accepts, rejects and bypasses
    "paper-code": {"bound": (0.3, 0.6), "tol": (4e-3, 8e-3), "runs": 2, "iterations": 8},
    "paper-text": {"bound": (0.2, 0.4), "tol": (2e-3, 3e-3), "runs": 2, "iterations": 5},
}


def loose(preset: str = "paper-code", **changes) -> ProbeSettings:
    return replace(PRESETS[preset], **LOOSE[preset] | changes)


@pytest.fixture
def pipe(sd_pipe):
    """Tiny Stable Diffusion whose text matters, so that the halves of guidance differ."""
    for name, parameter in sd_pipe.unet.named_parameters():
        if "attn2.to_out" in name or "attn2.to_v" in name:
            parameter.data *= 8
    return sd_pipe


# The literal transcription: one sample a forward, own hooks, own denoising loop, a number at a time.


def line(start, end, t, T):
    return start if T == 1 else start + (end - start) * t / (T - 1)


def literal_trajectory(pipe, steps, seed, guidance):
    """[(timestep, [(latents, text) of each half])], stepping with the U-Net's own output."""
    guided = guidance > 1
    text, no_text = pipe.encode_prompt(PROMPT, "cpu", 1, guided)
    ddim = DDIMScheduler.from_config(pipe.scheduler.config)
    ddim.set_timesteps(steps)
    x = torch.randn(1, 4, SIDE // 4, SIDE // 4, generator=torch.Generator().manual_seed(seed))
    trajectory = []
    for timestep in ddim.timesteps:
        halves = [(x, no_text), (x, text)] if guided else [(x, text)]
        trajectory.append((timestep, halves))
        eps = [pipe.unet(latents, timestep, c).sample for latents, c in halves]
        total = eps[0] + guidance * (eps[1] - eps[0]) if guided else eps[0]
        x = ddim.step(total, timestep, x, eta=0.0).prev_sample
    return trajectory


def literal_student(unet, stages, timestep, latents, text, w, q):
    handles = []
    for i, stage in enumerate(stages):
        skip = w[i] + 1e-6 < q[i]

        def change(module, args, output, w_i=float(w[i]), skip=skip):
            return (args[0],) if skip else (output[0] * w_i,)

        handles += [
            module.register_forward_hook(change) for module in stage.modules() if isinstance(module, Transformer2DModel)
        ]
    try:
        return unet(latents, timestep, text).sample
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def literal_probe(pipe, preset, *, steps, seed, guidance, runs, iterations, bound, tol):
    unet = pipe.unet
    stages = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    stages = [s for s in stages if any(isinstance(module, Transformer2DModel) for module in s.modules())]
    T, m, text_preset = steps, len(stages), preset == "paper-text"
    trajectory = literal_trajectory(pipe, steps, seed, guidance)
    teacher = [[unet(latents, timestep, text).sample for latents, text in halves] for timestep, halves in trajectory]
    counts = {"accepted": 0, "rejected": 0, "bypassed": 0}
    thresholds = []
    for stream in np.random.SeedSequence(seed).spawn(runs):
        rng = np.random.default_rng(stream)
        w_best = rng.uniform(0.99 if text_preset else 0.995, 1.0, (T, m))
        E_0 = [sum(v * v for v in w_best[t]) if text_preset else m for t in range(T)]
        q = np.zeros((T, m))
        for iteration in range(iterations):
            e = (iteration + 1) / iterations
            for t in range(T):
                timestep, halves = trajectory[t]
                b_t, tol_t = line(*bound, t, T), line(*tol, t, T)
                best = E_0[t] / sum(v * v for v in w_best[t]) + sum(v > 1.0 for v in q[t]) / m
                kept, kept_fitness = None, -np.inf
                for _ in range(4 if text_preset else 1):
                    w = np.clip(w_best[t] + rng.uniform(-b_t, 0 if text_preset else b_t, m), 0, 1)
                    fitness = E_0[t] / sum(v * v for v in w) + sum(a < b for a, b in zip(w, q[t], strict=True)) / m
                    squares = []
                    for eps, (latents, text) in zip(teacher[t], halves, strict=True):
                        eps_hat = literal_student(unet, stages, timestep, latents, text, w, q[t])
                        squares.append((eps - eps_hat) ** 2)
                    loss = float(torch.cat(squares).mean())
                    if text_preset or fitness > best:
                        counts["bypassed"] += sum(a + 1e-6 < b for a, b in zip(w, q[t], strict=True))
                    if loss <= tol_t and (fitness > kept_fitness if text_preset else fitness > best):
                        kept, kept_fitness = w, fitness
                if kept is not None:
                    counts["accepted"] += 1
                    w_best[t] = kept
                    p_high, p_mod, p_low = 0.06, 0.47 + (0.84 - 0.47) * e, 0.47 + (0.10 - 0.47) * e
                else:
                    counts["rejected"] += 1
                    p_high, p_mod, p_low = 0.48 + (0.30 - 0.48) * e, 0.48 + (0.66 - 0.48) * e, 0.04
                    if text_preset:
                        p_low = 0.0
                for i in range(m):
                    target = w_best[t, i] - 0.01
                    q[t, i] = min(1.0, max(0.0, p_high * q[t, i] / 2 + p_mod * q[t, i] + p_low * target))
        thresholds.append(q)
    low, high = np.zeros((T, m)), np.zeros((T, m))
    for q in thresholds:
        for t in range(T):
            for i in range(m):  # position k scores k + 1; a tie is anyone's
                low[t, i] += (1 + sum(q[t] > q[t, i])) / (m * runs)
                high[t, i] += sum(q[t] >= q[t, i]) / (m * runs)
    return np.array(thresholds), low, high, {key: int(value) for key, value in counts.items()}


@pytest.mark.parametrize(
    ("preset", "steps", "guidance"),
    [
        pytest.param(
            *case, marks=() if case in (("paper-code", 3, 4.0), ("paper-text", 1, 0.0)) else pytest.mark.thorough
        )
        for case in product(["paper-code", "paper-text"], [1, 3], [0.0, 4.0])
    ],
)
def test_probe_is_the_papers_loop(pipe, preset, steps, guidance):
    constants = LOOSE[preset]
    q, low, high, counts = literal_probe(pipe, preset, steps=steps, seed=5, guidance=guidance, **constants)
    assert min(counts.values()) > 0, f"not every branch was taken: {counts}"

    *_, last = iter_probe(
        pipe,
        ProbeRequest.of(
            PROMPT, steps=steps, preset=loose(preset), seed=5, guidance_scale=guidance, height=SIDE, width=SIDE
        ),
    )
    np.testing.assert_allclose(last.thresholds, q, rtol=0, atol=1e-6)
    scores, untied = last.table.scores, np.isclose(low, high)
    assert untied.mean() > 0.5
    np.testing.assert_allclose(scores[untied], low[untied], rtol=0, atol=1e-12)
    assert (scores >= low - 1e-12).all() and (scores <= high + 1e-12).all()
    diagnostics = last.table.diagnostics
    assert diagnostics["bypasses_fired"] == counts["bypassed"]
    assert diagnostics["acceptance_rate"] == pytest.approx(
        counts["accepted"] / (counts["accepted"] + counts["rejected"])
    )
    assert np.mean(diagnostics["acceptance_rate_per_step"]) == pytest.approx(diagnostics["acceptance_rate"])


def test_losses_are_the_literal_ones(pipe):
    """Batched, at mixed timesteps, with bypasses, both halves: against one sample at a time."""
    teacher = record_teacher(
        pipe, Trajectory(prompt=PROMPT, steps=3, seed=5, guidance_scale=4.0, height=SIDE, width=SIDE)
    )
    rng = np.random.default_rng(0)
    step, w, q = np.array([2, 0, 1, 1]), rng.uniform(0.5, 1.0, (4, 7)), rng.uniform(0.3, 1.0, (4, 7))
    skip = w + 1e-6 < q
    assert skip.any(axis=1).all() and not skip.all()
    unet = pipe.unet
    stages = [*unet.down_blocks[:3], unet.mid_block, *unet.up_blocks[1:]]
    with torch.no_grad():
        trajectory = literal_trajectory(pipe, 3, 5, 4.0)
        halves = np.array([
            [
                float((unet(x, trajectory[t][0], c).sample
                       - literal_student(unet, stages, trajectory[t][0], x, c, w[n], q[n])).square().mean())
                for x, c in trajectory[t][1]
            ]
            for n, t in enumerate(step)
        ])  # fmt: skip
    assert (np.abs(halves[:, 0] / halves[:, 1] - 1) > 1e-3).all(), "the halves must differ for this to say anything"
    for batch_size in (None, 1, 3, 8, 100):
        np.testing.assert_allclose(teacher.losses(step, w, skip, batch_size), halves.mean(1), rtol=1e-4)


def test_presets_are_the_papers_constants():
    code, text = PRESETS["paper-code"], PRESETS["paper-text"]
    for preset in (code, text):
        assert (preset.runs, preset.iterations) == (15, 20)
        assert (preset.bound, preset.tol, preset.margin) == ((0.02, 0.05), (1e-4, 2e-4), 0.01)
    assert (code.init, code.candidates, code.one_sided, code.initial_energy, code.must_improve) == (
        (0.995, 1.0), 1, False, False, True,
    )  # fmt: skip
    assert (text.init, text.candidates, text.one_sided, text.initial_energy, text.must_improve) == (
        (0.99, 1.0), 4, True, True, False,
    )  # fmt: skip


@pytest.mark.parametrize(("accepted", "e", "expected"), [
    (True, 0.05, 0.03 * 0.2 + 0.4885 * 0.2 + 0.4515 * 0.89),
    (True, 1.0, 0.03 * 0.2 + 0.84 * 0.2 + 0.10 * 0.89),
    (False, 0.5, 0.195 * 0.2 + 0.57 * 0.2 + 0.04 * 0.89),
])  # fmt: skip
def test_threshold_update_by_hand(accepted, e, expected):
    q = update_thresholds(np.array([[0.2]]), np.array([[0.9]]), np.array([accepted]), e, PRESETS["paper-code"])
    assert q.item() == pytest.approx(expected, abs=1e-12)


def test_a_rejection_never_raises_a_threshold_in_the_papers_text():
    q = np.linspace(0, 1, 11)[None]
    after = update_thresholds(q, np.ones_like(q), np.array([False]), 0.5, PRESETS["paper-text"])
    assert (after <= q).all()


def test_reference_energy_is_m_in_the_code_and_the_initial_energy_in_the_text():
    streams = np.random.SeedSequence(0).spawn(2)
    assert (Runs(streams, 3, 7, PRESETS["paper-code"]).E_0 == 7).all()
    runs = Runs(streams, 3, 7, PRESETS["paper-text"])
    np.testing.assert_allclose(runs.E_0, (runs.w_best**2).sum(-1))


def test_one_sided_candidates_only_lower_the_energy():
    runs = Runs(np.random.SeedSequence(0).spawn(2), 3, 7, PRESETS["paper-text"])
    w = runs.ask().w
    assert w.shape == (2, 3, 4, 7)
    assert (w <= runs.w_best[:, :, None]).all()


def test_a_run_does_not_depend_on_how_many_run_beside_it():
    streams = np.random.SeedSequence(3).spawn(4)
    together, alone = (Runs(s, 2, 5, PRESETS["paper-code"]) for s in (streams, streams[2:3]))
    np.testing.assert_array_equal(together.ask().w[2], alone.ask().w[0])
    np.testing.assert_array_equal(together.w_best[2], alone.w_best[0])


def test_the_bootstrap_gives_the_standard_error_of_the_runs_and_its_interval():
    scores = np.random.default_rng(1).random((15, 2, 7))
    means, error = bootstrap_means(scores, seed=0, resamples=20_000), scores.std(0) / np.sqrt(15)
    np.testing.assert_allclose(means.std(0), error, rtol=0.03)
    low, high = interval(means)
    np.testing.assert_allclose(high - low, 2 * 1.96 * error, rtol=0.05)
    np.testing.assert_allclose((high + low) / 2, scores.mean(0), atol=0.02)
    assert (bootstrap_means(np.ones((4, 1, 3)), seed=0).std(0) < 1e-12).all()


def quick(pipe, **options):
    return {
        "steps": 2,
        "preset": loose(runs=3, iterations=4),
        "guidance_scale": 0.0,
        "height": SIDE,
        "width": SIDE,
    } | options


def test_same_seed_same_bytes_whatever_the_batch(pipe):
    tables = [probe(pipe, PROMPT, **quick(pipe, batch_size=b)).to_json() for b in (None, None, 1, 3, 4, 1000)]
    assert len(set(tables)) == 1
    assert probe(pipe, PROMPT, **quick(pipe, seed=43)).to_json() != tables[0]


def test_table_says_where_it_comes_from(pipe):
    table = probe(
        pipe, PROMPT, **quick(pipe, guidance_scale=3.0, negative_prompt="ugly", model="tiny", revision="abc", seed=1)
    )
    assert table.scores.shape == (2, 7) and table.runs == 3 and table.steps == 2
    assert (table.model, table.revision, table.seed, table.guidance_scale) == ("tiny", "abc", 1, 3.0)
    assert (table.prompt, table.negative_prompt, table.scheduler) == (PROMPT, "ugly", "DDIMScheduler")
    assert table.method == "probe:paper-code" and table.settings["runs"] == 3
    assert table.settings["latent"] == [4, 8, 8] and table.settings["dtype"] == "float32"
    assert table.blocks == tuple("0123456") and set(table.versions) == {"torch", "diffusers", "numpy"}
    for name in ("vote_spread", "interval_low", "interval_high"):
        assert np.shape(table.diagnostics[name]) == (2, 7)
    assert table.from_json(table.to_json()) == table
    assert json.loads(table.to_json())["diagnostics"]["runs_completed"] == 3


@pytest.mark.parametrize("guidance", [0.0, 4.0])
@pytest.mark.parametrize("preset", ["paper-code", "paper-text"])
def test_the_teacher_is_computed_once(pipe, preset, guidance):
    batches = []
    handle = pipe.unet.register_forward_pre_hook(
        lambda unet, args, kwargs: batches.append((args[0] if args else kwargs["sample"]).shape[0]), with_kwargs=True
    )
    settings = loose(preset, runs=2, iterations=3)
    table = probe(pipe, PROMPT, **quick(pipe, preset=settings, guidance_scale=guidance))
    handle.remove()
    k = 2 if guidance else 1
    students = 2 * 3 * 2 * settings.candidates * k  # runs, iterations, steps
    assert batches[:2] == [k, k] and max(batches) > k
    assert table.diagnostics["unet_samples"] == sum(batches)
    assert sum(batches) == 2 * k + students if preset == "paper-text" else 2 * k < sum(batches) < 2 * k + students


def test_progress_rises_to_one_and_the_table_is_the_last_snapshots(pipe):
    seen = []
    table = probe(pipe, PROMPT, on_progress=seen.append, **quick(pipe, batch_size=2))
    assert [(s.run, s.iteration) for s in seen] == [(run, i) for run in range(3) for i in range(4)]
    np.testing.assert_allclose([s.done for s in seen], np.arange(1, 13) / 12)
    assert seen[-1].done == 1.0 and seen[-1].table == table
    assert [s.runs_completed for s in seen] == [0] * 3 + [1] * 4 + [2] * 4 + [3]
    together = [s.done for s in iter_probe(pipe, ProbeRequest.of(PROMPT, **quick(pipe, batch_size=4)))]
    np.testing.assert_allclose(together, [*np.arange(1, 5) / 6, *(8 + np.arange(1, 5)) / 12])


def test_a_stopped_probe_keeps_what_finished(pipe):
    first_run = probe(pipe, PROMPT, **quick(pipe, runs=1))
    snapshots = iter_probe(pipe, ProbeRequest.of(PROMPT, **quick(pipe, batch_size=2)))
    partial = next(snapshots)
    assert partial.runs_completed == 0 and partial.table.runs == 1 and partial.thresholds.shape == (1, 2, 7)
    stopped = [next(snapshots) for _ in range(5)][-1]
    snapshots.close()
    assert (stopped.run, stopped.iteration, stopped.runs_completed, stopped.table.runs) == (1, 1, 1, 1)
    np.testing.assert_array_equal(stopped.table.scores, first_run.scores)
    assert stopped.table.diagnostics["acceptance_rate"] == first_run.diagnostics["acceptance_rate"]


def image(pipe):
    generator = torch.Generator().manual_seed(0)
    return pipe(PROMPT, num_inference_steps=2, height=SIDE, width=SIDE, generator=generator, output_type="np").images


def attached(unet):
    return [
        (name, len(module._forward_hooks), len(module._forward_pre_hooks), "forward" in vars(module))
        for name, module in unet.named_modules()
    ]


def test_the_pipeline_is_vanilla_between_snapshots_and_afterwards(pipe):
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    scheduler, before, hooks = pipe.scheduler, image(pipe), attached(pipe.unet)
    weights = {name: tensor.clone() for name, tensor in pipe.unet.state_dict().items()}
    untouched, disturbed = probe(pipe, PROMPT, **quick(pipe)), None
    for snapshot in iter_probe(pipe, ProbeRequest.of(PROMPT, **quick(pipe))):
        assert pipe.scheduler is scheduler and attached(pipe.unet) == hooks
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        if snapshot.iteration == 0:
            np.testing.assert_array_equal(image(pipe), before)
        disturbed = snapshot.table
    assert disturbed == untouched
    assert all(torch.equal(weights[name], tensor) for name, tensor in pipe.unet.state_dict().items())
    abandoned = iter_probe(pipe, ProbeRequest.of(PROMPT, **quick(pipe)))
    next(abandoned)
    abandoned.close()
    assert pipe.scheduler is scheduler and attached(pipe.unet) == hooks
    np.testing.assert_array_equal(image(pipe), before)
    pipe.unet(torch.randn(1, 4, 8, 8), 1, torch.randn(1, 77, 16)).sample.mean().backward()


@pytest.mark.parametrize("call", [0, 2])
def test_an_exception_leaves_the_pipeline_vanilla(pipe, call):
    """In the teacher's first call, and in the first student's."""
    scheduler, before, hooks = pipe.scheduler, image(pipe), attached(pipe.unet)
    calls = []

    def fail(module, args):
        calls.append(module)
        if len(calls) == call + 1:
            raise RuntimeError("power cut")

    handle = pipe.unet.conv_out.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="power cut"):
        probe(pipe, PROMPT, **quick(pipe, preset=loose("paper-text")))
    handle.remove()
    assert pipe.scheduler is scheduler and attached(pipe.unet) == hooks
    np.testing.assert_array_equal(image(pipe), before)


def test_the_scheduler_becomes_ddim_and_keeps_its_spacing(pipe):
    euler = {"beta_schedule": "scaled_linear", "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    pipe.scheduler = EulerDiscreteScheduler(**euler)
    seen = []

    def look(unet, args, kwargs):
        seen.append((pipe.scheduler, int(args[1])))

    handle = pipe.unet.register_forward_pre_hook(look, with_kwargs=True)
    record_teacher(pipe, Trajectory(prompt=PROMPT, steps=2, seed=0, height=SIDE, width=SIDE))
    handle.remove()
    ddim = seen[0][0]
    assert isinstance(ddim, DDIMScheduler) and [t for _, t in seen] == [999, 499]
    assert ddim.config.prediction_type == "v_prediction" and ddim.config.clip_sample is False
    pipe.scheduler = DDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    seen.clear()
    handle = pipe.unet.register_forward_pre_hook(look, with_kwargs=True)
    record_teacher(pipe, Trajectory(prompt=PROMPT, steps=1, seed=0, height=SIDE, width=SIDE))
    handle.remove()
    assert seen[0][0].config.rescale_betas_zero_snr and seen[0][0].config.clip_sample is True


@pytest.mark.parametrize("guidance", [0.0, 4.0])
def test_sdxl(sdxl_pipe, guidance):
    teacher = record_teacher(
        sdxl_pipe, Trajectory(prompt=PROMPT, steps=2, seed=0, guidance_scale=guidance, height=SIDE, width=SIDE)
    )
    assert teacher.batched and teacher.k == (2 if guidance else 1)
    assert (teacher.losses(np.array([0, 1]), np.ones((2, 5))) < 1e-10).all()
    table = probe(sdxl_pipe, PROMPT, **quick(sdxl_pipe, guidance_scale=guidance))
    assert table.scores.shape == (2, 5) and table.blocks == tuple("12345")
    one_at_a_time = probe(sdxl_pipe, PROMPT, **quick(sdxl_pipe, guidance_scale=guidance, batch_size=1))
    assert one_at_a_time == table


def test_inputs_that_cannot_be_stacked_are_replayed_one_by_one(pipe):
    options = {"steps": 2, "seed": 0, "guidance_scale": 4.0, "height": SIDE, "width": SIDE}
    step, w = np.array([1, 0, 1]), np.random.default_rng(0).uniform(0.8, 1, (3, 7))
    stacked = record_teacher(pipe, Trajectory(prompt=PROMPT, **options))

    def differ(unet, args, kwargs):
        kwargs["cross_attention_kwargs"] = kwargs["cross_attention_kwargs"] or {"scale": float(args[1])}
        return args, kwargs

    handle = pipe.unet.register_forward_pre_hook(differ, with_kwargs=True)
    single = record_teacher(pipe, Trajectory(prompt=PROMPT, **options))
    handle.remove()
    assert stacked.batched and not single.batched
    np.testing.assert_allclose(single.losses(step, w), stacked.losses(step, w), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("conv_out.bias", "step 1 of 2, outside the target blocks"),
        ("mid_block.attentions.0.norm.weight", "step 1 of 2, first in block 3"),
        ("up_blocks.2.attentions.1.norm.bias", "step 1 of 2, first in block 5"),
    ],
)
def test_weights_that_are_not_finite_are_refused(pipe, name, at):
    pipe.unet.get_parameter(name).data[0] = float("nan")
    with pytest.raises(FloatingPointError, match=f"output is not a finite number at {at}"):
        probe(pipe, PROMPT, **quick(pipe))


def test_a_student_that_is_not_finite_is_never_voted_on(pipe):
    calls = []

    def poison(module, args, output):
        calls.append(module)
        return (output[0] * float("nan"),) if len(calls) > 2 else None

    hooks = attached(pipe.unet)
    handle = pipe.unet.up_blocks[1].attentions[1].register_forward_hook(poison)
    with pytest.raises(FloatingPointError, match=r"error is not a finite number at step \d of 2, first in block 4: "):
        probe(pipe, PROMPT, **quick(pipe))
    handle.remove()
    assert attached(pipe.unet) == hooks


@pytest.mark.parametrize(("options", "sentence"), [
    ({"prompt": " \n"}, "prompt is blank"),
    ({"prompt": None}, "prompt is blank"),
    ({"steps": 0}, "from 1 to 50, not 0"),
    ({"steps": 51}, "from 1 to 50, not 51"),
    ({"steps": True}, "from 1 to 50, not True"),
    ({"steps": 2.0}, "from 1 to 50, not 2.0"),
    ({"preset": "paper"}, "choose one of paper-code, paper-text, calibrated"),
    ({"runs": 0}, "runs must be a whole number of at least 1, not 0"),
    ({"iterations": -1}, "iterations must be a whole number of at least 1, not -1"),
    ({"batch_size": 0}, "batch_size must be"),
    ({"candidates": 0}, "candidates must be"),
    ({"images": 0}, "images must be"),
    ({"precision": 0.0}, r"precision must lie in \(0, 1\], not 0.0"),
    ({"seed": -1}, "seed must be"),
])  # fmt: skip
def test_bad_requests_get_one_sentence_at_once(pipe, options, sentence):
    options = {"prompt": PROMPT, "steps": 2} | options
    with pytest.raises(ValueError, match=sentence) as error:
        iter_probe(pipe, ProbeRequest.of(**options))
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_a_pipeline_without_a_unet_is_refused(pipe):
    for measure in (probe, sensitivity):
        with pytest.raises(ValueError, match="SimpleNamespace has no U-Net"):
            measure(SimpleNamespace(transformer=pipe.unet), PROMPT, steps=1)
    with pytest.raises(ValueError, match="SimpleNamespace has no U-Net"):
        iter_probe(SimpleNamespace(transformer=pipe.unet), ProbeRequest.of(PROMPT, steps=1))


@pytest.mark.parametrize("changes", [
    {"runs": 0}, {"runs": True}, {"iterations": 1.5}, {"candidates": 0}, {"bound": (0.1,)}, {"tol": (-1e-4, 1e-4)},
    {"tol": (float("nan"), 1)}, {"init": (0.9, 0.8)}, {"init": (0.5, 1.5)}, {"init": (0, 0)}, {"margin": 1.0},
    {"accepted_low": (0.5, 1.5)}, {"precision": 1.5}, {"off": 1.5}, {"off": 0.2, "tol": (0.0, 1.0)},
])  # fmt: skip
def test_settings_are_checked_on_construction(changes):
    with pytest.raises(ValueError, match=[*changes][-1]):
        ProbeSettings(**changes)


@pytest.mark.parametrize("bypass", [False, True])
def test_sensitivity_against_one_block_at_a_time(pipe, bypass):
    measured = sensitivity(
        pipe, PROMPT, steps=2, h=0.1, bypass=bypass, seed=5, guidance_scale=4.0, height=SIDE, width=SIDE
    )
    unet = pipe.unet
    stages = [*unet.down_blocks[:3], unet.mid_block, *unet.up_blocks[1:]]
    expected = np.zeros((2, 7))
    with torch.no_grad():
        for t, (timestep, halves) in enumerate(literal_trajectory(pipe, 2, 5, 4.0)):
            for i in range(7):
                errors = []
                for value, threshold in [(1.0, 2.0)] if bypass else [(0.9, 0.0), (1.1, 0.0)]:
                    w, q = np.ones(7), np.zeros(7)
                    w[i], q[i] = value, threshold
                    for x, c in halves:
                        student = literal_student(unet, stages, timestep, x, c, w, q)
                        errors.append(float((unet(x, timestep, c).sample - student).square().mean()))
                expected[t, i] = np.mean(errors)
    np.testing.assert_allclose(np.sqrt(measured), np.sqrt(expected), rtol=1e-4, atol=1e-6)
    for h in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="h must lie in"):
            sensitivity(pipe, PROMPT, steps=2, h=h)


def test_chance_alone_is_told_from_agreement_by_the_orders_of_the_blocks():
    order = np.arange(7.0)[None]
    assert agreement_p(order, order) == agreement_p(order, -order) == 2 / 5040
    assert agreement_p(np.ones((2, 7)), np.vstack([order, order])) == 1
    turned = order.copy()
    turned[0, :5] = turned[0, 4::-1]  # 10 of 21 pairs the other way round: tau-b 1/21
    assert agreement(order, turned) == pytest.approx(1 / 21) and agreement_p(order, turned) > 0.9
    one, many = np.array([[0, 2, 1, 4, 3, 6, 5.0]]), np.array([[0, 2, 1, 4, 3, 6, 5.0]] * 12)
    assert agreement_p(np.repeat(order, 12, 0), many) == agreement_p(order, one), "steps alike are no more evidence"
    steps = agreement_by_step(np.vstack([order, order]), np.vstack([order, turned]))
    assert steps == pytest.approx([1, 1 / 21])
    assert 1 / 5001 <= agreement_p(np.arange(9.0)[None], np.arange(9.0)[None]) < 0.001


def test_agreement_is_kendalls_tau_b():
    order = np.arange(5.0)[None]
    assert agreement(order, order**3) == 1.0
    assert agreement(order, -order) == -1.0
    assert agreement(np.vstack([order, order]), np.vstack([order, -order])) == 0.0
    assert agreement(np.ones((1, 5)), order) == 0.0
    # 12 2 1 4 7 1 0 against 1 4 7 1 0 2 2: concordant 4, discordant 15, ties 1 and 2 of 21 pairs
    x, y = np.array([[12, 2, 1, 4, 7, 1, 0]]), np.array([[1, 4, 7, 1, 0, 2, 2]])
    pairs = [np.sign(x[0, i] - x[0, j]) * np.sign(y[0, i] - y[0, j]) for i in range(7) for j in range(i)]
    assert agreement(x, y) == pytest.approx(sum(pairs) / np.sqrt((21 - 1) * (21 - 2)))
    with pytest.raises(ValueError, match=r"\(1, 5\) and \(1, 7\)"):
        agreement(order, x)
    with pytest.raises(ValueError, match="not a finite number"):
        agreement(order, np.full((1, 5), np.nan))
