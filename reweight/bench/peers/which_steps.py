"""`python -m reweight bench peers-steps`: whether importance can choose the steps that run in full without a method."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ...storage.atomic import write_atomic

CATEGORY = "peers-steps"
SEED = 42
OTHER = 7901  # seed of the held-out prompts on which steps are measured
ACTS = {  # settings with which a method runs these steps of T in full
    "inherit": lambda full, steps: {"full_steps": full},
    "at-edm": lambda full, steps: {"steps": _others(full, steps), "early": 0},
    "tomesd": lambda full, steps: {"steps": _others(full, steps)},
}
CENTRE, POWER = 15, 1.4  # of DeepCache's non-uniform schedule of 50 steps


def command(
    model: Annotated[str, typer.Option(help="An embedded model.")] = "toy",
    method: Annotated[str, typer.Option(help="inherit, at-edm or tomesd.")] = "inherit",
    steps: Annotated[int, typer.Option(min=3, max=50, help="Denoising steps.")] = 10,
    full: Annotated[list[int] | None, typer.Option(help="How many of them run in full; by default 4.")] = None,
    limit: Annotated[int, typer.Option(min=2, help="Number of held-out prompts to draw.")] = 16,
    probes: Annotated[
        int, typer.Option(min=1, help="Number of other held-out prompts, on which steps are measured.")
    ] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 4,
    minutes: Annotated[float | None, typer.Option(help="Stop after this many minutes; run again to continue.")] = None,
    rows: Annotated[Path, typer.Option(help="A folder for the rows, from which a later run resumes.")] = Path(
        "bench/peers-steps"
    ),
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("bench/peers-steps.json"),
) -> None:
    """Choose full steps by block importance, by change of features, evenly and at random; draw and compare."""
    from rich.console import Console
    from rich.table import Table

    from ...models.loading import load_model
    from ...scoring.scorers import scorer_named
    from ...storage.rowfile import read_rows
    from ..embedded.held_out import captions
    from ..stats.intervals import bootstrap, paired_difference
    from ..stats.result_file import write_json
    from ..stats.run_info import run_info

    if method not in ACTS:
        raise ValueError(f"There are no steps to choose for {method!r}: take {', '.join(ACTS)}.")
    loaded, scorer = load_model(model), scorer_named("toy")
    loaded.pipe.set_progress_bar_config(disable=True)
    rows.mkdir(parents=True, exist_ok=True)
    others = captions(probes, OTHER)
    known = {"revision": loaded.revision, "prompts": others, "steps": steps}
    measured = measured_once(rows, known, lambda: measures(loaded, others, steps))
    plans = {
        f"{count} of {steps}, {name}": chosen
        for count in full or (4,) for name, chosen in choices(measured, steps, count, method).items()
    }  # fmt: skip
    console = Console(width=150)
    settings = {label: ACTS[method](plan, steps) for label, plan in plans.items()}
    if not draw_all(
        loaded,
        captions(limit),
        settings,
        rows,
        method=method,
        steps=steps,
        scorer=scorer,
        batch=batch_size,
        minutes=minutes,
    ):
        console.print("Not everything is drawn yet: run the command again to continue.")
        return
    found = {label: [row for row in read_rows(rows).values() if row["variant"] == label] for label in plans}
    table = Table(
        "", "full steps", "SSIM with vanilla", "error", "score over even", title=f"{method} on {model}, {limit} prompts"
    )
    told = {}
    for label, own in found.items():
        even = {(row["prompt"], row["seed"]): row for row in found[label.split(", ")[0] + ", even"]}
        lines: dict[str, Any] = {"full_steps": plans[label]}
        for name in ("ssim", "mse"):
            values = np.array([row[name] for row in own])
            lines[name] = (float(values.mean()), *bootstrap(np.mean, values, draws=1000))
        for name in ("ssim", "score"):
            lines[f"{name}_over_even"] = paired_difference(
                {(row["prompt"], row["seed"]): row[name] for row in own}, {key: row[name] for key, row in even.items()}
            )
        told[label] = lines
        said = ["{:.3f} [{:.3f}, {:.3f}]".format(*lines["ssim"]), f"{lines['mse'][0]:.4f}"]
        said.append("{:+.4f} [{:+.4f}, {:+.4f}]".format(*lines["score_over_even"]))
        table.add_row(label, " ".join(map(str, plans[label])), *said)
    info = run_info(
        "peers-steps", loaded, method=method, steps=steps, prompts=limit, probes=probes, guidance=loaded.card.guidance,
        scorer=f"{scorer.name} {scorer.version}",
    )  # fmt: skip
    scores = {name: np.round(values, 6).tolist() for name, values in measured.items()}
    write_json(out, info | {"measured": scores, "lines": told})
    console.print(table)
    console.print(f"Wrote {out}.")


def measures(loaded: Any, prompts: Sequence[str], steps: int) -> dict[str, np.ndarray]:
    """Measures of each step, (T,), means over prompts. "importance": the output's error, summed over blocks bypassed one
    at a time; "movement": the error if the step inherits features from the step before, 0 at the first.
    """
    from ...probing.ablation import sensitivity

    def table(prompt: str) -> np.ndarray:
        return sensitivity(
            loaded.pipe, prompt, steps=steps, bypass=True, seed=SEED, guidance_scale=loaded.card.guidance
        ).sum(1)

    return {
        "importance": np.mean([table(prompt) for prompt in prompts], axis=0),
        "movement": np.mean([_movement(loaded, prompt, steps) for prompt in prompts], axis=0),
    }


def measured_once(
    folder: Path, told: dict[str, Any], measure: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What `measure` returns, cached in a file beside the rows. told: what it depends on."""
    path = folder / "measured.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if {name: found.get(name) for name in told} == told:
        return {name: np.array(values) for name, values in found["measured"].items()}
    measured = measure()
    lists = {name: values.tolist() for name, values in measured.items()}
    write_atomic(path, json.dumps(told | {"measured": lists}).encode())
    return measured


