"""The judge: a small convolutional classifier of a picture's scene, trained separately from the generator.

It labels subjects by position: the first is the left or the upper one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from ...models.folder import SUMS, ModelError, check_sums, sha256
from ...models.registry import ASSETS
from ...scoring.convnet import FEATURES, ConvNet, as_batch
from ..train import checkpoint
from ..world.dataset import scene_at
from ..world.scenes import COLOURS, SETTINGS, SIZES, STYLES, SUBJECTS, Scene, parse

FOLDER = ASSETS / "toy-judge"
HEADS = {
    "subject": list(SUBJECTS), "colour": ["", *COLOURS], "size": list(SIZES), "setting": list(SETTINGS),
    "style": list(STYLES), "relation": ["", "beside", "above"], "second": ["", *SUBJECTS],
    "second colour": ["", *COLOURS],
}  # fmt: skip
ATTRIBUTES = ("subject", "colour", "setting", "style")
BATCH, PEAK = 64, 3e-3
HELD_OUT_SEED = 101  # of the real pictures for the ceilings and for the reference of the Fréchet distance


class Classifier(nn.Module):
    """Pictures (n, 3, 128, 128) in [-1, 1] to logits, one (n, options) for each of HEADS."""

    def __init__(self) -> None:
        super().__init__()
        self.eyes = ConvNet()
        self.heads = nn.Linear(FEATURES, sum(map(len, HEADS.values())))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.heads(self.eyes(pictures)).split([len(options) for options in HEADS.values()], dim=1)


@dataclass(frozen=True)
class Judge:
    """The trained classifier, and its results on real pictures of held-out scenes.

    ceilings: (right, of) by figure, as counted by `tally`. mean (128,), covariance (128, 128): of the features of real
    single subjects. digest: the checksum of its weights.
    """

    classifier: Classifier
    ceilings: dict[str, tuple[int, int]]
    mean: np.ndarray
    covariance: np.ndarray
    digest: str

    @torch.inference_mode()
    def read(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answers (n, heads) as indices into the options, and features (n, 128), for uint8 pictures (n, 128, 128, 3)."""
        return _read(self.classifier, pictures)


def labels(scenes: list[Scene]) -> np.ndarray:
    """The correct labels, (2, n, heads): in two orders, which differ if the caption does not fix the positions."""
    return np.stack([[_label(scene, turn) for scene in scenes] for turn in (False, True)])


def tally(scenes: list[Scene], answers: np.ndarray) -> dict[str, tuple[int, int]]:
    """Numbers of correct answers and of questions, by figure; answers (n, heads).

    Attributes are those of single subjects. "relation" requires both subjects of a pair in the right positions; "relation
    of those seen" only the positions, for pairs in which both subjects were recognised.
    """
    hits = answers == labels(scenes)  # (2, n, heads)
    single = np.array([len(scene.things) == 1 for scene in scenes])
    names = list(HEADS)
    counts = {
        name: (int(hits[0, single, names.index(name)].sum()), int(single.sum())) for name in (*ATTRIBUTES, "size")
    }
    placed = hits[:, ~single][:, :, [names.index(name) for name in ("subject", "second", "relation")]].all(2).any(0)
    pairs = [scene for scene in scenes if len(scene.things) == 2]
    seen = np.array([
        {thing.subject for thing in pair.things} == {HEADS[name][row[names.index(name)]] for name in ("subject", "second")}
        for pair, row in zip(pairs, answers[~single], strict=True)
    ], dtype=bool)  # fmt: skip
    counts["relation"] = int(placed.sum()), len(pairs)
    counts["relation of those seen"] = int(placed[seen].sum()), int(seen.sum())
    return {name: count for name, count in counts.items() if count[1]}


def obeyed(captions: Sequence[str], answers: np.ndarray) -> np.ndarray:
    """The share of each caption's attributes that were recognised, (n,); answers (n, heads).

    The attributes are the subjects, their colours and positions, the style, and the setting if the caption names one.
    """
    shares, names = [], list(HEADS)
    for caption, row in zip(captions, answers, strict=True):
        scene = parse(caption)
        asked = ["subject", "colour", "style"] + ["setting"] * bool(scene.setting)
        asked += ["second", "second colour", "relation"] * (len(scene.things) == 2)
        whole = scene if scene.setting else replace(scene, setting=next(iter(SETTINGS)))
        columns = [names.index(name) for name in asked]
        shares.append(max(np.equal(row, _label(whole, turn))[columns].mean() for turn in (False, True)))
    return np.array(shares)


def unspoilt(seed: int, count: int, *, pairs: float, held_out: bool = True) -> dict[int, Scene]:
    """The undamaged ones of the first `count` scenes of a set, by index."""
    scenes = {i: scene_at(seed, i, pairs, held_out) for i in range(count)}
    return {i: scene for i, scene in scenes.items() if not scene.damage}


