"""The last pictures that were drawn, by everything that they depend on."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from ..methods import columns
from ..methods.base import Drawing, Report
from ..models.loading import LoadedModel
from .drawing import draw
from .request import Request

CACHED_BYTES = 64_000_000


@dataclass(frozen=True)
class Made:
    """A picture of the cache's own: copy it before it is given away. seconds: the time that it took to draw."""

    image: Image.Image
    seconds: float
    cached: bool = False
    reports: dict[str, Report] = field(default_factory=dict)


class Pictures:
    """Draws pictures one at a time and remembers them, at most CACHED_BYTES of pixels; for one thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Made] = OrderedDict()
        self._bytes = 0

    def picture(
        self, loaded: LoadedModel, request: Request, column: str, drawing: Drawing,
        on_step: Callable[[int], object] = lambda step: None, beside: Callable[[Any], Any] = lambda pipe: nullcontext(),
    ) -> Made:  # fmt: skip
        """The picture of a request by a column, drawn where it is not there yet; on_step and beside as for `draw`."""
        key = (
            loaded.source, loaded.revision, loaded.dtype, loaded.device, request.vanilla_key(),
            columns.cache_key(column, request.methods, drawing),
        )  # fmt: skip
        if key in self._kept:
            self._kept.move_to_end(key)
            return replace(self._kept[key], cached=True)
        start = time.perf_counter()
        drawn = draw(loaded, request, column, drawing, on_step=on_step, beside=beside)
        made = Made(drawn.images[0], time.perf_counter() - start, reports=drawn.reports)
        self._kept[key] = made
        self._bytes += _size(made.image)
        while self._bytes > CACHED_BYTES:
            self._bytes -= _size(self._kept.popitem(last=False)[1].image)
        return made


def _size(image: Image.Image) -> int:
    return image.width * image.height * 3
