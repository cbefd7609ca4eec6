"""The generation parameters that other tools save in PNG files: a prompt, and a line of names and values."""

from __future__ import annotations

import re
from typing import Any

WHOLE = re.compile(r'([A-Za-z][\w \-/]{0,40}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')


def read_parameters(text: str) -> dict[str, Any]:
    """Settings by our names from a text such as "a fox\\nNegative prompt: ugly\\nSteps: 20, Seed: 5, Size: 512x512".

    Only prompt, negative_prompt, steps, seed, guidance and size are read. ValueError of one sentence if there is no
    such line.
    """
    lines = text.strip()[:20_000].splitlines()
    if not lines or not re.match(r"\s*Steps:\s*\d+", lines[-1]):
        raise ValueError("This text has no line that begins with Steps: it is not what a picture was made from.")
    values = {name.lower(): value.strip() for name, value in WHOLE.findall(lines[-1])}
    body = "\n".join(lines[:-1])
    prompt, _, negative = (
        body.partition("\nNegative prompt:") if not body.startswith("Negative prompt:") else ("", "", body[16:])
    )
    found: dict[str, Any] = {"prompt": " ".join(prompt.split()), "negative_prompt": " ".join(negative.split())}
    for name, ours, kind in (("steps", "steps", int), ("seed", "seed", int), ("cfg scale", "guidance", float)):
        try:
            found[ours] = kind(values[name])
        except (KeyError, ValueError):
            continue
    size = re.fullmatch(r"(\d+)x(\d+)", values.get("size", ""))
    if size and size[1] == size[2]:
        found["size"] = int(size[1])
    return found
