"""Loads a pipeline from a folder: known classes and safetensors only, with every weight present, intact and finite."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from packaging import version
from safetensors import SafetensorError, safe_open
from torch import nn

from ..storage.strict_json import read_object
from .placing import place

Progress = Callable[[str, float, str], None]

INDEX, SUMS = "model_index.json", "SHA256SUMS.json"
JSON_BYTES = 1_000_000
DTYPE = "dtype" if version.parse(diffusers.__version__) >= version.parse("0.42") else "torch_dtype"
WEIGHTS = re.compile(r"(?:diffusion_pytorch_model|model)(\.fp16)?(?:-\d{5}-of-(\d{5}))?\.safetensors")
PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
_TEXT = ("CLIPTextModel", "CLIPTextModelWithProjection")
NETWORKS: dict[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": _TEXT,
    "text_encoder_2": _TEXT,
    "image_encoder": ("CLIPVisionModelWithProjection",),
    "safety_checker": ("StableDiffusionSafetyChecker",),
}
REQUIRED = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
PARTS = (*NETWORKS, "tokenizer", "tokenizer_2", "scheduler", "feature_extractor")


class ModelError(ValueError):
    """A model that cannot be loaded or used; the message is one sentence for a person, without paths."""


def open_folder(
    folder: Path, title: str, dtype: torch.dtype, device: str, on_progress: Progress, autoencoder: Path | None = None
) -> Any:
    """The pipeline in a folder, on its device; title: the model's name in messages. ModelError of one sentence otherwise.

    autoencoder: the folder of an AutoencoderTiny that replaces the pipeline's own.
    """
    index = read_index(folder, title)
    names = [name for name in NETWORKS if _class_of(index, name)]
    networks: dict[str, nn.Module] = {}
    for number, name in enumerate(names):
        on_progress("loading", number / len(names), name.replace("_", " "))
        if name == "vae" and autoencoder is not None:
            networks[name] = _network(
                autoencoder.parent, autoencoder.name, "AutoencoderTiny", "The small autoencoder", dtype
            )
        else:
            networks[name] = _network(folder, name, _class_of(index, name), title, dtype)
    on_progress("loading", 1.0, device)
    if networks["vae"].config.latent_channels != networks["unet"].config.in_channels:
        raise ModelError(f"{title} has another number of latents than its autoencoder: name one that was made for it.")
    with _sentences(title), _quiet():
        kind = getattr(diffusers, index["_class_name"])
        pipe = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, **networks
        )
        pipe.set_progress_bar_config(disable=True)
        if hasattr(pipe.vae, "enable_slicing"):
            pipe.vae.enable_slicing()
        return place(pipe, device)


def read_index(folder: Path, title: str) -> dict[str, Any]:
    """The content of model_index.json. ModelError of one sentence if it names an unknown class or cannot be read."""
    try:
        with (folder / INDEX).open("rb") as file:
            index = read_object(file.read(JSON_BYTES + 1), "a pipeline's model_index.json", JSON_BYTES)
    except OSError as error:
        raise ModelError(f"{title} is not a pipeline saved by diffusers: it has no {INDEX}.") from error
    except ValueError as error:
        raise ModelError(f"{title} is not a readable pipeline: its {INDEX} is damaged.") from error
    kind = index.get("_class_name")
    if not isinstance(kind, str) or kind not in PIPELINES:
        raise ModelError(f"{title} is not a supported kind of pipeline: {' or '.join(PIPELINES)}.")
    for name, value in index.items():
        if isinstance(value, list) and value != [None, None] and not _known(name, value):
            raise ModelError(f"{title} has an unsupported part: {name[:40]!r}.")
    if missing := [name for name in REQUIRED if not isinstance(index.get(name), list) or not _class_of(index, name)]:
        raise ModelError(f"{title} is not a complete pipeline: it has no {', '.join(missing)}.")
    return index


def weight_files(names: Iterable[str], half: bool) -> list[str]:
    """The weight files among the file names of one component: in half precision if requested, or if there are no others.

    Empty if a shard is missing.
    """
    found: dict[bool, list[str]] = {True: [], False: []}
    expected = {True: 1, False: 1}
    for name in sorted(names):
        if match := WEIGHTS.fullmatch(name):
            found[bool(match[1])].append(name)
            expected[bool(match[1])] = int(match[2] or 1)
    choices = [found[kind] for kind in (half, not half) if len(found[kind]) == expected[kind]]
    return choices[0] if choices else []


def check_sums(folder: Path, title: str, *, required: bool = False) -> None:
    """Verify the files listed in SHA256SUMS.json, if the folder has one. required: it must have one.

    ModelError for a file that differs or is missing, and for an unlisted file that would affect pictures: weights, and,
    if configurations are listed, anything in a component's folder.
    """
    if not (folder / SUMS).exists():
        if required:
            raise ModelError(f"{title} is incomplete: its {SUMS} is missing, get the folder again.")
        return
    try:
        with (folder / SUMS).open("rb") as file:
            sums = read_object(file.read(JSON_BYTES + 1), "a list of checksums", JSON_BYTES)
    except (OSError, ValueError) as error:
        raise ModelError(f"{title} is damaged: its {SUMS} cannot be read, get the folder again.") from error
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if missing := sorted(set(sums) - set(files)):
        raise ModelError(f"{title} is incomplete: {missing[0][:80]} is missing, get the folder again.")
    whole = INDEX in sums
    for name, path in sorted(files.items()):
        if name in sums and sha256(path) != sums[name]:
            raise ModelError(f"{title} is damaged: {name} differs from its checksum, get the folder again.")
        if name not in sums and (path.suffix == ".safetensors" or (whole and _shapes(name))):
            raise ModelError(f"{title} has a file without a checksum, {name[:80]}: get the folder again.")


def shaping_files(folder: Path) -> list[Path]:
    """Every file of a pipeline's folder that affects its pictures: those of its components, its index, its vocabulary."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if _shapes(path.relative_to(folder).as_posix()))


