"""Training throughput on this machine: the time of a step by stage, for several variants."""

from __future__ import annotations

import copy
import os
import platform
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextModel

from ...engine.provenance import current_versions
from ...models.loading import LoadedModel
from ..distill.trajectory import Trajectory
from .checkpoint import update_average
from .denoiser import draw_timesteps, new_scheduler
from .training_examples import Examples

STAGES = ("data", "text encoder", "forward", "backward", "optimiser")
BACKWARD = 3  # a step costs three forward passes: backward computes gradients of inputs and of weights
MATRIX = 1024
TRIES = 3
EXAMPLES = 2048


@dataclass(frozen=True)
class Variant:
    """A variant of the step: name, number format, plain attention or SDPA, memory format, compiled or not."""

    name: str
    bf16: bool = True
    plain: bool = True
    channels_last: bool = False
    compiled: bool = False
    frozen_text: bool = False


VARIANTS = (
    Variant("float32, SDPA", bf16=False, plain=False), Variant("float32, plain attention", bf16=False),
    Variant("bf16, SDPA", plain=False), Variant("bf16, plain attention"),
    Variant("bf16, plain, channels last", channels_last=True),
    Variant("bf16, plain, text states precomputed", frozen_text=True), Variant("bf16, plain, compiled", compiled=True),
)  # fmt: skip


@dataclass(frozen=True)
class Seconds:
    """Seconds of one step's stages by name: elapsed, and of the processor, all threads together."""

    passed: dict[str, float]
    processor: dict[str, float]


class Stopwatch:
    """Adds up the seconds of each stage; on CUDA it synchronises at the end of a stage."""

    def __init__(self, device: str):
        self._device, self._last = device, (0.0, 0.0)
        self.passed, self.processor = dict.fromkeys(STAGES, 0.0), dict.fromkeys(STAGES, 0.0)

    def start(self) -> None:
        """Begin a stage."""
        self._last = self._now()

    def end(self, stage: str) -> None:
        """End it, and begin the next."""
        now = self._now()
        self.passed[stage] += now[0] - self._last[0]
        self.processor[stage] += now[1] - self._last[1]
        self._last = now

    def _now(self) -> tuple[float, float]:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()


class Step:
    """A training step of U-Net and text encoder as one variant; calling it with a stopwatch runs one step."""

    def __init__(self, variant: Variant, unet: UNet2DConditionModel, encoder: CLIPTextModel, examples: Examples, batch: int, device: str):  # fmt: skip
        self.variant, self.batch, self.device = variant, batch, device
        self.unet, self.encoder = copy.deepcopy(unet).to(device).train(), copy.deepcopy(encoder).to(device).train()
        self.unet.set_attn_processor(AttnProcessor() if variant.plain else AttnProcessor2_0())
        if variant.channels_last:
            self.unet.to(memory_format=torch.channels_last)
        self.model = torch.nn.ModuleList([self.unet] if variant.frozen_text else [self.unet, self.encoder])
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.encoder.requires_grad_(not variant.frozen_text)
        self.call = torch.compile(self.unet) if variant.compiled else self.unet
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=True)
        self.examples, self.way = examples.to(device), Trajectory(new_scheduler(), device)
        self.states = self._told(self.examples.ids[:batch, 0]).detach()

    def _told(self, ids: torch.Tensor) -> torch.Tensor:
        return self.encoder(ids).last_hidden_state

    def __call__(self, watch: Stopwatch) -> None:
        watch.start()
        x, ids = self.examples.draw(self.batch, 0.0)
        t, noise = draw_timesteps(len(x), self.device), torch.randn_like(x)
        x_t = self.way.noised(x, noise, t)
        if self.variant.channels_last:
            x_t = x_t.to(memory_format=torch.channels_last)
        watch.end("data")
        with torch.autocast(self.device, torch.bfloat16) if self.variant.bf16 else nullcontext():
            states = self.states if self.variant.frozen_text else self._told(ids)
            watch.end("text encoder")
            v = self.call(x_t, t, states, return_dict=False)[0].float()
            loss = F.mse_loss(v, self.way.velocity(x, noise, t))
        watch.end("forward")
        loss.backward()
        watch.end("backward")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        update_average(self.average, self.model, 0.999)
        watch.end("optimiser")


