"""The words a model knows, as its folder's `vocabulary.json` lists them, and captions made from them."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..storage.strict_json import read_object, sentence

log = logging.getLogger(__name__)
FILE = "vocabulary.json"
MAX_BYTES = 100_000

Word = Annotated[str, Field(pattern=r"^[a-z]{1,30}$")]
Phrase = Annotated[str, Field(pattern=r"^[a-z]{1,30}( [a-z]{1,30}){0,7}$")]
Template = Annotated[str, Field(pattern=r"^[a-z, ]{0,60}\{\}[a-z, ]{0,60}$")]
Words = Annotated[tuple[Word, ...], Field(max_length=200)]
Phrases = dict[Phrase, Annotated[tuple[Phrase, ...], Field(min_length=1, max_length=20)]]


class Vocabulary(BaseModel):
    """What a model can draw. Subjects, colours and sizes are words; the other fields map names to phrases.

    A style's phrase is a template with `{}` for the scene. words: every word that the model knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["reweight-vocabulary-1"] = "reweight-vocabulary-1"
    subjects: Annotated[Words, Field(min_length=2)]
    colours: Annotated[Words, Field(min_length=1)]
    sizes: Annotated[Words, Field(min_length=1)]
    settings: Annotated[Phrases, Field(min_length=1, max_length=50)]
    styles: Annotated[
        dict[Phrase, Annotated[tuple[Template, ...], Field(min_length=1, max_length=20)]],
        Field(min_length=1, max_length=50),
    ]
    relations: Annotated[Phrases, Field(min_length=1, max_length=50)]
    words: Annotated[tuple[Word, ...], Field(max_length=5000)]

    @field_validator("words")
    @classmethod
    def _sorted(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(words)))

    def surprise(self, seed: int) -> str:
        """A random caption, determined by the seed: one or two subjects, a setting and a style."""
        chance = random.Random(seed)
        two = chance.random() < 0.25
        text, *second = (
            self._phrase(chance, subject, sized=not two) for subject in chance.sample(self.subjects, 1 + two)
        )
        for other in second:
            text += f" {self._wording(chance, self.relations)} {other}"
        text += f" {self._wording(chance, self.settings)}"
        return self._wording(chance, self.styles).format(text)

    def _phrase(self, chance: random.Random, subject: str, sized: bool) -> str:
        size = chance.choice(self.sizes) if sized and chance.random() < 0.4 else ""
        colour = chance.choice(self.colours) if chance.random() < 0.65 else ""
        words = " ".join(filter(None, (size, colour, subject)))
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

    @staticmethod
    def _wording(chance: random.Random, options: dict[str, tuple[str, ...]]) -> str:
        return chance.choice(options[chance.choice(list(options))])

    def save(self, folder: Path) -> None:
        """Write the file into a model's folder."""
        (folder / FILE).write_text(json.dumps(self.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """A folder's vocabulary; None if it has none or it cannot be read, which is logged."""
    what = "a model's vocabulary"
    try:
        with (folder / FILE).open("rb") as file:
            return Vocabulary(**read_object(file.read(MAX_BYTES + 1), what, MAX_BYTES))
    except OSError:
        return None
    except ValidationError as error:
        log.warning("%s is left out: %s", FILE, sentence(error, what))
    except ValueError as error:
        log.warning("%s is left out: %s", FILE, error)
    return None
