"""Weights themselves, tuned or painted, with where they come from: the table that is applied as it is.

Arrays are indexed (steps, blocks): T rows, m columns. Nothing here touches a model.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, model_validator

from .schedule import ImportanceTable
from .storage.atomic import write_atomic
from .storage.strict_json import plain, read_object, sentence

MAX_BYTES = 1_000_000
FORMAT = "reweight-weights-1"
WHAT = "a weight table"
OFF = "off"
LOW, HIGH = 0.0, 2.0


class _Document(BaseModel):
    """The table as JSON. Every field must be there and no other."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    format: Literal["reweight-weights-1"]
    weights: Annotated[
        list[
            Annotated[
                list[Annotated[float | str, BeforeValidator(lambda cell: _cell(cell))]],
                Field(min_length=1, max_length=256),
            ]
        ],
        Field(min_length=1, max_length=50),
    ]
    blocks: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=256)]
    per: Literal["stage", "transformer"]
    model: str
    method: str
    revision: str | None
    scheduler: str
    steps: int
    guidance_scale: float
    scorer: str
    settings: dict[str, JsonValue]
    versions: dict[str, str]
    provenance: dict[str, JsonValue]
    diagnostics: dict[str, JsonValue]

    @model_validator(mode="after")
    def _shapes_agree(self) -> _Document:
        m = len(self.blocks)
        if any(len(row) != m for row in self.weights):
            raise ValueError(f"every row of weights must have {m} cells, one for each block")
        if len(set(self.blocks)) != m:
            raise ValueError("two blocks have the same label")
        if self.steps != len(self.weights):
            raise ValueError(f"it says {self.steps} steps but has {len(self.weights)} rows of weights")
        return self


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightTable:
    """The weight of each block at each step, and how it was found. Checked on construction, equal by content.

    weights: w, (T, m) in [0, 2], read-only; rows of numbers or "off", which becomes weight 1 and a bypass. bypass: (T, m)
    bool, where the block is switched off; None where none is. blocks: the m labels, in execution order; per: whether a
    column is a stage, as in the paper, or one Transformer2DModel of a stage. model, revision, scheduler, steps (T),
    guidance_scale, method ("tuned:gradient", "tuned:cma", "painted"), scorer, settings, versions: where it comes from.
    provenance: of the prompts and noises that it was tuned on. diagnostics: what it gains and costs, such as
    validation_gain; arrays become lists.
    ValueError of one sentence for anything that would not survive saving and loading.
    """

    weights: np.ndarray
    blocks: tuple[str, ...]
    model: str
    method: str
    bypass: np.ndarray | None = None
    per: str = "stage"
    revision: str | None = None
    scheduler: str = ""
    steps: int = 0  # 0: as many as there are rows
    guidance_scale: float = 0.0
    scorer: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        bypass = values.pop("bypass")
        if not values["steps"]:
            values["steps"] = len(self.weights) if hasattr(self.weights, "__len__") else 0
        try:
            values = {name: plain(value) for name, value in values.items()}
            values["weights"] = _cells(values["weights"], plain(bypass))
            document = _Document(format="reweight-weights-1", **values)
        except ValidationError as error:
            raise ValueError(sentence(error, WHAT)) from error
        except ValueError as error:
            raise ValueError(f"This is not {WHAT}: {error}.") from error
        for name in values:
            object.__setattr__(self, name, getattr(document, name))
        w = np.array([[1.0 if cell == OFF else cell for cell in row] for row in document.weights])
        off = np.array([[cell == OFF for cell in row] for row in document.weights])
        for array in (w, off):
            array.setflags(write=False)
        object.__setattr__(self, "weights", w)
        object.__setattr__(self, "bypass", off if off.any() else None)
        object.__setattr__(self, "blocks", tuple(document.blocks))

    def to_json(self) -> str:
        """The table as JSON; `from_json` gives the same table back exactly. ValueError over 1 MB."""
        values = {item.name: plain(getattr(self, item.name)) for item in fields(self)}
        values["weights"] = _cells(values["weights"], values.pop("bypass"))
        text = json.dumps({"format": FORMAT} | values, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        if len(text.encode()) > MAX_BYTES:
            raise ValueError(f"The weight table is larger than {MAX_BYTES} bytes: keep fewer diagnostics in it.")
        return text

    @classmethod
    def from_json(cls, text: str | bytes) -> WeightTable:
        """Read what `to_json` wrote. ValueError of one sentence for anything else."""
        value = read_object(text, WHAT, MAX_BYTES)
        try:
            values = _Document.model_validate(value).model_dump(exclude={"format"})
        except ValidationError as error:
            raise ValueError(sentence(error, WHAT)) from error
        return cls(**values)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON to path, atomically."""
        write_atomic(Path(path), self.to_json().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WeightTable:
        """Read a saved table. OSError if the file cannot be read, ValueError of one sentence if it is no table."""
        with Path(path).open("rb") as file:
            return cls.from_json(file.read(MAX_BYTES + 1))

    @property
    def sha256(self) -> str:
        """Checksum of the JSON, in hexadecimal: the table's identity."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, WeightTable) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)


def load_table(path: str | os.PathLike[str]) -> ImportanceTable | WeightTable:
    """A saved table of either kind, told apart by its format. OSError, or ValueError of one sentence, otherwise."""
    with Path(path).open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    kind = read_object(text, "an importance or weight table", MAX_BYTES).get("format")
    return WeightTable.from_json(text) if kind == FORMAT else ImportanceTable.from_json(text)


def _cell(cell: Any) -> Any:
    if cell != OFF and (type(cell) is not float or not LOW <= cell <= HIGH):
        raise ValueError(f'a cell is "off" or a weight from {LOW:g} to {HIGH:g}')
    return cell


def _cells(weights: Any, bypass: Any) -> Any:
    """Rows of weights with "off" where the block is bypassed; ValueError where the shapes differ."""
    if not isinstance(weights, list) or not all(isinstance(row, list) for row in weights):
        return weights
    rows = [[float(cell) if type(cell) is int else cell for cell in row] for row in weights]
    if bypass is None:
        return rows
    if not isinstance(bypass, list) or [len(row) for row in bypass] != [len(row) for row in rows]:
        raise ValueError("the weights and the bypass mask have different shapes")
    return [
        [OFF if off else cell for cell, off in zip(row, mask, strict=True)]
        for row, mask in zip(rows, bypass, strict=True)
    ]
