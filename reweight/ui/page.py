"""The page: header, controls beside the screens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ..engine.engine import Engine
from ..models.registry import REGISTRY
from .api import build_api
from .controls import build_controls
from .handlers import Handlers, Tables
from .screens.compare import build_compare
from .screens.importance import build_importance
from .wiring import wire
from .wording import about_model, line

STATIC = Path(__file__).parent / "static"
FONT = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
MONO = ["ui-monospace", "Consolas", "monospace"]


def launch_options() -> dict[str, Any]:
    """What `launch` must be told: looks, and no connections but to this server."""
    theme = gr.themes.Soft(
        primary_hue="orange", neutral_hue="stone", font=FONT, font_mono=MONO, spacing_size="sm", text_size="md"
    ).set(
        block_title_background_fill="transparent", block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color", block_title_text_color_dark="*body_text_color",
        block_title_padding="0", block_label_background_fill="*background_fill_primary",
        button_primary_background_fill="#b4490e", button_primary_background_fill_hover="#9a3d0a",
        button_primary_background_fill_dark="#c2520f", button_primary_background_fill_hover_dark="#d45c14",
        button_primary_text_color="white", button_primary_text_color_dark="white",
    )  # fmt: skip
    return {
        "theme": theme,
        "css": (STATIC / "style.css").read_text(encoding="utf-8"),
        "head": "".join(
            f"<script>{(STATIC / name).read_text(encoding='utf-8')}</script>" for name in ("live.js", "words.js")
        ),
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
    """The demo, ready to launch with `launch_options()`."""
    first = engine.models[0]
    loaded = engine.opened(first)
    with gr.Blocks(
        title="reweight: which U-Net block matters when", analytics_enabled=False, delete_cache=(600, 3600)
    ) as demo:
        gr.HTML(
            "<h1>reweight</h1><p>Each block of a diffusion U-Net matters at other steps. Slide <b>low</b> and "
            "<b>high</b>: unimportant blocks get a weight near low, important ones near high.</p>",
            elem_id="header", elem_classes="rw-header",
        )  # fmt: skip
        with gr.Row(elem_classes="rw-page"):
            with gr.Column(scale=1, min_width=290, elem_classes="rw-controls"):
                offered = dict.fromkeys([*engine.models, *(REGISTRY if engine.local else ())])
                titles = [(REGISTRY[name].title if name in REGISTRY else name, name) for name in offered]
                controls = build_controls(titles, engine.local, loaded, engine.blocks(first))
                about = gr.HTML(about_model(loaded), elem_id="about", elem_classes="rw-about")
            with gr.Column(scale=3, min_width=320):
                status = gr.HTML(
                    line("Starting…"), elem_id="status", elem_classes="rw-status",
                    html_template='<div role="status">${value}</div>',
                )  # fmt: skip
                with gr.Tabs():
                    with gr.Tab("Compare", id="compare"):
                        view = build_compare()
                    with gr.Tab("Importance", id="importance", render_children=True):
                        screen = build_importance()
        handlers = Handlers(engine, controls, view, screen, status, about, gr.State(Tables()), gr.State(first))
        wire(demo, handlers)
        build_api(engine)
    return demo.queue(api_open=False, max_size=64, default_concurrency_limit=16)
