"""The comparison of methods: rows that go on where they stopped, lines with intervals, steps chosen by what was measured."""

import csv
from io import StringIO

import numpy as np
import pytest

from reweight.bench.embedded.held_out import captions
from reweight.bench.peers import full_size_peers, full_size_times, peer_pictures, peer_summary, which_cells, which_steps
from reweight.bench.peers.flops import flops
from reweight.bench.peers.variants import VANILLA, Variant, variants
from reweight.engine.drawing import draw
from reweight.engine.request import validate
from reweight.models.loading import load_model
from reweight.scoring.scorers import scorer_named
from reweight.storage.rowfile import read_rows
from reweight.toy.judges.classifier import load_judge


@pytest.fixture(scope="module")
def turbo():
    loaded = load_model("toy-turbo")
    loaded.pipe.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def rows(turbo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    options = dict(steps=(2,), judge=load_judge(), scorer=scorer_named("toy"), batch=2)
    prompts = captions(4)
    assert not peer_pictures.draw_all(turbo, prompts, folder, minutes=0, **options)
    assert peer_pictures.draw_all(turbo, prompts, folder, **options)
    before = (folder / "rows-0.jsonl").read_bytes()
    assert peer_pictures.draw_all(turbo, prompts, folder, **options)
    assert (folder / "rows-0.jsonl").read_bytes() == before
    return list(read_rows(folder).values())


def test_every_variant_is_drawn_for_every_prompt(turbo, rows):
    drawn = [variant for variant in variants("toy-turbo", 2) if not peer_pictures.why_not(turbo, variant, 2)]
    assert {row["variant"] for row in rows} == {variant.label for variant in drawn}
    assert len(rows) == 4 * len(drawn)
    vanilla = [row for row in rows if row["variant"] == VANILLA]
    assert all(row["ssim"] == pytest.approx(1) and not row["report"] for row in vanilla)
    assert all(row["report"] for row in rows if row["variant"] not in (VANILLA,))


def test_what_does_nothing_is_said_and_not_drawn(turbo):
    labels = {variant.label: variant for variant in variants("toy-turbo", 2)}
    assert "key step" in peer_pictures.why_not(turbo, labels["faster-diffusion"], 2)
    assert not peer_pictures.why_not(turbo, labels["tgate"], 2)


def test_lines_table_and_picture(rows, tmp_path):
    rows = [row for row in rows if row["variant"] in (VANILLA, "freeu", "inherit, every 2")]
    assert len(rows) == 4 * 3
    labels = list(dict.fromkeys(row["variant"] for row in rows))
    work = {(label, 2): 10 + i for i, label in enumerate([VANILLA, *(label for label in labels if label != VANILLA)])}
    lines = peer_summary.lines(rows, work, load_judge())
    assert [line.variant for line in lines] == [label for label, _ in work]
    first = lines[0]
    assert first.time == first.cpu == (1, 1, 1) and first.flops == 1 and first.over_vanilla == (0, 0, 0)
    for line in lines:
        assert line.prompts == 4
        for value, low, high in (line.time, line.cpu, line.over_vanilla, line.ssim):
            assert low <= value <= high
    read = list(csv.DictReader(StringIO(peer_summary.as_csv(lines))))
    assert [row["variant"] for row in read] == [line.variant for line in lines]
    assert len(peer_summary.table(lines, "toy-turbo").rows) == len(lines)
    peer_summary.pareto(lines, "toy-turbo").savefig(tmp_path / "pareto.png")
    assert peer_summary.ratio(rows, VANILLA, VANILLA, 2) == (1, 1, 1)


def test_flops_of_a_picture_fall_with_what_is_saved(turbo):
    whole = peer_pictures.cost_in_flops(turbo, Variant(VANILLA), 2, "a photo of a cat")
    half = Variant("inherit", "inherit", {"inherit": {"interval": 2}})
    assert peer_pictures.cost_in_flops(turbo, half, 2, "a photo of a cat") < whole


def test_flops_count_the_fused_attention():
    import torch

    q, k, v = (torch.randn(1, 2, 8, 4) for _ in range(3))
    counted = flops(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v))
    assert counted == 2 * (2 * 8 * 8 * 4) * 2


def test_steps_by_what_was_measured():
    measured = {"importance": np.array([0.0, 5, 1, 4, 2, 3]), "movement": np.arange(6.0)}
    found = which_steps.choices(measured, 6, 3)
    assert found["even"] == [1, 3, 5]
    assert found["importance"] == [1, 2, 4]
    assert found["importance, least"] == [1, 3, 5]
    for chosen in found.values():
        assert len(chosen) == 3 and chosen[0] == 1 and max(chosen) <= 6
    pruned = which_steps.choices(measured, 6, 3, "at-edm")
    assert pruned["importance"] == [2, 4, 6] and pruned["importance, least"] == [1, 3, 5]
    assert (pruned["the first"], pruned["the last"]) == ([1, 2, 3], [4, 5, 6])
    assert all(len(which_steps.own(steps, count)) == count for steps, count in ((10, 4), (10, 5), (50, 17), (6, 3)))