def _shapes(name: str) -> bool:
    part, _, rest = name.rpartition("/")
    return not rest.startswith(".") and (part.split("/")[0] in PARTS or name in (INDEX, "vocabulary.json"))


def fingerprint(folder: Path) -> str:
    """12 hexadecimal digits of a checksum over the weights and configurations of the pipeline in a folder."""
    parts = [folder / INDEX, *sorted(path for part in PARTS for path in (folder / part).glob("*") if path.is_file())]
    lines = (f"{path.relative_to(folder).as_posix()} {sha256(path)}\n" for path in parts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:12]


def sha256(path: Path) -> str:
    """A file's SHA-256 checksum, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error of any device."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory"))
    )


def _class_of(index: dict[str, Any], name: str) -> str | None:
    value = index.get(name)
    return value[1] if isinstance(value, list) and len(value) == 2 else None


def _known(name: str, value: list[Any]) -> bool:
    if len(value) != 2 or not all(isinstance(item, str) for item in value) or name not in PARTS:
        return False
    if name in NETWORKS:
        return value[1] in NETWORKS[name] and value[0] == _library(value[1])
    if name == "scheduler":
        kind = getattr(diffusers, value[1], None) if value[1].endswith("Scheduler") else None
        return value[0] == "diffusers" and isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)
    expected = "CLIPTokenizer" if name.startswith("tokenizer") else "CLIPImageProcessor"
    return value[0] == "transformers" and value[1].removesuffix("Fast") in (expected, "CLIPFeatureExtractor")


def _network(folder: Path, name: str, class_name: str, title: str, dtype: torch.dtype) -> nn.Module:
    """One network; ModelError if a tensor is missing from its file or not finite."""
    home = folder / name
    found = [path.name for path in home.iterdir()] if home.is_dir() else []
    files = weight_files(found, half=dtype != torch.float32)
    if not files:
        raise ModelError(
            f"{title} has no safetensors weights for its {_part_name(name)}: other formats are not opened."
        )
    for file in files:
        try:
            with safe_open(home / file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{title} has a damaged or incomplete weight file, {name}/{file}: get it again."
            ) from error
    with _sentences(title, name), _quiet():
        kind = _network_class(class_name)
        network, info = kind.from_pretrained(
            home,
            **{"dtype" if kind.__module__.startswith("transformers") else DTYPE: dtype},
            variant="fp16" if WEIGHTS.fullmatch(files[0])[1] else None,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
        if info["missing_keys"] or info["mismatched_keys"] or info.get("error_msgs"):
            raise ModelError(f"{title} is incomplete: the weights of its {_part_name(name)} do not fill the network.")
        if not all(t.isfinite().all() for t in network.state_dict().values() if t.is_floating_point()):
            raise ModelError(
                f"{title} has weights in its {_part_name(name)} that are not finite numbers: get it again."
            )
        return network


def _library(class_name: str) -> str:
    """The library that model_index.json names for a network's class; for a safety checker, its folder in diffusers."""
    if class_name == "StableDiffusionSafetyChecker":
        return "stable_diffusion"
    return "transformers" if class_name.startswith("CLIP") else "diffusers"


def _network_class(name: str) -> type:
    home = {
        "stable_diffusion": "diffusers.pipelines.stable_diffusion.safety_checker",
        "transformers": "transformers",
        "diffusers": "diffusers",
    }[_library(name)]
    return getattr(import_module(home), name)


def _part_name(name: str) -> str:
    return name.replace("_", " ").replace("unet", "U-Net").replace("vae", "autoencoder")


@contextmanager
def _sentences(title: str, part: str = "pipeline") -> Iterator[None]:
    """Turn any error of a library that reads the folder's files into a ModelError of one sentence."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise ModelError(f"There is not enough memory to load {title}: choose a smaller model.") from error
        raise ModelError(
            f"{title} cannot be loaded: its {_part_name(part)} is damaged or of an unknown kind."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' progress bars and warnings; their settings are restored on exit."""
    loggers = (diffusers.utils.logging, transformers.utils.logging)
    before = [(logger, logger.is_progress_bar_enabled(), logger.get_verbosity()) for logger in loggers]
    try:
        for logger in loggers:
            logger.disable_progress_bar()
            logger.set_verbosity_error()
        yield
    finally:
        for logger, bar, verbosity in before:
            logger.set_verbosity(verbosity)
            if bar:
                logger.enable_progress_bar()
