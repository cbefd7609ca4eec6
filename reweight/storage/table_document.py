"""Tables of (steps, blocks) as JSON documents that carry where they come from: what their two kinds share."""

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
    """The fields of a document, exact in type. Every one must be there and no other."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def check_shape(rows: Sequence[Sequence[Any]], blocks: Sequence[str], steps: int, name: str, cell: str) -> None:
    """ValueError unless there is a row of as many cells as blocks for each step. name, cell: what they are called."""
    m = len(blocks)
    if any(len(row) != m for row in rows):
        raise ValueError(f"every row of {name} must have {m} {cell}, one for each block")
    if len(set(blocks)) != m:
        raise ValueError("two blocks have the same label")
    if steps != len(rows):
        raise ValueError(f"it says {steps} steps but has {len(rows)} rows of {name}")


class TableDocument:
    """A frozen dataclass that is saved as a JSON document, and equal by content.

    WHAT: what it is called in errors, with its article. FORMAT: the value of its first field, "format". SCHEMA: of
    the document. Errors are ValueErrors of one sentence.
    """

    WHAT: ClassVar[str]
    FORMAT: ClassVar[str]
    SCHEMA: ClassVar[type[Schema]]

    def _values(self) -> dict[str, Any]:
        """The document's fields but for the format, in JSON's own types. ValueError for what JSON cannot carry."""
        return {item.name: plain(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type]

    def _checked(self) -> Any:
        """The values as the schema has them."""
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
        """Read what `to_json` wrote. ValueError of one sentence for anything else."""
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
        """Read a saved table. OSError if the file cannot be read, ValueError of one sentence if it is no table."""
        return cls.from_json(read_bounded(path))

    @property
    def sha256(self) -> str:
        """Checksum of the JSON, in hexadecimal: the table's identity."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.sha256)


def read_bounded(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes, at most one more than a document may have. OSError if it cannot be read."""
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)
