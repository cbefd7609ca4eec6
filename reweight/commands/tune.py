"""`python -m reweight tune`: tunes weights for a score, and writes a table for the other commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .shared import MODEL_HELP, Device, Guidance, Negative, Size, Steps, console, say, writable


def command(
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("weights.json"),
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "toy-turbo",
    prompts: Annotated[
        str, typer.Option(help="embedded, hpd, a folder of HPD v2's files, or a file with one prompt per line.")
    ] = "embedded",
    limit: Annotated[int, typer.Option(min=1, help="Prompts per category.")] = 16,
    scorer: Annotated[str, typer.Option(help="auto, toy, hps, hps-v2.1, hpsv2 or hpsv2-v2.1.")] = "auto",
    checkpoint: Annotated[Path | None, typer.Option(help="A local HPS checkpoint file.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="A local folder of CLIP's tokenizer.")] = None,
    by: Annotated[str, typer.Option(help="gradient, or cma (CMA-ES), which takes any scorer.")] = "gradient",
    static: Annotated[bool, typer.Option("--static", help="The same weights at every step.")] = False,
    one_number: Annotated[bool, typer.Option("--one-number", help="One weight for all blocks and steps.")] = False,
    per: Annotated[
        str, typer.Option(help="stage: a weight for each block; transformer: one for each Transformer in it.")
    ] = "stage",
    iterations: Annotated[int, typer.Option(help="Gradient steps, or generations.")] = 60,
    batch: Annotated[int, typer.Option(help="Pictures per iteration (CMA-ES: per candidate).")] = 16,
    together: Annotated[
        int | None, typer.Option(help="Most pictures in memory at once; by default 16, for a hub model 1.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float16 or float32; by default float32 for gradients, which underflow in float16."),
    ] = None,
    rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 0.01,
    trust: Annotated[float, typer.Option(help="Penalty on (w - 1)^2.")] = 0.02,
    hold: Annotated[float, typer.Option(help="Penalty on any loss of prompt match.")] = 1.0,
    floor: Annotated[
        float | None, typer.Option(help="Smallest similarity to vanilla without a penalty, such as 0.9.")
    ] = 0.9,
    likeness: Annotated[str, typer.Option(help="ssim, or features: the cosine in the scorer's features.")] = "ssim",
    seed: Annotated[int, typer.Option(help="Seed of the noises and of the search.")] = 0,
    resume: Annotated[
        Path | None, typer.Option(help="A file for the state; an interrupted tuning resumes from it.")
    ] = None,
    steps: Steps = None,
    guidance: Guidance = None,
    negative_prompt: Negative = None,
    size: Size = None,
    device: Device = None,
) -> None:
    """Tune one weight per block and step for a score. Ctrl-C keeps the best table so far; --resume continues exactly."""
    from rich.progress import Progress

    from ..bench.tables.prompts import read_prompts
    from ..models.loading import load_model
    from ..scoring import scorer_named
    from ..scoring.scorers import Loading, checked_scorer
    from ..tuning.loop import TuneSnapshot, TuningStopped, iter_tune
    from ..tuning.tuning_settings import Tuning

    if scorer not in ("auto", "none"):
        checked_scorer(scorer)
    for file in (out, resume):
        if file is not None:
            writable(file)
    texts = list(dict.fromkeys(prompt for given in read_prompts(prompts, limit).values() for prompt in given))
    with console.status("Loading"):
        loaded = load_model(model, device=device, dtype=dtype or ("float32" if by == "gradient" else None), local=True)
        judge = scorer_named(
            scorer,
            embedded=loaded.card.embedded,
            options=Loading(checkpoint=checkpoint, tokenizer=tokenizer, device=loaded.device),
        )
    card = loaded.card
    settings = Tuning(
        by=by, static=static, one_number=one_number, per=per, iterations=iterations, batch=batch, rate=rate,
        together=together or (16 if card.embedded else 1),
        trust=trust, hold=hold, floor=floor, likeness=likeness, seed=seed, checkpointing=not card.embedded,
    )  # fmt: skip
    side = size or card.size
    events = iter_tune(
        loaded.pipe, texts, judge, steps=steps or card.steps, settings=settings,
        guidance_scale=card.guidance if guidance is None else guidance, height=side, width=side,
        negative_prompt=(card.negative_prompt if negative_prompt is None else negative_prompt) or None, model=model,
        revision=loaded.revision, resume=resume,
    )  # fmt: skip
    last: TuneSnapshot | None = None
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("tuning", total=1.0)
        try:
            for last in events:
                text = f"validation {last.validation_gain:+.4f}, batch {last.gain:+.4f}"
                bar.update(task, completed=last.done, description=text)
        except KeyboardInterrupt:
            events.close()
        except TuningStopped as stopped:
            stopped.table.save(out)
            raise ValueError(f"{stopped} The best table is in {out}.") from stopped
    if last is None:
        raise ValueError("Stopped before the first iteration had ended: there is nothing to keep.")
    last.best.save(out)
    found = last.best.diagnostics
    low, high = found["validation_interval"]
    say(
        f"Wrote {out}: {found['validation_gain']:+.4f} [{low:+.4f}, {high:+.4f}] paired difference from vanilla on the validation set, after "
        f"{found['iterations']} iterations and {found['pictures']} pictures in {found['seconds'] / 60:.1f} minutes."
    )
