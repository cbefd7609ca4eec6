"""The Gradio app. It is given its engine, and talks to it alone."""

from .page import build_demo, launch_options

__all__ = ["build_demo", "launch_options"]
