"""The models in memory: the configured ones stay loaded, of all others there is one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..models.folder import ModelError, Progress, out_of_memory
from ..models.loading import LoadedModel, device_for, load_model
from ..models.registry import card_for
from . import memory
from .copies import copy_of

LEVELS = 4
Load = Callable[[str, Progress | None], LoadedModel]


def resident_models(
    served: tuple[str, ...], *, local: bool, device: str | None, autoencoders: Mapping[str, Path] | None = None
) -> ResidentModels:
    """Models loaded by `load_model` with the given local and device. autoencoders: folders of small autoencoders, by
    model name.

    If many visitors share a CPU, where a picture takes seconds, there are LEVELS pipelines of each model, else one.
    """
    small = {name: {"autoencoder": folder} for name, folder in (autoencoders or {}).items()}

    def load(name: str, report: Progress | None) -> LoadedModel:
        return load_model(name, device=device, local=local, on_progress=report, **small.get(name, {}))

    def size(name: str) -> float:
        return max(memory.size_on_disk(name), card_for(name, local=local).download_gb * 1e9)

    return ResidentModels(served, load, size, levels=1 if local or device_for(device) != "cpu" else LEVELS)


class ResidentModels:
    """Loads and unloads models. Only `loaded` may be called outside the worker's thread.

    served: names of models that stay in memory; any other model is a guest. load: loads a model, given its name and a
    progress callback. size: bytes of its files in half precision, 0 if unknown. levels: how many pipelines there are
    of each model: the original, and copies that share its weights.
    """

    def __init__(self, served: tuple[str, ...], load: Load, size: Callable[[str], float], *, levels: int = 1) -> None:
        self.served, self.levels = served, levels
        self._load, self._size = load, size
        self._loaded: dict[str, LoadedModel] = {}
        self._copies: dict[str, list[LoadedModel]] = {}

    def loaded(self, name: str) -> LoadedModel | None:
        """The model if it is in memory, else None."""
        return self._loaded.get(name)

    def model(self, name: str, progress: Progress, level: int = 0) -> LoadedModel:
        """The model, loaded if it is not in memory. level: which copy of its pipeline, 0 for the original. ModelError if
        it cannot be loaded.

        A guest replaces the previous guest after it is loaded; if both do not fit into memory, the previous one is
        unloaded first, and loaded again if the new one fails.
        """
        if loaded := self._loaded.get(name):
            return self._copies[name][level - 1] if level else loaded
        guests = [other for other in self._loaded if other not in self.served] if name not in self.served else []
        left: list[str] = []

        def leave() -> None:
            left.extend(guests)
            for guest in guests:
                del self._loaded[guest]
            memory.collect()

        def report(stage: str, fraction: float, text: str) -> None:
            if stage == "loading" and guests and not left and not self._fits_beside(name, guests):
                leave()
            progress(stage, fraction, text)

        try:
            try:
                loaded = self._load(name, report)
            except ModelError as error:
                if not guests or left or not out_of_memory(error.__cause__ or error):
                    raise
                leave()
                loaded = self._load(name, report)
        except Exception:
            memory.collect()
            for guest in left:
                with suppress(ModelError):
                    self._loaded[guest] = self._load(guest, None)
            raise
        if not left:
            leave()
        self._copies[name] = [replace(loaded, pipe=copy_of(loaded.pipe)) for _ in range(1, self.levels)]
        self._loaded[name] = loaded
        return self._copies[name][level - 1] if level else loaded

    def put(self, name: str, loaded: LoadedModel) -> None:
        """Replace a model in memory by a modified one."""
        self._loaded[name] = loaded

    def _fits_beside(self, name: str, guests: list[str]) -> bool:
        pipes = [self._loaded[guest].pipe for guest in guests]
        device, half = self._loaded[guests[0]].device, self._loaded[guests[0]].dtype != "float32"
        return memory.fits(self._size(name), pipes, device, half)
