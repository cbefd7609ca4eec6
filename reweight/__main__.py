"""The command line: `python -m reweight demo | generate | probe | tune | doctor | space | bench`."""

from __future__ import annotations

import os
import sys

import typer

from .bench import app as bench
from .commands import generate, probe, tune
from .commands.shared import say
from .serving.commands import add_commands

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(bench, name="bench")
app.command("generate")(generate.command)
app.command("probe")(probe.command)
app.command("tune")(tune.command)
add_commands(app)


def main() -> None:
    """Run a command. Expected errors are printed as one sentence."""
    for library in ("DIFFUSERS", "TRANSFORMERS"):
        os.environ.setdefault(
            f"{library}_VERBOSITY", "error"
        )  # warnings that matter to users are printed by the commands
    try:
        app()
    except OSError as error:
        say(f"{error.filename}: {error.strerror}." if error.filename and error.strerror else str(error), style="red")
    except (ValueError, FloatingPointError) as error:
        say(str(error), style="red")
    else:
        return
    sys.exit(1)


if __name__ == "__main__":
    main()