def measure(
    loaded: LoadedModel, *, variants: tuple[Variant, ...] = VARIANTS, threads: tuple[int, ...] = (1, 2), batch: int = 64,
    tries: int = TRIES, matrix: int = MATRIX,
) -> dict[str, Any]:  # fmt: skip
    """Measures every variant with every number of threads, interleaved, on random latents.

    Reports the fastest of `tries` steps after one warm-up, which also compiles a compiled variant.
    matrix: the side of the product. share: of that matrix product's speed with the same number format and threads. ValueError of one sentence for a number
    out of range.
    """
    for name, value in (("batch", batch), ("tries", tries), *(("threads", count) for count in threads)):
        if value < 1:
            raise ValueError(f"The number of {name} must be at least 1, not {value}.")
    device, unet = loaded.device, loaded.pipe.unet
    examples, work = made_up(loaded), flops(loaded)
    before, rows, speeds = torch.get_num_threads(), [], {}
    try:
        for count in threads:
            torch.set_num_threads(count)
            speeds[count] = {str(bf16): matrix_speed(bf16, device, matrix) for bf16 in (False, True)}
            for variant in variants:
                began = time.perf_counter()
                step = Step(variant, unet, loaded.pipe.text_encoder, examples, batch, device)
                step(Stopwatch(device))
                first = time.perf_counter() - began
                found = [_timed(step) for _ in range(tries)]
                best = min(found, key=lambda seconds: sum(seconds.passed.values()))
                least = min(found, key=lambda seconds: sum(seconds.processor.values()))
                rows.append(_row(variant, count, batch, best, least, first, work, speeds[count][str(variant.bf16)]))
    finally:
        torch.set_num_threads(before)
    return {
        "format": "reweight-toy-throughput-1", "model": loaded.source, "revision": loaded.revision, "device": device,
        "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "batch": batch, "tries": tries,
        "GFLOP a step": BACKWARD * work * batch,
        "measured": time.strftime("%Y-%m-%d"), "matrix GFLOP/s": {
            str(count): {"float32": by["False"], "bf16": by["True"]} for count, by in speeds.items()
        }, "versions": current_versions(), "rows": rows,
    }  # fmt: skip


def joined(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The new rows, and those of an earlier measurement with the same settings for other variants.

    The matrix product's speed is the higher of both.
    """
    if any(before.get(key) != found[key] for key in ("format", "revision", "device", "processor", "batch")):
        return found
    new = {(row["variant"], row["threads"]) for row in found["rows"]}
    rows = [row for row in before["rows"] if (row["variant"], row["threads"]) not in new] + found["rows"]
    order = [variant.name for variant in VARIANTS]
    rows.sort(key=lambda row: (row["threads"], order.index(row["variant"]) if row["variant"] in order else len(order)))
    speeds = {**before["matrix GFLOP/s"]}
    for threads, by in found["matrix GFLOP/s"].items():
        known = speeds.get(threads, by)
        speeds[threads] = {kind: max(by[kind], known[kind]) for kind in by}
    for row in rows:
        per_second = found["GFLOP a step"] / found["batch"] * row["latents a processor second"]
        kind = "float32" if row["variant"].startswith("float32") else "bf16"
        row["share"] = per_second * row["threads"] / speeds[str(row["threads"])][kind]
    return found | {"rows": rows, "matrix GFLOP/s": speeds}


def _timed(step: Step) -> Seconds:
    watch = Stopwatch(step.device)
    step(watch)
    return Seconds(watch.passed, watch.processor)


def _row(
    variant: Variant, threads: int, batch: int, best: Seconds, least: Seconds, first: float, work: float, speed: float
) -> dict[str, Any]:
    seconds, processor = sum(best.passed.values()), sum(least.processor.values())
    return {
        "variant": variant.name, "threads": threads, "seconds": best.passed, "processor seconds": least.processor,
        "latents a second": batch / seconds, "latents a processor second": batch / processor,
        "load": round(os.getloadavg()[0], 1), "share": BACKWARD * work * batch / (processor / threads) / speed, "first step": first,
    }  # fmt: skip


def made_up(loaded: LoadedModel) -> Examples:
    """Random latents and captions in the model's shapes."""
    config, length = loaded.pipe.unet.config, loaded.pipe.tokenizer.model_max_length
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(EXAMPLES, config.in_channels, config.sample_size, config.sample_size, generator=generator)
    ids = torch.randint(0, len(loaded.pipe.tokenizer), (EXAMPLES, 8, length), generator=generator)
    rows = torch.arange(EXAMPLES)
    return Examples(latents.half(), ids, ids[0, 0], rows, rows[:1])


@torch.no_grad()
def flops(loaded: LoadedModel) -> float:
    """GFLOP of one U-Net call for one latent."""
    config, unet = loaded.pipe.unet.config, loaded.pipe.unet
    x = torch.zeros(1, config.in_channels, config.sample_size, config.sample_size, device=loaded.device)
    states = torch.zeros(1, loaded.pipe.tokenizer.model_max_length, config.cross_attention_dim, device=loaded.device)
    with FlopCounterMode(display=False) as counter:
        unet(x, torch.tensor([1], device=loaded.device), states)
    return counter.get_total_flops() / 1e9


def matrix_speed(bf16: bool, device: str, size: int) -> float:
    """GFLOP/s of a square matrix product with the current number of threads: the fastest of four, by processor time per thread."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    watch, found = Stopwatch(device), []
    for _ in range(5):
        watch.start()
        a @ a
        before = watch.processor["data"], watch.passed["data"]
        watch.end("data")
        found.append((watch.processor["data"] - before[0], watch.passed["data"] - before[1]))
    seconds = min(p if device == "cuda" else c / torch.get_num_threads() for c, p in found[1:])
    return 2 * size**3 / seconds / 1e9
