"""`python -m reweight bench atlas`: draws the page's precomputed pictures and the examples' thumbnails."""

from __future__ import annotations

from typing import Annotated, Any

import typer

COLUMNS = ("vanilla", "reweighted", "freeu")
SIDE = 96  # pixels of a thumbnail


def command(
    model: Annotated[list[str] | None, typer.Option(help="An embedded model; repeat for more; by default all.")] = None,
) -> None:
    """Draw every example prompt with the page's defaults, with provenance. Run it after a change of model or defaults."""
    from rich.console import Console

    from ...models.registry import REGISTRY

    for name in model or [key for key, card in REGISTRY.items() if card.embedded]:
        size = draw(name)
        Console().print(f"{name}: {size / 1e6:.2f} MB", highlight=False)


def asked(engine: Any, model: str) -> list[Any]:
    """The request of each example prompt with the page's defaults."""
    from ...engine.resolving import EXAMPLES
    from ...ui.controls import defaults
    from ...ui.screens.base import request_of

    return [request_of(engine, defaults(engine.card(model)) | {"prompt": prompt}) for prompt in EXAMPLES]


def draw(model: str) -> int:
    """Draw a model's pictures into assets/; returns their size in bytes."""
    import hashlib
    import io

    from PIL import Image

    from ...engine.engine import Engine, Picture
    from ...engine.naming import slug
    from ...engine.provenance import current_versions, png_bytes, settings_of
    from ...engine.resolving import EXAMPLES
    from ...models.registry import ASSETS
    from ...scoring import distance
    from ...storage.atomic import write_atomic
    from ...ui.atlas import FOLDER, FORMAT, INDEX, key_of
    from ...ui.controls import SEED
    from ...ui.screens.compare import file_name
    from ...ui.wording import change
    from ..stats.result_file import write_json

    engine = Engine((model,))
    loaded = engine.opened(model)
    folder, thumbnails = FOLDER / model, ASSETS / "examples" / model
    for place in (folder, thumbnails):
        place.mkdir(parents=True, exist_ok=True)
        for old in [*place.glob("*.png"), *place.glob("*.webp")]:
            old.unlink()
    told: dict[str, dict[str, Any]] = {}
    size = 0
    for request in asked(engine, model):
        chosen = engine.chosen(request)
        drawn = [event for event in engine.compare(request, chosen, COLUMNS) if isinstance(event, Picture)]
        for picture in drawn:
            data = png_bytes(
                picture.image, settings_of(request, loaded, picture.column, picture.weights, picture.table_sha256)
            )
            name = file_name(request, picture)
            write_atomic(folder / name, data)
            size += len(data)
            about: dict[str, Any] = {
                "file": name, "sha256": hashlib.sha256(data).hexdigest(), "prompt": request.prompt, "column": picture.column,
            }  # fmt: skip
            if picture.column != "vanilla":
                about["vanilla"] = change(distance(picture.image, drawn[0].image))
            told[key_of(engine, request, picture.column, chosen)] = about
        small = io.BytesIO()
        drawn[0].image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(small, format="WEBP", quality=70)
        write_atomic(thumbnails / f"{slug(request.prompt)}.webp", small.getvalue())
    provenance = {
        "model": model, "revision": loaded.revision, "device": loaded.device, "dtype": loaded.dtype, "seed": SEED,
        "steps": loaded.card.steps, "guidance": loaded.card.guidance, "versions": current_versions(),
    }  # fmt: skip
    write_json(folder / INDEX, {"format": FORMAT} | provenance | {"pictures": told})
    write_json(thumbnails / "provenance.json", {"prompts": list(EXAMPLES)} | provenance)
    engine.close()
    return size
