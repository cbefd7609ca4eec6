"""The paper's published numbers (arXiv 2504.03471, Tables I to VI), by row and column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

SPLITS = {42: "train", 21: "test"}  # the public code's seeds
FAMILIES = {"sd-turbo": "SD-Turbo", "sdxl-turbo": "SDXL-Turbo", "sd21": "SD v2.1", "sdxl": "SDXL"}
Numbers = dict[tuple[str, str], float]


@cache
def paper_tables() -> Mapping[str, Any]:
    """The paper's numbers, with the source."""
    return json.loads(files(__package__).joinpath("paper_tables.json").read_text(encoding="utf-8"))


def table_1(family: str) -> tuple[str, Numbers]:
    """Table I for one of FAMILIES, by default SD v2.1: (the paper's model, {(row, "10 steps"): HPS v2})."""
    table = paper_tables()["table_1"]
    model = FAMILIES.get(family, "SD v2.1")
    found = {}
    for i, column in enumerate(table["columns"]):
        name, _, steps = column.partition("@")
        if name == model:
            rows = {row: values[i] for row, values in table.items() if row == "vanilla" or row.startswith("blk-")}
            found |= {(row, f"{steps} steps"): value for row, value in rows.items() if value is not None}
    if model.startswith("SDXL"):  # its blocks are numbered from 1; the printed blk-0 repeats another row
        found = {place: value for place, value in found.items() if place[0] != "blk-0"}
    return model, found


def by_category(key: str, model: str, suffix: str = "") -> tuple[str, Numbers]:
    """One of Tables III to VI: (the paper's model, {(row, "anime train"): HPS v2}). suffix: appended to its rows."""
    tables = paper_tables()
    found = {}
    for row, values in tables[key].items():
        for category, pair in zip(tables["categories"], values, strict=True):
            for split, value in zip(tables["splits"], pair, strict=True):
                found[row + suffix, f"{category} {split}"] = value
    return model, found


def table_2(family: str, steps: int) -> tuple[tuple[str, ...], ...]:
    """Table II: for each step the block numbers, least important first; empty if the paper has none."""
    table = paper_tables()["table_2"]
    printed = table["SD-Turbo"] if FAMILIES.get(family, "SD-Turbo") == "SD-Turbo" and steps == table["steps"] else []
    return tuple(tuple(str(block) for block in row) for row in printed)
