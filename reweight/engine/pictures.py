"""The cache of drawn pictures and of their films, keyed by everything they depend on."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from ..methods import columns
from ..methods.base import Drawing, Report
from ..models.loading import LoadedModel
from .films import Film
from .request import Request

CACHED_BYTES = 64_000_000
FILM_BYTES = 32_000_000
TOGETHER = "together"


@dataclass(frozen=True)
class Made:
    """A cached picture: copy the image before handing it on. seconds: the time that it took to draw."""

    image: Image.Image
    seconds: float
    cached: bool = False
    reports: dict[str, Report] = field(default_factory=dict)


Key = tuple[Any, ...]


class Pictures:
    """Caches pictures, at most CACHED_BYTES of pixels, and films, at most FILM_BYTES of latents; not thread-safe.

    Pictures that were drawn in a batch may differ in the last bits from the same drawn alone. They are stored under
    their own key, and `alone` never returns them.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Made] = OrderedDict()
        self._films: OrderedDict[Key, Film] = OrderedDict()
        self._bytes = self._film_bytes = 0

    @staticmethod
    def key(loaded: LoadedModel, request: Request, column: str, drawing: Drawing) -> Key:
        """Everything a picture depends on."""
        return (
            loaded.source, loaded.revision, loaded.dtype, loaded.device, request.vanilla_key(),
            columns.cache_key(column, request.methods, drawing),
        )  # fmt: skip

    def found(self, key: Key) -> Made | None:
        """A cached picture, preferably drawn alone, else in a batch."""
        for kept in (key, (*key, TOGETHER)):
            if kept in self._kept:
                return replace(self._kept[kept], cached=True)
        return None

    def alone(self, key: Key) -> Made | None:
        """A cached picture that was drawn alone."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return replace(self._kept[key], cached=True)

    def keep(self, key: Key, made: Made) -> None:
        """Store a picture that was drawn alone."""
        self._keep(key, made)

    def keep_together(self, key: Key, made: Made) -> None:
        """Store a picture that was drawn in a batch."""
        self._keep((*key, TOGETHER), made)

    def film(self, key: Key) -> Film | None:
        """The film of a picture that was drawn alone, if it is still kept."""
        if key in self._films:
            self._films.move_to_end(key)
        return self._films.get(key)

    def keep_film(self, key: Key, film: Film) -> None:
        """Store the film of a picture that was drawn alone."""
        before = self._films.pop(key, None)
        self._films[key] = film
        self._film_bytes += film.size - (before.size if before else 0)
        while self._film_bytes > FILM_BYTES:
            self._film_bytes -= self._films.popitem(last=False)[1].size

    def size(self) -> int:
        """Bytes of all cached pixels and latents."""
        return self._bytes + self._film_bytes

    def _keep(self, key: Key, made: Made) -> None:
        before = self._kept.pop(key, None)
        self._kept[key] = made
        self._bytes += _size(made.image) - (_size(before.image) if before else 0)
        while self._bytes > CACHED_BYTES:
            self._bytes -= _size(self._kept.popitem(last=False)[1].image)


def _size(image: Image.Image) -> int:
    return image.width * image.height * 4  # PIL keeps an RGB picture in four bytes a pixel