@pytest.mark.parametrize("method", ["at-edm", "tomesd"])
def test_a_method_acts_at_the_steps_that_are_not_in_full(turbo, tmp_path, method):
    def drawn(full):
        changes = {method: which_steps.ACTS[method](full, 2)}
        request = validate(turbo.card, model="toy-turbo", prompt="a cat", steps=2, methods=changes)
        return draw(turbo, request, method).images[0].tobytes()

    pictures = {full: drawn(full) for full in ((1,), (2,))}
    request = validate(turbo.card, model="toy-turbo", prompt="a cat", steps=2)
    vanilla = draw(turbo, request).images[0].tobytes()
    assert len({vanilla, *pictures.values()}) == 3
    late = validate(turbo.card, model="toy-turbo", prompt="a cat", steps=2, methods={method: {"steps": [3]}})
    assert draw(turbo, late, method).images[0].tobytes() == vanilla
    with pytest.raises(ValueError, match="step numbers"):
        validate(turbo.card, model="toy-turbo", prompt="a cat", steps=2, methods={method: {"steps": [0]}})


def test_cells_fill_a_budget_in_their_order():
    saving = np.array([3.0, -1.0, 2.0])
    order = np.array([[0.5, 0.0, 0.1], [0.4, 0.0, 0.2]])
    assert which_cells.filled(order, saving, 10.0) == [(1, 0), (1, 2), (2, 0), (2, 2)]
    assert which_cells.filled(order, saving, 6.0) == [(1, 2), (2, 2)]  # (2, 0) would exceed what is left
    assert which_cells.filled(order, saving, 7.0) == [(1, 2), (2, 0), (2, 2)]
    table = {name: np.arange(6.0).reshape(2, 3) for name in ("importance", "calibrated", "paper-code", "own error")}
    chosen = {name: which_cells.filled(by, saving, 5.0) for name, by in which_cells.orders(table, saving).items()}
    assert chosen["least importance"] == [(1, 0), (1, 2)] and chosen["most importance"] == [(2, 0), (2, 2)]
    assert chosen["checkerboard"] == [(1, 0), (1, 2)] and chosen["the last steps"] == [(2, 0), (2, 2)]


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["at-edm", "tomesd"])
def test_cells_are_measured(turbo, method):
    found = which_cells.measures(turbo, method, ["a photo of a cat"], 2)
    assert found["importance"].shape == found["own error"].shape == found["calibrated"].shape == (2, 7)
    assert (found["own error"] >= 0).all() and found["own error"].max() > 0
    saving, vanilla = found["saving"][0], float(found["vanilla"].item())
    settings = which_cells.ALLOWED[method] | {"cells": [(1, 0), (2, 0), (2, 6)]}
    spent = vanilla - which_cells._flops(turbo, method, settings, "a photo of a cat", 2)
    assert spent == pytest.approx(2 * saving[0] + saving[6])
    assert 0 < float(found["own"].item()) <= 1


def test_steps_are_drawn_and_movement_is_measured(turbo, tmp_path):
    movement = which_steps._movement(turbo, "a photo of a cat", 3)
    assert movement[0] == 0 and (movement[1:] > 0).all()
    plans = {"all": {"full_steps": [1, 2, 3]}, "one": {"full_steps": [1]}}
    options = dict(steps=3, scorer=scorer_named("toy"), batch=2)
    assert which_steps.draw_all(turbo, captions(2), plans, tmp_path, **options)
    errors = {row["variant"]: row["mse"] for row in read_rows(tmp_path).values()}
    assert errors["all"] == 0 < errors["one"]
    with pytest.raises(ValueError, match="plans"):
        which_steps.draw_all(turbo, captions(2), {"all": {"full_steps": [1]}}, tmp_path, **options)
    assert validate(turbo.card, model="toy-turbo", prompt="a cat", steps=3).steps == 3


@pytest.mark.slow
def test_full_size_shares():
    found = full_size_peers.measure("sd-turbo")
    assert found["vanilla"]["share"] == 1
    assert found["vanilla"]["teraflops"] == pytest.approx(80, rel=0.05)  # 0.8 T a call, twice for guidance, 50 steps
    assert all(line["share"] < 1 for label, line in found.items() if label != "vanilla")
    assert found["inherit, every 5"]["share"] < found["inherit, every 3"]["share"] < found["inherit, every 2"]["share"]


@pytest.mark.slow
def test_full_size_times():
    import torch

    found = full_size_times.measure(
        "sd-turbo", torch.bfloat16, "cpu", latent=8, repeats=1, on_progress=lambda text, done: None
    )
    assert list(found) == list(full_size_peers.REGIMES)
    assert found["vanilla"]["time"] == (1, 1, 1) and all(line["seconds"] > 0 for line in found.values())
    assert found["inherit, every 5"]["cpu"][0] < 1 and all(line["peak_mb"] > 1 for line in found.values())
