"""`python -m reweight tune`: weights tuned towards a score, as a table that every command takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("weights.json"),
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy-turbo",
    prompts: Annotated[
        str, typer.Option(help="embedded, hpd, a folder of HPD v2's files, or a file of one prompt a line.")
    ] = "embedded",
    limit: Annotated[int, typer.Option(min=1, help="Prompts a category.")] = 16,
    scorer: Annotated[str, typer.Option(help="auto, toy, hps, hps-v2.1, hpsv2 or hpsv2-v2.1.")] = "auto",
    checkpoint: Annotated[Path | None, typer.Option(help="The HPS checkpoint's file, not to be downloaded.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="The folder of CLIP's tokenizer, likewise.")] = None,
    by: Annotated[str, typer.Option(help="gradient, or cma for any scorer.")] = "gradient",
    static: Annotated[bool, typer.Option("--static", help="The same weights at every step.")] = False,
    one_number: Annotated[bool, typer.Option("--one-number", help="One weight for everything.")] = False,
    per: Annotated[str, typer.Option(help="A weight for each stage, or for each transformer.")] = "stage",
    iterations: Annotated[int, typer.Option(help="Gradient steps, or generations.")] = 60,
    batch: Annotated[int, typer.Option(help="Pictures an iteration, of each candidate.")] = 16,
    together: Annotated[
        int | None, typer.Option(help="The most pictures in memory at once; by default 16, of a hub model 1.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float16 or float32; by default float32 for gradients, which float16 loses.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 0.01,
    trust: Annotated[float, typer.Option(help="Penalty on (w - 1)^2.")] = 0.02,
    hold: Annotated[float, typer.Option(help="Penalty on match with the prompt that is lost.")] = 1.0,
    floor: Annotated[float | None, typer.Option(help="Likeness to vanilla to stay above, such as 0.9.")] = 0.9,
    likeness: Annotated[str, typer.Option(help="ssim, or features: the cosine in the scorer's features.")] = "ssim",
    seed: Annotated[int, typer.Option(help="Of the noises and of the search.")] = 0,
    resume: Annotated[Path | None, typer.Option(help="A file for the state; a killed tuning goes on from it.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Classifier-free guidance; by default the model's.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What pictures should not show.")] = None,
    size: Annotated[int | None, typer.Option(help="The picture's side in pixels; by default the model's.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
) -> None:
    """Tune one weight per block and step towards a score. Ctrl-C keeps the best so far; --resume goes on exactly."""
    from rich.console import Console
    from rich.progress import Progress

    from ..bench.tables.prompts import read_prompts
    from ..models.loading import load_model
    from ..scoring import scorer_named
    from ..scoring.scorers import Loading, checked_scorer
    from .loop import TuneSnapshot, TuningStopped, iter_tune
    from .tuning_settings import Tuning

    if scorer not in ("auto", "none"):
        checked_scorer(scorer)
    for file in (out, resume):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir() or not os.access(file.parent, os.W_OK):
                raise ValueError(f"{file} cannot be written: give the name of a file in a folder of your own.")
    texts = list(dict.fromkeys(prompt for given in read_prompts(prompts, limit).values() for prompt in given))
    console = Console(stderr=True)
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
    console.print(
        f"Wrote {out}: {found['validation_gain']:+.4f} [{low:+.4f}, {high:+.4f}] paired difference from vanilla on the validation set, after "
        f"{found['iterations']} iterations and {found['pictures']} pictures in {found['seconds'] / 60:.1f} minutes.",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
