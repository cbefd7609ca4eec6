"""`python -m reweight bench peers-cells`: whether importance can choose the blocks and steps whose tokens are reduced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .which_steps import OTHER, SEED, draw_all, measured_once, vanilla_calls

CATEGORY = "peers-cells"
ALLOWED = {"at-edm": {"early": 0.0}, "tomesd": {"downsample": 8}}  # settings with which every block may act
OWN: dict[str, dict[str, Any]] = {"at-edm": {}}  # settings with which a method chooses blocks and steps itself
EVEN, BEST = "checkerboard", "least own error"
UNMEASURED = (EVEN, "every second step", "the first steps", "the last steps")  # choices that need no measurement


def command(
    model: Annotated[str, typer.Option(help="An embedded model.")] = "toy",
    method: Annotated[str, typer.Option(help="at-edm or tomesd.")] = "at-edm",
    steps: Annotated[int, typer.Option(min=2, max=50, help="Denoising steps.")] = 10,
    share: Annotated[
        list[float] | None,
        typer.Option(help="Shares of the FLOPs that the method can save; by default 0.5, and what its own schedule saves."),
    ] = None,
    limit: Annotated[int, typer.Option(min=2, help="Number of held-out prompts to draw.")] = 16,
    probes: Annotated[
        int, typer.Option(min=1, help="Number of other held-out prompts, on which importance is measured.")
    ] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 4,
    minutes: Annotated[float | None, typer.Option(help="Stop after this many minutes; run again to continue.")] = None,
    rows: Annotated[Path, typer.Option(help="A folder for the rows, from which a later run resumes.")] = Path(
        "bench/peers-cells"
    ),
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("bench/peers-cells.json"),
) -> None:  # fmt: skip
    """Choose cells (a step and a block) in several ways at equal FLOPs, draw with each, and compare with vanilla."""
    from rich.console import Console
    from rich.table import Table

    from ...models.loading import load_model
    from ...scoring.scorers import scorer_named
    from ...storage.rowfile import read_rows
    from ..embedded.held_out import captions
    from ..stats.result_file import write_json
    from ..stats.run_info import run_info

    if method not in ALLOWED:
        raise ValueError(f"There are no cells to choose for {method!r}: take {', '.join(ALLOWED)}.")
    if any(not 0 < part < 1 for part in share or ()):
        raise ValueError("A share lies between 0 and 1.")
    loaded, scorer = load_model(model), scorer_named("toy")
    loaded.pipe.set_progress_bar_config(disable=True)
    rows.mkdir(parents=True, exist_ok=True)
    console = Console(width=150)
    others = captions(probes, OTHER)
    known = {"revision": loaded.revision, "method": method, "prompts": others, "steps": steps}
    measured = measured_once(rows, known, lambda: measures(loaded, method, others, steps))
    saving, vanilla = measured.pop("saving")[0], float(measured.pop("vanilla").item())
    own = float(measured.pop("own").item())
    found = orders(measured, saving)
    plans: dict[str, dict[str, Any]] = {}
    for part in share or (0.5, *([round(own, 4)] if method in OWN else [])):
        budget = part * saving.clip(0).sum() * steps
        for name, order in found.items():
            plans[f"{part:.0%}, {name}"] = ALLOWED[method] | {"cells": filled(order, saving, budget)}
        if method in OWN and abs(part - own) < 1e-3:
            plans[f"{part:.0%}, its own schedule"] = OWN[method]
    if not draw_all(
        loaded, captions(limit), plans, rows, method=method, steps=steps, scorer=scorer, batch=batch_size,
        category=CATEGORY, minutes=minutes,
    ):  # fmt: skip
        console.print("Not everything is drawn yet: run the command again to continue.")
        return
    told = lines(list(read_rows(rows).values()), plans, saving, vanilla, own, steps)
    info = run_info(
        "peers-cells", loaded, method=method, steps=steps, prompts=limit, probes=probes, guidance=loaded.card.guidance,
        scorer=f"{scorer.name} {scorer.version}",
    )  # fmt: skip
    scores = {name: values.round(6).tolist() for name, values in measured.items()}
    write_json(out, info | {"saving": (saving / vanilla).round(6).tolist(), "measured": scores, "lines": told})
    table = Table(
        "", "cells", "FLOPs", "SSIM with vanilla", "SSIM, x - even", "score, x - even",
        title=f"{method} on {model}, {limit} prompts",
    )  # fmt: skip
    for label, line in told.items():
        table.add_row(
            label, str(line["cells"] or ""), f"{line['flops']:.4f}", "{:.3f} [{:.3f}, {:.3f}]".format(*line["ssim"]),
            *("{:+.4f} [{:+.4f}, {:+.4f}]".format(*line[f"{name}_over_even"]) for name in ("ssim", "score")),
        )  # fmt: skip
    console.print(table)
    console.print(f"Wrote {out}.")


def orders(measured: dict[str, np.ndarray], saving: np.ndarray) -> dict[str, np.ndarray]:
    """(T, m) by each way to choose: cells with smaller values come first.

    measured: as from `measures`. saving: FLOPs saved in each block at one step, (m,); importance is also divided by it.
    """
    step, block = np.indices(measured["importance"].shape)
    useful = np.where(saving > 0, saving, np.nan)
    rng = np.random.default_rng(SEED)
    return {
        EVEN: (step + block) % 2,
        "every second step": step % 2,
        "the first steps": step,
        "the last steps": -step,
        "least importance": measured["importance"],
        "least importance per FLOP": measured["importance"] / useful,
        "least by the calibrated table": measured["calibrated"],
        "least by the paper's table": measured["paper-code"],
        "most importance": -measured["importance"],
        BEST: measured["own error"],
        f"{BEST} per FLOP": measured["own error"] / useful,
    } | {f"random {draw + 1}": rng.random(step.shape) for draw in range(3)}


def filled(order: np.ndarray, saving: np.ndarray, budget: float) -> list[tuple[int, int]]:
    """Cells (step from 1, block) in ascending order, each taken if the savings of all then stay within the budget.

    order: (T, m). saving: (m,); blocks that save nothing are left out. Equal values are taken in the order of steps.
    """
    found, spent = [], 0.0
    for i in np.argsort(np.where(saving > 0, order, np.inf), axis=None, kind="stable"):
        step, block = divmod(int(i), order.shape[1])
        if saving[block] > 0 and spent + saving[block] <= budget * (1 + 1e-9):
            spent += saving[block]
            found.append((step + 1, block))
    return sorted(found)


def lines(
    rows: list[dict[str, Any]], plans: dict[str, dict[str, Any]], saving: np.ndarray, vanilla: float, own: float, steps: int
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """For each plan: the number of its cells, FLOPs over vanilla's, SSIM, and paired differences from the checkerboard of
    the same budget, and from the one of UNMEASURED whose mean SSIM is highest there."""
    from ..stats.intervals import bootstrap, paired_difference

    def values(label: str, name: str) -> dict[tuple[str, int], float]:
        return {(row["prompt"], row["seed"]): row[name] for row in rows if row["variant"] == label}

    found = {}
    for label, plan in plans.items():
        part = label.split(", ")[0]
        even = f"{part}, {EVEN}"
        best = max(
            (f"{part}, {name}" for name in UNMEASURED), key=lambda name: np.mean([*values(name, "ssim").values()])
        )
        spent = (
            sum(saving[block] for _, block in plan["cells"]) if "cells" in plan else own * saving.clip(0).sum() * steps
        )
        ssim = np.array(list(values(label, "ssim").values()))
        found[label] = {
            "cells": len(plan.get("cells", ())),
            "chosen": plan.get("cells", []),
            "flops": 1 - spent / vanilla,
            "ssim": (float(ssim.mean()), *bootstrap(np.mean, ssim, draws=1000)),
            "best_unmeasured": best,
            "ssim_over_best": paired_difference(values(label, "ssim"), values(best, "ssim")),
        } | {
            f"{name}_over_even": paired_difference(values(label, name), values(even, name))
            for name in ("ssim", "score")
        }
    return found


def measures(loaded: Any, method: str, prompts: Sequence[str], steps: int) -> dict[str, np.ndarray]:
    """What is measured of a method and of each cell; means over prompts.

    (T, m): "importance": the output's error with the block bypassed; "calibrated", "paper-code": scores of probes;
    "own error": the output's error if the method acts in this cell alone. saving (1, m): FLOPs that it saves in a block
    at one step. vanilla (1,): FLOPs of a picture. own (1,): the share of the possible saving that its own schedule saves.
    """
    from ...probing.ablation import sensitivity
    from ...probing.importance_probe import probe

    def scores(prompt: str, preset: str) -> np.ndarray:
        return probe(
            loaded.pipe, prompt, steps=steps, preset=preset, guidance_scale=loaded.card.guidance, model=loaded.source,
            revision=loaded.revision, surrogate=True if preset == "paper-code" else None,
        ).scores  # fmt: skip

    def importance(prompt: str) -> np.ndarray:
        return sensitivity(
            loaded.pipe, prompt, steps=steps, bypass=True, seed=SEED, guidance_scale=loaded.card.guidance
        )

    found = {
        "importance": np.mean([importance(prompt) for prompt in prompts], axis=0),
        "own error": np.mean([_own_error(loaded, method, prompt, steps) for prompt in prompts], axis=0),
    } | {preset: np.mean([scores(p, preset) for p in prompts], axis=0) for preset in ("calibrated", "paper-code")}
    m = found["importance"].shape[1]
    for _ in range(2):  # the first picture of a prompt also encodes it
        vanilla = _flops(loaded, method, {}, prompts[0], steps, column="vanilla")
    one = [_flops(loaded, method, ALLOWED[method] | {"cells": [(1, b)]}, prompts[0], steps) for b in range(m)]
    saving = vanilla - np.array(one, dtype=float)
    own = vanilla - _flops(loaded, method, OWN.get(method, ALLOWED[method]), prompts[0], steps)
    return found | {
        "saving": saving[None],
        "vanilla": np.array([vanilla]),
        "own": np.array([own / (saving.clip(0).sum() * steps)]),
    }


def _flops(
    loaded: Any, method: str, settings: dict[str, Any], prompt: str, steps: int, column: str | None = None
) -> int:  # fmt: skip
    from ...engine.drawing import draw
    from ...engine.request import validate
    from .flops import flops

    request = validate(
        loaded.card, model=loaded.card.key, prompt=prompt, steps=steps, seed=SEED, methods={method: settings}
    )
    return flops(lambda: draw(loaded, request, column or method))


def _own_error(loaded: Any, method: str, prompt: str, steps: int) -> np.ndarray:
    """(T, m) mean squared change of the U-Net's output on a vanilla trajectory if the method acts in one cell."""
    import torch

    from ...methods.base import METHODS, Drawing
    from ...patching.blocks import target_blocks

    unet, ours = loaded.pipe.unet, METHODS[method]
    drawing = Drawing(steps, loaded.card.guidance, loaded.card.family)
    calls = vanilla_calls(loaded, prompt, steps)
    found = np.zeros((steps, len(target_blocks(unet))))
    for block in range(found.shape[1]):
        cells = [(step, block) for step in range(1, steps + 1)]
        settings = ours.read(ALLOWED[method] | {"cells": cells}, ours.settings_for(loaded.card.family))
        with torch.inference_mode(), ours.apply(loaded.pipe, settings, drawing):
            for step, call in enumerate(calls):
                changed = unet(*call.args, **call.kwargs)[0]
                found[step, block] = float((changed - call.output).square().mean())
    return found
