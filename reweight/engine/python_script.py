"""A Python script that draws a given picture with this library, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from ..methods.base import Drawing
from ..methods.columns import parts
from ..models.loading import LoadedModel
from ..models.registry import REGISTRY
from .provenance import current_versions
from .request import REWEIGHTED, Request

PUBLIC = {"freeu"}  # methods with a public function of the same name


def python_script(request: Request, column: str, drawing: Drawing, loaded: LoadedModel) -> str:
    """The script for the picture of a request and a column. It defines `image`, a PIL image, and saves it.

    It gives the same pixels on the same kind of machine with the same versions, which its first line lists.
    """
    methods = [method for method in parts(column) if method.key != "vanilla"]
    names = [
        "load",
        *(["reweighted"] if any(m.key == REWEIGHTED for m in methods) else []),
        *(m.key for m in methods if m.key in PUBLIC),
    ]
    others = any(m.key not in PUBLIC | {REWEIGHTED} for m in methods)
    versions = ", ".join(f"{name} {version}" for name, version in current_versions().items())
    lines = [
        f"# Drawn with {versions}; {loaded.source}, revision {loaded.revision[:12]}, {loaded.dtype} on {loaded.device}.",
        "import torch",
        f"from reweight import {', '.join(sorted(names))}",
        *(["from reweight.methods import METHODS, Drawing"] if others else []),
        "",
        f"pipe = load({_model(request, loaded)!r})",
    ]
    contexts = []
    for method in methods:
        settings = request.methods[method.key]
        if method.key == REWEIGHTED:
            weights, bypass = request.reweighting.tables(drawing)
            lines += _weights(request, weights, bypass)
            contexts.append(f"reweighted(pipe, weights{', bypass=off' if bypass is not None else ''})")
        elif method.key in PUBLIC:
            given = ", ".join(f"{name}={value!r}" for name, value in asdict(settings).items())
            contexts.append(f"{method.key}(pipe, {given})")
        else:
            lines.append(f"{_variable(method.key)} = METHODS[{method.key!r}]")
            lines.append(f"drawing = Drawing({request.steps}, {request.guidance!r}, {loaded.card.family!r})")
            given = ", ".join(f"{name}={value!r}" for name, value in asdict(settings).items())
            contexts.append(f"{_variable(method.key)}.apply(pipe, {_variable(method.key)}.settings({given}), drawing)")
    indent = "    " if contexts else ""
    if contexts:
        lines += [
            f"with {', '.join(contexts)}:" if len(contexts) == 1 else "with (",
            *(f"    {c}," for c in contexts if len(contexts) > 1),
        ]
        lines += ["):"] if len(contexts) > 1 else []
    lines += [f"{indent}{line}" for line in _call(request)]
    return "\n".join([*lines, f'image.save("{column.replace("+", "-")}.png")', ""])


def _model(request: Request, loaded: LoadedModel) -> str:
    if request.model in REGISTRY:
        return request.model
    return request.model if "@" in request.model or "/" not in loaded.source else f"{loaded.source}@{loaded.revision}"


def _weights(request: Request, weights: np.ndarray | None, bypass: np.ndarray | None) -> Iterator[str]:
    own = request.reweighting
    yield f"weights = [  # (steps, blocks): low {own.low:g}, high {own.high:g}, {own.schedule}{', and cells set by hand' if own.painted else ''}"
    yield from _rows(weights)
    if bypass is not None:
        yield "off = [  # blocks that are switched off"
        yield from _rows(bypass)


def _rows(table: np.ndarray | None) -> Iterator[str]:
    for t, row in enumerate([] if table is None else table.tolist()):
        yield f"    {row!r},  # step {t + 1}"
    yield "]"


def _call(request: Request) -> list[str]:
    negative = [f"    negative_prompt={request.negative_prompt!r},"] if request.negative_prompt else []
    return [
        "image = pipe(",
        f"    {request.prompt!r},",
        *negative,
        f"    num_inference_steps={request.steps},",
        f"    guidance_scale={request.guidance!r},",
        f"    height={request.size},",
        f"    width={request.size},",
        f'    generator=torch.Generator("cpu").manual_seed({request.seed}),',
        ").images[0]",
    ]


def _variable(key: str) -> str:
    return key.replace("-", "_").replace(".", "_")
