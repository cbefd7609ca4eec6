"""Which models are in memory: those that are served stay, of all others there is one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..models.folder import ModelError, Progress, out_of_memory
from ..models.loading import LoadedModel, device_for, load_model
from ..models.registry import card_for
from . import memory
from .copies import copy_of

LEVELS = 4


class ResidentModels:
    """Loads models and lets go of them; for the worker's thread, but `loaded` for any.

    served: names that stay once they are loaded. local, device: see `load_model`. Any other model is a guest.
    autoencoders: folders of small ones, by the model that they are for.
    levels: how many copies of each pipeline there are. Where many visitors share a CPU, on which a picture takes seconds,
    there are several; else the pipeline alone.
    """

    def __init__(
        self,
        served: tuple[str, ...],
        *,
        local: bool,
        device: str | None,
        autoencoders: Mapping[str, Path] | None = None,
    ) -> None:
        self.served, self.local, self.device, self.autoencoders = served, local, device, autoencoders or {}
        self._loaded: dict[str, LoadedModel] = {}
        self._copies: dict[str, list[LoadedModel]] = {}
        self.levels = 1 if local or device_for(device) != "cpu" else LEVELS

    def loaded(self, name: str) -> LoadedModel | None:
        """A model that is in memory, else None."""
        return self._loaded.get(name)

    def model(self, name: str, progress: Progress, level: int = 0) -> LoadedModel:
        """The model, loaded where it is not in memory; level: with which copy of its pipeline. ModelError where it cannot be
        had.

        A guest takes the place of the one before it: once it is there, or where both do not fit, before it is loaded;
        then the one before comes back if the new one cannot be had.
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
                    self._loaded[guest] = self._load(guest)
            raise
        if not left:
            leave()
        self._copies[name] = [replace(loaded, pipe=copy_of(loaded.pipe)) for _ in range(1, self.levels)]
        self._loaded[name] = loaded
        return self._copies[name][level - 1] if level else loaded

    def put(self, name: str, loaded: LoadedModel) -> None:
        """In the place of a model that is in memory, the same changed."""
        self._loaded[name] = loaded

    def _load(self, name: str, report: Progress | None = None) -> LoadedModel:
        return load_model(name, device=self.device, local=self.local, on_progress=report, **self._own(name))

    def _own(self, name: str) -> dict[str, Path]:
        return {"autoencoder": self.autoencoders[name]} if name in self.autoencoders else {}

    def _fits_beside(self, name: str, guests: list[str]) -> bool:
        pipes = [self._loaded[guest].pipe for guest in guests]
        device, half = self._loaded[guests[0]].device, self._loaded[guests[0]].dtype != "float32"
        return memory.fits(name, card_for(name, local=self.local).download_gb, pipes, device, half)
