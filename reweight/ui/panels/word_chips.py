"""What a model knows, under the prompt: a line that names unknown words, and words to click. `static/words.js` reads it."""

from __future__ import annotations

import json
from html import escape

from ...models.loading import LoadedModel

CHIPS = ("subjects", "colours", "settings", "styles")


def words_panel(loaded: LoadedModel) -> str:
    """The panel of a loaded model; nothing for one whose folder declares no vocabulary."""
    known = loaded.vocabulary
    if known is None:
        return ""
    who = "The embedded model" if loaded.card.embedded else "This model"
    return (
        f'<div class="rw-known" data-who="{who}" data-vocabulary="{escape(json.dumps(known.model_dump(mode="json")))}">'
        "<details><summary>Words it knows</summary>"
        f"{''.join(_chips(group, getattr(known, group)) for group in CHIPS)}</details></div>"
    )


def _chips(group: str, names: tuple[str, ...] | dict[str, tuple[str, ...]]) -> str:
    dot = '<i style="background:{0}"></i>' if group == "colours" else ""
    button = f'<button type="button" class="rw-chip" data-group="{group}" data-name="{{0}}">{dot}{{0}}</button>'
    buttons = "".join(button.format(name) for name in names)
    return f'<div role="group" aria-label="{group}"><b>{group.capitalize()}</b>{buttons}</div>'
