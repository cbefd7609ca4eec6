"""Adds a LoRA to a loaded model, through diffusers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .folder import ModelError, sha256
from .loading import LoadedModel


def with_lora(loaded: LoadedModel, file: Path, scale: float = 1.0) -> LoadedModel:
    """The model with a LoRA from a .safetensors file, named in its revision.

    The pipeline is modified in place. ModelError of one sentence for a missing file, or one that does not fit.
    """
    if file.suffix != ".safetensors" or not file.is_file():
        raise ModelError(f"There is no LoRA {file.name}: give a .safetensors file.")
    name = f"lora-{sha256(file)[:12]}"
    try:
        loaded.pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=name, local_files_only=True)
        loaded.pipe.set_adapters([name], [scale])
    except ValueError as error:
        if "PEFT" in str(error):
            raise ModelError("A LoRA needs the package peft: pip install peft.") from error
        raise ModelError(f"The LoRA {file.name} does not fit {loaded.source}: {_first(error)}.") from error
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelError(f"The LoRA {file.name} does not fit {loaded.source}: {_first(error)}.") from error
    return replace(loaded, revision=f"{loaded.revision}+{name}@{scale:g}")


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120].rstrip(".")
