"""The commands `demo`, `doctor` and `space`."""

from __future__ import annotations

from typing import Annotated

import typer

from .doctor import doctor


def demo(context: typer.Context) -> None:
    """Open the demo in a browser on this machine; `--help` lists its options, which are those of app.py."""
    from .entry import main

    main(context.args, "reweight demo")


def space(
    name: Annotated[str, typer.Argument(help="OWNER/NAME of the Space; it is created if it does not exist.")],
    private: Annotated[bool, typer.Option("--private", help="Make the Space private.")] = False,
    hardware: Annotated[str | None, typer.Option(help="Such as cpu-basic or zero-a10g; by default the hub's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files that would be uploaded.")] = False,
) -> None:
    """Upload this demo to the Hugging Face hub as a Space: only the files that it needs, in one commit."""
    from ..deploy.space import upload

    typer.echo(upload(name, private=private, hardware=hardware, dry_run=dry_run))


def add_commands(app: typer.Typer) -> None:
    """Register them."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(context_settings=settings)(demo)
    app.command()(doctor)
    app.command()(space)
