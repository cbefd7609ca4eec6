"""The page: header, controls beside the screens, the instrument that each screen shows, and the routes beneath."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from starlette.middleware import Middleware

from ..engine.engine import Engine
from ..engine.resolving import EXAMPLES
from ..models.registry import REGISTRY
from .address import settings_in
from .api import build_api
from .controls import controls, defaults
from .files import STATIC
from .first_paint import HEADLINE, FirstPaint, markup
from .instrument import MARKUP
from .live import Live
from .model_facts import about
from .screens import SCREENS
from .screens.base import Page
from .screens.compare import first_view
from .session import Sessions

SCRIPTS = (
    "server.js", "settings.js", "page.js", "weights.js", "unet.js", "heatmap.js", "instrument.js", "inside.js", "compare.js",
    "said.js", "differ.js", "guide.js", "words.js",
)  # fmt: skip
STYLES = ("style.css", "pictures.css", "instrument.css", "inside.css")
MOST_QUERY = 50_000  # letters; no link that the page makes has more
FONT = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
MONO = ["ui-monospace", "Consolas", "monospace"]


def launch_options(demo: gr.Blocks) -> dict[str, Any]:
    """What `launch` must be told of a demo: its looks and routes, and no connections but to this server."""
    theme = gr.themes.Base(
        primary_hue="orange", neutral_hue="stone", font=FONT, font_mono=MONO, spacing_size="sm", text_size="md"
    ).set(
        body_background_fill="#faf8f4", body_background_fill_dark="#1b1916",
        block_background_fill="transparent", block_background_fill_dark="transparent", block_border_width="0px",
        block_title_background_fill="transparent", block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color", block_title_text_color_dark="*body_text_color",
        button_primary_background_fill="#a8430a", button_primary_background_fill_hover="#8c3808",
        button_primary_background_fill_dark="#a8430a", button_primary_background_fill_hover_dark="#c2520f",
        button_primary_text_color="white", button_primary_text_color_dark="white",
    )  # fmt: skip
    scripts = [*(STATIC / name for name in SCRIPTS), *(path for screen in SCREENS.values() for path in screen.scripts)]
    styles = [*(STATIC / name for name in STYLES), *(path for screen in SCREENS.values() for path in screen.styles)]
    return {
        "theme": theme,
        "css": "\n".join(path.read_text(encoding="utf-8") for path in styles),
        "head": "".join(f"<script>{path.read_text(encoding='utf-8')}</script>" for path in scripts),
        "app_kwargs": {"routes": demo.live.routes(), "middleware": [Middleware(FirstPaint, view=demo.painted)]},
        "show_error": False,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "share": False,
        "ssr_mode": False,
        "pwa": False,
        "allowed_paths": [],
        "max_file_size": "2mb",
    }


def build_demo(engine: Engine) -> gr.Blocks:
    """The demo, ready to launch with `launch_options(demo)`."""
    first = engine.models[0]
    loaded = engine.opened(first)
    sessions = Sessions()
    with gr.Blocks(
        title="reweight: switch off one block of a U-Net and watch what breaks",
        analytics_enabled=False,
        delete_cache=(600, 3600),
    ) as demo:
        page = Page(engine, sessions, gr.Textbox(visible="hidden", elem_id="given", label="settings"))
        page.html(f'<header id="header">{HEADLINE}</header>')
        with gr.Row(elem_classes="rw-page"):
            with gr.Column(scale=0, min_width=290, elem_classes="rw-controls"):
                offered = dict.fromkeys([*engine.models, *(REGISTRY if engine.local else ())])
                titles = [(REGISTRY[name].title if name in REGISTRY else name, name) for name in offered]
                page.html(controls(titles, engine.local, loaded, defaults(loaded.card)))
                page.html('<div id="about"></div>')
            with gr.Column(scale=1, min_width=320, elem_classes="rw-main"):
                page.html('<div id="status" role="status"></div>')
                with gr.Tabs(elem_id="screens", overflow_behavior="wrap"):
                    for key, screen in SCREENS.items():
                        with gr.Tab(screen.title, id=key, elem_id=f"screen-{key}", render_children=True):
                            screen.build(page)
                page.html(f'<div id="instrument-home">{MARKUP}</div>')
        build_api(engine)

    def start(query: str) -> dict[str, Any]:
        return begin(engine, query)

    def painted(query: str) -> str:
        _, settings = settings_asked(engine, query)
        return markup(first_view(engine, settings), settings["prompt"], dict(parse_qsl(query)))

    demo.painted = painted
    demo.live = Live(engine, sessions, start, lambda screen: SCREENS.named(screen).acts())
    return demo.queue(api_open=False, max_size=64, default_concurrency_limit=16)


def begin(engine: Engine, query: str) -> dict[str, Any]:
    """The settings in an address's query, and what the page knows of their model."""
    name, settings = settings_asked(engine, query)
    return about(engine, name) | {"settings": settings, "first": first_view(engine, settings)}


def settings_asked(engine: Engine, query: str) -> tuple[str, dict[str, Any]]:
    """The model and the settings that an address's query asks for; of a query above MOST_QUERY, the defaults.

    In local mode only a model that is open already, so that no link can start a download.
    """
    asked = dict(parse_qsl(query.removeprefix("?") if len(query) <= MOST_QUERY else "", keep_blank_values=True))
    name = asked.get("model", "")
    name = name if name in engine.models or engine.is_open(name) else engine.models[0]
    settings = settings_in(asked, engine.card(name))
    return name, settings | {"prompt": settings["prompt"] or EXAMPLES[0]}
