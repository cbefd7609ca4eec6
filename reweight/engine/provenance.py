"""The settings in a PNG: a text that other tools show, and JSON from which the request is restored."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import diffusers
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from .. import __version__
from ..methods.base import METHODS, Drawing
from ..methods.reweighting import Reweighting
from ..models.loading import LoadedModel
from ..models.registry import REGISTRY
from ..storage.atomic import write_atomic
from ..storage.strict_json import plain, read_object, sentence
from .request import Request

FORMAT = "reweight-settings-1"
CHUNK = "reweight"
MAX_BYTES, MAX_JSON, MAX_CHUNKS = 20_000_000, 200_000, 10_000
WHAT = "a picture's settings"
SIGNATURE = b"\x89PNG\r\n\x1a\n"

Name = Annotated[str, Field(max_length=200)]


class _Document(BaseModel):
    """The JSON form of the settings; all fields are required, others are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    format: Literal["reweight-settings-1"]
    method: Annotated[str, Field(min_length=1, max_length=64)]
    request: dict[str, JsonValue]
    source: Name
    revision: Name
    device: Name
    dtype: Name
    scheduler: Name
    weights: (
        Annotated[list[Annotated[list[float], Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=50)]
        | None
    )
    table_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    versions: dict[str, str]


def settings_of(
    request: Request,
    loaded: LoadedModel,
    method: str,
    weights: np.ndarray | None = None,
    table_sha256: str | None = None,
) -> dict[str, Any]:
    """Everything that determines a picture, as JSON values; `validate(**settings["request"])` restores the request.

    method: a column, such as "vanilla", "reweighted" or "freeu". weights: (T, m), None if none were applied. Of a
    model's folder only the last part is saved, so that no local path is published. ValueError of one sentence for
    settings that could not be read back.
    """
    asked = request.settings()
    if asked["model"] not in REGISTRY and asked["model"].partition("@")[0] != loaded.source:
        asked["model"] = loaded.source
    return checked(
        {
            "format": FORMAT,
            "method": method,
            "request": asked,
            "source": loaded.source,
            "revision": loaded.revision,
            "device": loaded.device,
            "dtype": loaded.dtype,
            "scheduler": type(getattr(loaded.pipe, "scheduler", None)).__name__,
            "weights": weights,
            "table_sha256": table_sha256,
            "versions": current_versions(),
        }
    )


def current_versions() -> dict[str, str]:
    """The versions of the packages that affect a picture."""
    return {"reweight": __version__, "torch": torch.__version__, "diffusers": diffusers.__version__}


def parameters_text(settings: dict[str, Any]) -> str:
    """The settings in the format of other tools: the prompt, the negative prompt, and a line of names and values."""
    asked = settings["request"]
    line = {
        "Steps": asked["steps"],
        "Sampler": settings["scheduler"].removesuffix("Scheduler"),
        "CFG scale": f"{asked['guidance']:g}",
        "Seed": asked["seed"],
        "Size": f"{asked['size']}x{asked['size']}",
        "Model": asked["model"],
        "Reweight": f"{settings['method']} {_applied(settings['method'], asked)}".strip(),
    }
    negative = [f"Negative prompt: {asked['negative_prompt']}"] if asked["negative_prompt"] else []
    last = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in line.items())
    return "\n".join([asked["prompt"], *negative, last])


def _applied(column: str, asked: dict[str, Any]) -> str:
    """The captions of a column's methods; empty for vanilla and for methods that are not registered."""
    captions = []
    for key in column.split("+"):
        method = METHODS.get(key)
        if method is None or not fields(method.settings):
            continue
        given = {item.name: asked[item.name] for item in fields(Reweighting) if item.name in asked}
        try:
            settings = method.read(given if key == "reweighted" else asked[key], None)
        except (KeyError, ValueError):
            continue
        captions.append(method.caption(settings, Drawing(asked["steps"])))
    return "; ".join(captions)


def png_bytes(image: Image.Image, settings: dict[str, Any]) -> bytes:
    """The image as a PNG with the settings as JSON and as `parameters_text`.

    No other metadata of the image is saved, such as a photograph's location. The same image and settings give the
    same bytes. ValueError of one sentence for settings that `read_png` would refuse.
    """
    settings = checked(settings)
    text = json.dumps(settings, allow_nan=False)
    if len(text) > MAX_JSON:
        raise ValueError(f"The settings are larger than {MAX_JSON} bytes: leave out the weights.")
    info = PngInfo()
    info.add_text("parameters", parameters_text(settings))
    info.add_text(CHUNK, text)
    pixels = image.convert("RGB")
    pixels.info = {}
    file = io.BytesIO()
    pixels.save(file, format="PNG", pnginfo=info, compress_level=2)  # a quarter of the time, a tenth more bytes
    return file.getvalue()


def save_png(path: str | os.PathLike[str], image: Image.Image, settings: dict[str, Any]) -> None:
    """Write `png_bytes` to path, atomically."""
    write_atomic(Path(path), png_bytes(image, settings))


def read_png(source: bytes | str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a PNG of ours, given as bytes or as a path. Pixels are not decoded.

    Only their form is checked: pass `settings["request"]` to `validate`. OSError if the file cannot be read;
    ValueError of one sentence if it is not a PNG, is damaged, has no settings or is larger than 20 MB.
    """
    if not isinstance(source, (bytes, bytearray)):
        with Path(source).open("rb") as file:
            source = file.read(MAX_BYTES + 1)
    if len(source) > MAX_BYTES:
        raise ValueError(f"The picture is larger than {MAX_BYTES // 1_000_000} MB.")
    text = _chunk(bytes(source))
    if text is None:
        raise ValueError("This PNG has no settings: choose a picture that was saved here and not changed since.")
    return checked(read_object(text, WHAT, MAX_JSON))


def checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, if they are well-formed; ValueError of one sentence otherwise."""
    try:
        return _Document.model_validate(plain(settings)).model_dump()
    except ValidationError as error:
        raise ValueError(sentence(error, WHAT)) from error
    except ValueError as error:
        raise ValueError(f"This is not {WHAT}: {error}.") from error


def _chunk(data: bytes) -> bytes | None:
    """Our text chunk of a PNG. The checksum of every chunk is verified."""
    if not data.startswith(SIGNATURE):
        raise ValueError("This is not a PNG: only PNG pictures have settings.")
    found, at = None, len(SIGNATURE)
    mark = CHUNK.encode() + b"\0"
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        body, end = data[at + 8 : at + 8 + length], at + 12 + length
        if end > len(data) or zlib.crc32(kind + body) != int.from_bytes(data[end - 4 : end], "big"):
            break
        if kind == b"IEND":
            return found
        if found is None and kind == b"tEXt" and body.startswith(mark):
            found = body[len(mark) :].decode("latin-1").encode()
        elif found is None and kind == b"iTXt" and body.startswith(mark + b"\0\0\0\0"):  # not compressed, no language
            found = body[len(mark) + 4 :]
        at = end
    raise ValueError("This PNG is damaged: save or download it again.")


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if set(value) & set(",:\n") else value
