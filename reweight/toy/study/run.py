"""The study: trains the arms in turns, and measures them when all have had their minutes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from ...engine.provenance import current_versions
from ...models.loading import LoadedModel, load_model
from ...models.registry import ASSETS
from ...scoring.toy_scorer import ToyScorer, load_toy_scorer
from ..distill.trajectory import Teacher
from ..judges.classifier import Judge, load_judge
from .arm import Arm, draw_batch
from .arms.assembly import Assembly
from .arms.consistency import Consistency
from .arms.reflow import Reflow
from .material import Material, prepare
from .measures import NOISE_SEED as HELD_NOISE
from .measures import STEPS, Asked, asked, guided_steps, judged, one_step_errors, two_steps, v_losses
from .pairs import SEED as PAIRS_SEED
from .pairs import endpoints, new_teacher, noises
from .training import SEED, ArmTraining, Clock, clock_of

NEW_RATE = 10 / 3  # 1e-3, the embedded model's initial rate
SLICE = 20  # seconds per turn, so that all arms meet the same load of the machine
SHOWN = 4  # digits of each value in the results


@dataclass(frozen=True)
class Size:
    """Sizes. pictures, held: rendered for training and validation. pairs: of noise and endpoint. singles, two: judged captions
    with one and two subjects."""

    pictures: int = 2048
    held: int = 192
    pairs: int = 256
    held_pairs: int = 48
    singles: int = 56
    two: int = 24
    batch: int = 64


class Study:
    """What the arms share, computed or read from `work`. ValueError of one sentence for invalid sizes.

    new: start from random weights, the same for all arms, with NEW_RATE times their learning rate.
    """

    def __init__(
        self, work: Path, art: Path, base: str, size: Size, workers: int, on_progress: Callable, new: bool = False
    ):  # fmt: skip
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.work, self.size, self.device, self.on_progress, self.new = work, size, device, on_progress, new
        self.base: LoadedModel = load_model(base, device=device, dtype="float32", local=True)
        self.scorer: ToyScorer = load_toy_scorer(device=device)
        self.judge: Judge = load_judge()
        self.judge.classifier.to(device)
        self.tables = (ASSETS / base if (ASSETS / base).is_dir() else Path(base)) / "tables"
        self.material: Material = prepare(
            work,
            art,
            self.base,
            self.scorer,
            known=size.pictures,
            held=size.held,
            workers=workers,
            on_progress=on_progress,
        )
        self.asked: Asked = asked(self.base, self.scorer, self.material, size.singles, size.two)
        self._teacher: Teacher = new_teacher(self.base)
        blank = self.material.blank.to(device)
        self._guided = guided_steps(self._teacher.way, blank)
        self.clock: Clock = clock_of(device)

    def ends(self, held: bool) -> torch.Tensor:
        """The teacher's endpoints for training or held-out captions, computed on first use."""
        count = self.size.held_pairs if held else self.size.pairs
        pictures, seed = (self.material.held, HELD_NOISE) if held else (self.material.known, PAIRS_SEED)
        path = self.work / f"{'held' if held else 'known'}-ends.npy"
        return endpoints(path, self._teacher, pictures, count, seed, self.on_progress)

    def begin(self, kind: type[Arm]) -> Arm:
        """An arm before training."""
        torch.manual_seed(SEED)
        unet = UNet2DConditionModel.from_config(self._teacher.unet.config) if self.new else self._teacher.copy()
        torch.manual_seed(SEED)
        arm = self._made(kind, unet)
        if self.new:
            arm.rate *= NEW_RATE
        return arm

    def _made(self, kind: type[Arm], unet: UNet2DConditionModel) -> Arm:
        if issubclass(kind, Consistency):
            return kind(unet, self.material, self.device, self._teacher)
        if issubclass(kind, Reflow):
            ends = self.ends(held=False)
            return kind(unet, self.material, self.device, noises(len(ends), ends.shape[1:], PAIRS_SEED), ends)
        if issubclass(kind, Assembly):
            return kind(unet, self.material, self.device, self.tables)
        return kind(unet, self.material, self.device)

    def training(self, arm: Arm) -> ArmTraining:
        """An arm's training, resumed from its checkpoint."""
        size = self.size
        start = f"{arm.key} {self.base.revision} {size.pictures} {size.pairs} {size.batch}"
        draw = partial(draw_batch, self.material, arm.way, size.batch, self.device)
        path = self.work / f"{'new' if self.new else 'arm'}-{arm.key}.pt"
        return ArmTraining(path, arm, start, draw, self.clock)

    def loss(self, net: torch.nn.Module, arm: Arm) -> np.ndarray:
        """Validation loss per held-out example: the velocity's, or for a student its one-step error against the teacher."""
        if arm.kind == "student":
            return one_step_errors(net, arm.way, self.material, self.ends(held=True), self.device)
        return v_losses(net, arm.way, self.material, self.device)

    def measure(self, net: torch.nn.Module, arm: Arm) -> dict[str, Any]:
        """Losses (n,) and the judge's reading of a network, cached in `work` by a checksum of its weights and its sampler."""
        digest = _digest(net, arm, self.size)
        path = self.work / f"measured-{digest}.json"
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        draw = self._guided if arm.kind != "student" else two_steps(arm.two_steps)
        found = {"loss": self.loss(net, arm).tolist()}
        if arm.key == "memory":
            found["loss with the picture's own memory"] = v_losses(
                net, arm.way, self.material, self.device, own_memory=True
            ).tolist()
        if not self.new:
            found |= judged(net, draw, self.asked, self.base.pipe.vae, self.judge, self.device)
        found["GFLOP a call"] = self._work(net)
        found = {name: _rounded(value) for name, value in found.items()}
        path.write_text(json.dumps(found), encoding="utf-8")
        return found

    @torch.no_grad()
    def _work(self, net: torch.nn.Module) -> float:
        what, t = self.asked, torch.tensor([500], device=self.device)
        parts = [part[:1].to(self.device) for part in (what.noise, what.states, what.memory)]
        with FlopCounterMode(display=False) as counter:
            net(parts[0], t, *parts[1:])
        return counter.get_total_flops() / 1e9


