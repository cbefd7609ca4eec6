"""The weight table: tuned or painted weights with provenance, applied without scores, low or high.

Arrays are indexed (steps, blocks): T rows, m columns. No model is needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, JsonValue, model_validator

from .schedule import ImportanceTable
from .storage.strict_json import read_object
from .storage.table_document import MAX_BYTES, Schema, TableDocument, check_shape, read_bounded

OFF = "off"
LOW, HIGH = 0.0, 2.0


class _Document(Schema):
    """The table's JSON form; all fields are required, others are refused."""

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
        check_shape(self.weights, self.blocks, self.steps, "weights", "cells")
        return self


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightTable(TableDocument):
    """The weight of each block at each step, with provenance. Checked on construction, equal by content.

    weights: w, (T, m) in [0, 2], read-only; rows of numbers or "off", which becomes weight 1 and a bypass. bypass: (T, m)
    bool, the bypassed blocks; None if there are none. blocks: the m labels, in execution order. per: "stage" if a column
    is a target block, as in the paper, "transformer" if it is a Transformer2DModel. Provenance: model, revision,
    scheduler, steps (T), guidance_scale, method ("tuned:gradient", "tuned:cma", "painted"), scorer, settings, versions;
    provenance: the prompts and noises of the tuning. diagnostics: measured gains and costs, such as validation_gain;
    arrays become lists.
    ValueError of one sentence for values that could not be saved and loaded.
    """

    WHAT, FORMAT, SCHEMA = "a weight table", "reweight-weights-1", _Document

    weights: np.ndarray
    blocks: tuple[str, ...]
    model: str
    method: str
    bypass: np.ndarray | None = None
    per: str = "stage"
    revision: str | None = None
    scheduler: str = ""
    steps: int = 0  # 0: the number of rows
    guidance_scale: float = 0.0
    scorer: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.steps and hasattr(self.weights, "__len__"):
            object.__setattr__(self, "steps", len(self.weights))
        document = self._checked()
        for item in fields(self):
            if item.name != "bypass":
                object.__setattr__(self, item.name, getattr(document, item.name))
        w = np.array([[1.0 if cell == OFF else cell for cell in row] for row in document.weights])
        off = np.array([[cell == OFF for cell in row] for row in document.weights])
        for array in (w, off):
            array.setflags(write=False)
        object.__setattr__(self, "weights", w)
        object.__setattr__(self, "bypass", off if off.any() else None)
        object.__setattr__(self, "blocks", tuple(document.blocks))

    def _values(self) -> dict[str, Any]:
        values = super()._values()
        return values | {"weights": _cells(values["weights"], values.pop("bypass"))}


def load_table(path: str | os.PathLike[str]) -> ImportanceTable | WeightTable:
    """Load an importance table or a weight table, by its format. OSError, or ValueError of one sentence, otherwise."""
    text = read_bounded(path)
    kind = read_object(text, "an importance or weight table", MAX_BYTES).get("format")
    return WeightTable.from_json(text) if kind == WeightTable.FORMAT else ImportanceTable.from_json(text)


def _cell(cell: Any) -> Any:
    if cell != OFF and (type(cell) is not float or not LOW <= cell <= HIGH):
        raise ValueError(f'a cell is "off" or a weight from {LOW:g} to {HIGH:g}')
    return cell


def _cells(weights: Any, bypass: Any) -> Any:
    """Rows of weights with "off" for bypassed blocks; ValueError if the shapes differ."""
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
