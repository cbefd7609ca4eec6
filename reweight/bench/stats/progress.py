"""The progress bar of a long measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr that is gone at the end; yields what says what is done now, and which share of it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=1.0)

        def say(text: str, done: float) -> None:
            bar.update(task, completed=done, description=text[:60])

        yield say