def train_classifier(
    work: Path, pictures: np.ndarray, scenes: list[Scene], *, minutes: float, device: str, seed: int, on_progress
) -> Classifier:
    """Train for `minutes` in total, including earlier runs, with a checkpoint every minute; up to 512 pictures are held out."""
    torch.manual_seed(seed)
    classifier = Classifier().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=PEAK, weight_decay=1e-2)
    training = checkpoint.Training(
        work / "classifier.pt", optimizer, minutes=minutes, every=60, hold=0.3, model=classifier
    )
    known, apart = torch.from_numpy(labels(scenes)), min(512, len(scenes) // 4)
    rng = np.random.default_rng([seed, 13, training.step])
    for step in training:
        rows = np.sort(rng.choice(len(scenes) - apart, BATCH, replace=False))
        x = varied(as_batch(pictures[rows], device), rng)
        with torch.autocast(device, torch.bfloat16):
            logits = classifier(x)
        loss = either_order_loss(logits, known[:, rows].to(device))
        training.learn(loss)
        if step % 50 == 0:
            on_progress("classifier", training.fraction, f"step {step}, loss {loss.item():.3f}")
        if training.due:
            training.save()
            answers, _ = _read(classifier, pictures[-apart:])
            right = {name: f"{k / n:.1%}" for name, (k, n) in tally(scenes[-apart:], answers).items()}
            on_progress("classifier", training.fraction, f"step {step}, {right}")
    return classifier.eval()


def either_order_loss(logits: tuple[torch.Tensor, ...], known: torch.Tensor) -> torch.Tensor:
    """Cross-entropy summed over the heads, for the order with the smaller loss; known: labels (2, n, heads)."""
    orders = [
        sum(F.cross_entropy(out.float(), order[:, i], reduction="none") for i, out in enumerate(logits))
        for order in known
    ]
    return torch.minimum(*orders).mean()


def varied(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Augmentation: random shift and brightness, and blur for half of the batches, so that sharpness does not matter."""
    dy, dx = rng.integers(0, 9, 2)
    x = F.pad(x, (4, 4, 4, 4), mode="replicate")[..., dy : dy + x.shape[2], dx : dx + x.shape[3]]
    x = ((x + 1) * float(rng.uniform(0.9, 1.1)) - 1).clamp(-1, 1)
    if rng.random() < 0.5:
        x = torch.lerp(x, F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1), float(rng.uniform(0, 0.9)))
    return x.contiguous(memory_format=torch.channels_last)


def export_classifier(
    work: Path, folder: Path, singles: tuple[list[Scene], np.ndarray], pairs: tuple[list[Scene], np.ndarray]
) -> None:
    """Write the weights in half precision, and the results on real pictures of held-out scenes.

    singles, pairs: scenes with one subject and with two, and their pictures, uint8 (n, 128, 128, 3).
    """
    saved = checkpoint.load(work / "classifier.pt")
    if saved is None:
        raise ValueError("There is no classifier's checkpoint to export yet: train first.")
    weights = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in saved["model"].items()}
    classifier = Classifier()
    classifier.load_state_dict(weights)
    (alone, features), (both, _) = (_read(classifier, pictures) for _, pictures in (singles, pairs))
    reference = {"mean": features.mean(0), "covariance": np.cov(features, rowvar=False)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    save_file({name: torch.from_numpy(a).float() for name, a in reference.items()}, folder / "reference.safetensors")
    ceilings = tally([*singles[0], *pairs[0]], np.concatenate([alone, both]))
    (folder / "real.json").write_text(json.dumps({"right": ceilings}, indent=1) + "\n", encoding="utf-8")
    sums = {path.name: sha256(path) for path in sorted(folder.glob("*.safetensors"))}
    (folder / SUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def load_judge(folder: Path = FOLDER) -> Judge:
    """Load the judge from a folder, verifying checksums. ModelError of one sentence otherwise."""
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError("The judge is missing: make it with `python -m reweight.toy classifier`.")
    check_sums(folder, "The judge")
    classifier = Classifier()
    classifier.load_state_dict({name: t.float() for name, t in load_file(weights).items()})
    reference = load_file(folder / "reference.safetensors")
    ceilings = json.loads((folder / "real.json").read_text(encoding="utf-8"))["right"]
    return Judge(
        classifier.eval(), {name: tuple(count) for name, count in ceilings.items()},
        reference["mean"].double().numpy(), reference["covariance"].double().numpy(), sha256(weights),
    )  # fmt: skip


@torch.inference_mode()
def _read(classifier: Classifier, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    training = classifier.training
    classifier.eval()
    device = classifier.heads.weight.device.type
    answers, features = [], []
    for i in range(0, len(pictures), BATCH):
        seen = classifier.eyes(as_batch(pictures[i : i + BATCH], device))
        logits = classifier.heads(seen).split([len(options) for options in HEADS.values()], dim=1)
        answers.append(torch.stack([out.argmax(1) for out in logits], 1).cpu().numpy())
        features.append(seen.cpu().double().numpy())
    classifier.train(training)
    return np.concatenate(answers), np.concatenate(features)


def _label(scene: Scene, turn: bool) -> list[int]:
    things = scene.things
    if scene.relation == "right of" or (turn and scene.relation == "next to"):
        things = things[::-1]
    relation = "" if len(things) == 1 else "above" if scene.relation == "above" else "beside"
    second = things[1] if len(things) == 2 else None
    said = {
        "subject": things[0].subject, "colour": things[0].colour, "size": things[0].size, "setting": scene.setting,
        "style": scene.style, "relation": relation, "second": second.subject if second else "",
        "second colour": second.colour if second else "",
    }  # fmt: skip
    return [options.index(said[name]) for name, options in HEADS.items()]
