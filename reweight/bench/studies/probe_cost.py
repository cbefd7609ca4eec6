"""`python -m reweight bench probe`: the probe's speed compared with the public code's loop order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy",
    prompt: Annotated[str, typer.Option(help="What is probed.")] = "a photo of a red apple on a wooden table",
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 2,
    guidance: Annotated[float, typer.Option(help="Classifier-free guidance; 0 for none.")] = 0.0,
    runs: Annotated[int, typer.Option(help="Runs that vote.")] = 15,
    iterations: Annotated[int, typer.Option(help="Iterations of a run.")] = 20,
    precision: Annotated[
        float, typer.Option(help="Adaptive runs: stop once every score's interval is narrower than this.")
    ] = 0.3,
    repeats: Annotated[int, typer.Option(help="Interleaved repetitions; medians are reported.")] = 3,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the fastest available.")] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Time the probe against the public code's loop order on the same model, and check that their votes are equal."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ...models.loading import load_model
    from ..stats.result_file import file_for, write_json
    from ..stats.run_info import run_info
    from .speedup import compare

    file_for(out)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("loading", total=1.0)
        loaded = load_model(model, device=device, local=True)
        found = compare(
            loaded, prompt, steps=steps, guidance=guidance, runs=runs,
            iterations=iterations, precision=precision, repeats=repeats,
            on_progress=lambda text, done: bar.update(task, completed=done, description=text),
        )  # fmt: skip
    columns = ("", "runs", "seconds", "CPU seconds", "times faster", "U-Net samples", "peak MB", "tau-b")
    table = Table(*columns, title=f"{model}, {steps} steps, {runs} runs of {iterations} iterations")
    for timing in found.timings:
        megabytes = "" if timing.megabytes is None else f"{timing.megabytes:.0f}"
        table.add_row(
            timing.name, str(timing.runs or ""), f"{np.median(timing.seconds):.2f}",
            f"{np.median(timing.cpu):.2f}", f"{found.ratio(timing):.1f}", str(timing.samples), megabytes,
            f"{timing.tau:+.2f}",
        )  # fmt: skip
    Console(width=max(110, console.width)).print(table)
    votes = "the same votes" if found.same_votes else "OTHER VOTES"
    console.print(f"With as many runs: thresholds within {found.threshold_gap:.1e}, {votes}.", highlight=False)
    if out is not None:
        settings = {"prompt": prompt, "steps": steps, "guidance": guidance, "iterations": iterations}
        origin = run_info("probe-speed", loaded, **settings, precision=precision, repeats=repeats)
        write_json(out, origin | found.as_json())
