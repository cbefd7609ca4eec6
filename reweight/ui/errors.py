"""Errors that are sentences for a person, as Gradio shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr


@contextmanager
def shown_to_people() -> Iterator[None]:
    """Turn a ValueError (a request's, a model's, a table's) or a FloatingPointError into Gradio's message."""
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        raise gr.Error(str(error), duration=12, print_exception=False) from error
