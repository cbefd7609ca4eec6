"""Benchmarks: the commands of `python -m reweight bench …`, one file each."""

import typer

from .embedded import defaults, draw_atlas
from .embedded import picture_quality as toy
from .embedded import scorer_quality as toy_scorer
from .overhead import ablation_time, full_size, grid, page_latency, parts, plan
from .peers import full_size_peers, full_size_times, peer_study, which_cells, which_steps
from .published import whole_run, write_documents
from .studies import agreement, pruning
from .studies import error_parabola as proposition
from .studies import importance_study as importance
from .studies import probe_cost as probe
from .studies import surrogate_savings as surrogate
from .tables import table2
from .tables import table_commands as tables
from .tuned import how_many_captions, tuned_study

app = typer.Typer(no_args_is_help=True, help=__doc__)
app.command("ablate")(ablation_time.command)
app.command("agreement")(agreement.command)
app.command("atlas")(draw_atlas.command)
app.command("defaults")(defaults.command)
app.command("full-size")(full_size.command)
app.command("grid")(grid.command)
app.command("parts")(parts.command)
app.command("importance")(importance.command)
app.command("live")(page_latency.command)
app.command("peers")(peer_study.command)
app.command("peers-cells")(which_cells.command)
app.command("peers-full-size")(full_size_peers.command)
app.command("peers-full-size-times")(full_size_times.command)
app.command("peers-steps")(which_steps.command)
app.command("probe")(probe.command)
app.command("proposition")(proposition.command)
app.command("pruning")(pruning.command)
app.command("all")(whole_run.command)
app.command("report")(write_documents.command)
app.command("surrogate")(surrogate.command)
app.command("toy")(toy.command)
app.command("toy-scorer")(toy_scorer.command)
app.command("tuned")(tuned_study.command)
app.command("tuned-captions")(how_many_captions.command)
for _name in tables.SUMMARY:
    app.command(_name)(tables.command_for(_name))
app.command("table2")(table2.command)
app.command("plan")(plan.command)