def train(study: Study, arms: Sequence[type[Arm]], minutes: int) -> list[ArmTraining]:
    """Train the arms in turns of SLICE seconds until each has had `minutes`; records the loss every minute."""
    trainings = [study.training(study.begin(kind)) for kind in arms]
    for seconds in range(0, 60 * minutes + 1, SLICE):
        for training in trainings:
            training.until(seconds)
            if seconds % 60 == 0 and len(training.history) <= seconds // 60:
                training.note(float(study.loss(training.average, training.arm).mean()))
                text = f"{training.arm.key}: step {training.step}, loss {training.history[-1][2]:.4f}"
                study.on_progress("study", seconds / (60 * minutes), text)
    return trainings


def results(study: Study, trainings: Sequence[ArmTraining], minutes: int) -> dict[str, Any]:
    """The study's results. ValueError if the arms were trained for different times."""
    for training in trainings:
        beyond = training.spent / 60 - minutes
        if beyond < 0 or beyond > 0.5 or len(training.history) != minutes + 1:
            raise ValueError(
                f"{training.arm.key} has had {training.spent / 60:.1f} minutes and the study {minutes}: ask for as many, "
                "or give another --work."
            )
    arms = []
    for training in trainings:
        arm = training.arm
        fresh = study.begin(type(arm))
        arms.append({
            "arm": arm.key, "title": arm.title, "paper": arm.paper, "kind": arm.kind, "steps": training.step,
            "seconds": round(training.spent, 1), "history": training.history,
            "begin": study.measure(fresh.net.eval(), fresh), "end": study.measure(training.average, arm),
            **({"left_out": arm.left_out} if isinstance(arm, Assembly) else {}),
        })  # fmt: skip
    return {
        "format": "reweight-toy-study-1", "model": study.base.source, "revision": study.base.revision, "minutes": minutes,
        "start": "new" if study.new else "shipped",
        "rate": {training.arm.key: training.arm.rate for training in trainings}, "size": vars(study.size),
        "sampling steps": STEPS, "device": study.device, "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(), "seed": SEED, "judge": study.judge.digest[:12],
        "scorer": study.scorer.version, "measured": time.strftime("%Y-%m-%d"), "load": [round(x, 1) for x in os.getloadavg()],
        "versions": current_versions(), "arms": arms,
    }  # fmt: skip


def _digest(net: torch.nn.Module, arm: Arm, size: Size) -> str:
    drawn = arm.key if arm.kind == "student" else "guided"
    code = hashlib.sha256(f"{drawn} {size}".encode())
    for weight in net.state_dict().values():
        code.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return code.hexdigest()[:12]


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [float(f"{x:.{SHOWN}g}") for x in value]
    return float(f"{value:.{SHOWN}g}")
