"""Figures by command: `python -m reweight bench …`, one file for each command."""

import typer

from . import (
    agreement,
    full_size,
    importance,
    plan,
    probe,
    proposition,
    pruning,
    surrogate,
    table2,
    tables,
    toy,
    toy_scorer,
)

app = typer.Typer(no_args_is_help=True, help=__doc__)
app.command("agreement")(agreement.command)
app.command("full-size")(full_size.command)
app.command("importance")(importance.command)
app.command("probe")(probe.command)
app.command("proposition")(proposition.command)
app.command("pruning")(pruning.command)
app.command("surrogate")(surrogate.command)
app.command("toy")(toy.command)
app.command("toy-scorer")(toy_scorer.command)
for _name in tables.SUMMARY:
    app.command(_name)(tables.command_for(_name))
app.command("table2")(table2.command)
app.command("plan")(plan.command)
