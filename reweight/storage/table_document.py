"""The base of importance and weight tables: a table (steps, blocks) with provenance, saved as a JSON document."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from .atomic import write_atomic
from .strict_json import plain, read_object, sentence

MAX_BYTES = 1_000_000


class Schema(BaseModel):
    """The fields of a document, with strict types; all are required, others are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def check_shape(rows: Sequence[Sequence[Any]], blocks: Sequence[str], steps: int, name: str, cell: str) -> None:
    """ValueError unless there is a row for each step with a cell for each block. name, cell: their names in messages."""
    m = len(blocks)
    if any(len(row) != m for row in rows):
        raise ValueError(f"every row of {name} must have {m} {cell}, one for each block")
    if len(set(blocks)) != m:
        raise ValueError("two blocks have the same label")
    if steps != len(rows):
        raise ValueError(f"it says {steps} steps but has {len(rows)} rows of {name}")


class TableDocument:
    """A frozen dataclass that is saved as a JSON document, and equal by content.

    WHAT: its name in errors, with an article. FORMAT: the value of its first field, "format". SCHEMA: the document's
    schema. Errors are ValueErrors of one sentence.
    """

    WHAT: ClassVar[str]
    FORMAT: ClassVar[str]
    SCHEMA: ClassVar[type[Schema]]

    def _values(self) -> dict[str, Any]:
        """The document's fields except the format, as JSON values. ValueError for values that JSON cannot represent."""
        return {item.name: plain(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type]

    def _checked(self) -> Any:
        """The validated document."""
        try:
            return self.SCHEMA.model_validate({"format": self.FORMAT} | self._values())
        except ValidationError as error:
            raise ValueError(sentence(error, self.WHAT)) from error
        except ValueError as error:
            raise ValueError(f"This is not {self.WHAT}: {error}.") from error

    def to_json(self) -> str:
        """The table as JSON; `from_json` gives the same table back exactly. ValueError over 1 MB."""
        text = (
            json.dumps({"format": self.FORMAT} | self._values(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        )
        if len(text.encode()) > MAX_BYTES:
            name = self.WHAT.partition(" ")[2]
            raise ValueError(f"The {name} is larger than {MAX_BYTES} bytes: keep fewer diagnostics in it.")
        return text

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse the output of `to_json`. ValueError of one sentence for anything else."""
        value = read_object(text, cls.WHAT, MAX_BYTES)
        try:
            values = cls.SCHEMA.model_validate(value).model_dump(exclude={"format"})
        except ValidationError as error:
            raise ValueError(sentence(error, cls.WHAT)) from error
        return cls(**values)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON to path, atomically."""
        write_atomic(Path(path), self.to_json().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a saved table. OSError if the file cannot be read, ValueError of one sentence if it is not a table."""
        return cls.from_json(read_bounded(path))

    @property
    def sha256(self) -> str:
        """SHA-256 of the JSON, in hexadecimal; it identifies the table."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)


def read_bounded(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes, up to one more than a document's limit. OSError if it cannot be read."""
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)
