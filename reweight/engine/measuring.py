"""Jobs that measure: the probe, tuning, the direct sensitivity of blocks, scores. They run on the worker's thread.

Each function emits its results to the job; a generator yields where other jobs may have a turn.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..models.loading import LoadedModel
from ..probing.ablation import agreement, sensitivity
from ..probing.checkpoints import resumed
from ..probing.importance_probe import ProbeSnapshot, iter_probe
from ..probing.probe_request import ProbeRequest
from ..scoring import Scorer
from ..tuning.loop import TuneSnapshot
from ..tuning.one_prompt import PromptTuning, tune_prompt
from .events import Agreement, Scores
from .fallbacks import sentences
from .job import Job
from .request import Request


def probe(
    loaded: LoadedModel, request: Request, job: Job, settings: Mapping[str, Any], *, resume: Path | None,
    unfinished: Path | None,
) -> Generator[None, None, None]:  # fmt: skip
    """Emit the probe's snapshots. settings: the arguments of `ProbeRequest.of`. resume: the file for the probe's state,
    or None; then a file in the folder unfinished, if given."""
    asked = ProbeRequest.of(**_trajectory(request), model=request.model, revision=loaded.revision, **settings)

    def search(file: Path | None) -> Iterator[ProbeSnapshot]:
        return iter_probe(loaded.pipe, asked, check=job, resume=file)

    if resume is not None:
        snapshots = search(resume)
    else:
        about = dict(settings) | {"request": request.vanilla_key(), "revision": loaded.revision}
        snapshots = resumed(unfinished, about, search)
    return _emitted(snapshots, job)


def tune(
    loaded: LoadedModel, request: Request, job: Job, judge: Scorer | None, settings: PromptTuning
) -> Generator[None, None, None]:
    """Emit the tuning's snapshots. judge: the scorer; ValueError of one sentence if it is None."""
    return _emitted(
        tune_prompt(
            loaded.pipe, scorer=judge, **_trajectory(request), model=request.model, revision=loaded.revision, check=job,
            settings=settings,
        ),
        job,
    )  # fmt: skip


def score(images: Sequence[Image.Image], prompts: Sequence[str], judge: Scorer | None, job: Job) -> None:
    """Emit the scores of images for their prompts; nothing if there is no scorer or no image."""
    if judge is not None and images:
        values = [float(value) for value in judge.score(list(images), list(prompts))]
        job.emit(Scores(values, f"{judge.name} {judge.version}"))


def agree(loaded: LoadedModel, request: Request, job: Job, scores: np.ndarray) -> Generator[None, None, None]:
    """Emit Kendall's tau-b of scores (T, m) with the direct sensitivity of the blocks."""
    with sentences():
        scaling = agreement(scores, sensitivity(loaded.pipe, **_trajectory(request), check=job))
        yield
        bypass = agreement(scores, sensitivity(loaded.pipe, **_trajectory(request), bypass=True, check=job))
    job.emit(Agreement(scaling, bypass))


def direct(loaded: LoadedModel, request: Request, job: Job) -> None:
    """Emit the error of bypassing each block at each step, (T, m)."""
    with sentences():
        job.emit(sensitivity(loaded.pipe, **_trajectory(request), bypass=True, check=job))


def _trajectory(request: Request) -> dict[str, Any]:
    """A request as keyword arguments of `probing` and `tuning`."""
    return {
        "prompt": request.prompt, "steps": request.steps, "seed": request.seed, "guidance_scale": request.guidance,
        "negative_prompt": request.negative_prompt or None, "height": request.size, "width": request.size,
    }  # fmt: skip


def _emitted(snapshots: Iterator[ProbeSnapshot] | Iterator[TuneSnapshot], job: Job) -> Generator[None, None, None]:
    with sentences(), closing(snapshots):
        for snapshot in snapshots:
            job.emit(snapshot)
            job.check()
            if snapshot.done < 1:
                yield