def choices(measured: dict[str, np.ndarray], steps: int, count: int, method: str = "inherit") -> dict[str, list[int]]:
    """Full steps, counted from 1, by each way to choose `count` of T; with feature inheritance the first is always full."""

    def highest(values: np.ndarray) -> list[int]:
        if method == "inherit":
            return sorted([1, *(int(i) + 2 for i in np.argsort(-values[1:], kind="stable")[: count - 1])])
        return sorted(int(i) + 1 for i in np.argsort(-values, kind="stable")[:count])

    even = list(range(1, steps + 1, -(-steps // count)))  # evenly spaced
    if len(even) != count:
        even = sorted({1 + round(i * steps / count) for i in range(count)})
    found = {"even": even}
    if method == "inherit":
        found |= {"DeepCache's own": own(steps, count), "movement": highest(measured["movement"])}
    else:
        found |= {"the first": list(range(1, count + 1)), "the last": list(range(steps - count + 1, steps + 1))}
    found["importance"] = highest(measured["importance"])
    found["importance, least"] = highest(-measured["importance"])
    rng = np.random.default_rng(SEED)
    for draw in range(2):
        found[f"random {draw + 1}"] = highest(rng.random(steps))
    return found


def own(steps: int, count: int) -> list[int]:
    """DeepCache's non-uniform steps (arXiv 2312.00858, Sec. 3.4), dense around a centre, scaled to T steps."""
    centre = CENTRE * steps / 50
    line = np.linspace(-(centre ** (1 / POWER)), (steps - centre) ** (1 / POWER), count + 1)[:-1]
    places = np.sign(line) * np.abs(line) ** POWER + centre
    chosen = {1} | {int(np.clip(place, 0, steps - 1)) + 1 for place in places}
    spare = (step for step in range(2, steps + 1) if step not in chosen)
    while len(chosen) < count:
        chosen.add(next(spare))
    return sorted(chosen)


def draw_all(
    loaded: Any, prompts: Sequence[str], plans: dict[str, dict[str, Any]], folder: Path, *, method: str = "inherit",
    steps: int, scorer: Any, batch: int, category: str = CATEGORY, minutes: float | None = None,
    clock: Callable[[], float] | None = None,
) -> bool:  # fmt: skip
    """Draw each prompt with each plan, the method's settings, and append rows; returns whether all are done."""
    import time

    from ...engine.drawing import draw
    from ...engine.request import validate
    from ...scoring.similarity import ssims
    from ...storage.rowfile import RowFile, check_settings, read_rows

    now = clock or time.monotonic
    folder.mkdir(parents=True, exist_ok=True)
    check_settings(
        folder, {"model": loaded.source, "revision": loaded.revision, "method": method, "steps": steps, "plans": plans}
    )
    file, done = RowFile(folder), read_rows(folder)
    end = float("inf") if minutes is None else now() + 60 * minutes
    for first in range(0, len(prompts), batch):
        some, seeds = prompts[first : first + batch], [SEED + i for i in range(first, min(first + batch, len(prompts)))]
        keys = [
            (category, prompt, seed, steps, label) for label in plans for prompt, seed in zip(some, seeds, strict=True)
        ]
        if all(key in done for key in keys):
            continue
        if now() > end:
            return False
        request = validate(loaded.card, model=loaded.card.key, prompt=some[0], steps=steps)
        vanilla = draw(loaded, request, prompts=some, seeds=seeds).images
        for label, plan in plans.items():
            request = validate(
                loaded.card, model=loaded.card.key, prompt=some[0], steps=steps, methods={method: plan}
            )  # fmt: skip
            images = draw(loaded, request, method, prompts=some, seeds=seeds).images
            scores = scorer.score(images, some)
            for i, image in enumerate(images):
                gap = np.asarray(image, float) - np.asarray(vanilla[i], float)
                file.append({
                    "category": category, "prompt": some[i], "seed": seeds[i], "steps": steps, "variant": label,
                    "score": float(scores[i]), "ssim": float(ssims([image], vanilla[i])[0]),
                    "mse": float(np.mean((gap / 255) ** 2)),
                })  # fmt: skip
    return True


def _others(full: Sequence[int], steps: int) -> list[int]:
    return [step for step in range(1, steps + 1) if step not in full]


def vanilla_calls(loaded: Any, prompt: str, steps: int) -> list[Any]:
    """The U-Net's calls, with their outputs, along a vanilla trajectory."""
    import torch

    from ...patching.patch import captured

    with captured(loaded.pipe) as calls, torch.inference_mode():
        loaded.pipe(
            prompt, num_inference_steps=steps, guidance_scale=loaded.card.guidance, output_type="latent",
            generator=torch.Generator().manual_seed(SEED),
        )  # fmt: skip
    return list(calls)


def _movement(loaded: Any, prompt: str, steps: int) -> np.ndarray:
    """Squared change of the U-Net's output at each step of a vanilla trajectory if it inherits from the step before."""
    import torch

    from ...patching.stages import Reuse, deep_part, kept

    unet, calls = loaded.pipe.unet, vanilla_calls(loaded, prompt, steps)
    found, reuse = [0.0], Reuse()
    with torch.inference_mode(), kept(deep_part(unet, 0), reuse):
        for before, here in pairwise(calls):
            reuse.active = False
            unet(*before.args, **before.kwargs)
            reuse.active = True
            again = unet(*here.args, **here.kwargs)[0]
            found.append(float((again - here.output).square().mean()))
    return np.array(found)
