"""The preset "calibrated" against its definition, and against what bypassing each block does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reweight.models.loading import load
from reweight.probing.ablation import agreement, sensitivity
from reweight.probing.calibrated import BypassRuns
from reweight.probing.importance_probe import iter_probe
from reweight.probing.probe_request import ProbeRequest
from reweight.probing.search import PRESETS
from reweight.schedule import importance_scores, vote

SETTINGS = PRESETS["calibrated"]


def settled(loss_of, *, runs=3, T=2, m=5, settings=SETTINGS, power=(1.0, 1.0)):
    """Runs whose candidates have the errors of a function (t, off) -> error; and the list of (run, t, off, error)."""
    current = BypassRuns(np.random.SeedSequence(0).spawn(runs), T, m, settings, np.array(power))
    seen = []
    for _ in range(settings.iterations):
        candidates = current.ask()
        loss = np.empty(candidates.worth.shape)
        for r, t, c in np.ndindex(loss.shape):
            off = candidates.bypass[r, t, c]
            loss[r, t, c] = loss_of(t, off)
            seen.append((r, t, off, loss[r, t, c]))
        current.tell(candidates, loss)
    return current, seen


@pytest.mark.parametrize("C", [1, 3])
def test_a_threshold_is_the_mean_share_of_the_tolerances_passed(C):
    rng = np.random.default_rng(1)
    power = (0.5, 2.0)
    current, seen = settled(
        lambda t, off: 10 ** rng.uniform(-7, 1), settings=replace(SETTINGS, candidates=C), power=power
    )
    for r, t, i in np.ndindex(current.q.shape):
        shares = [
            min(1, max(0, (0 - np.log10(loss / power[t])) / (0 + 5)))
            for n, s, off, loss in seen
            if (n, s) == (r, t) and off[i]
        ]
        assert shares, "every block is off now and then"
        assert current.q[r, t, i] == pytest.approx(np.mean(shares), abs=1e-6)
    assert np.abs(current.q - 0.5).max() > 0.1, "the thresholds move"


def test_a_candidate_is_a_set_of_blocks_that_is_never_empty():
    current = BypassRuns(np.random.SeedSequence(0).spawn(40), 3, 7, SETTINGS, np.ones(3))
    candidates = current.ask()
    assert candidates.bypass.any(-1).all() and (candidates.w == ~candidates.bypass).all()
    assert ((candidates.w + 1e-6 < 0.5) == candidates.bypass).all(), "as in the paper: bypassed where w + 1e-6 < q"
    alone = BypassRuns(np.random.SeedSequence(0).spawn(40)[7:8], 3, 7, SETTINGS, np.ones(3))
    np.testing.assert_array_equal(alone.ask().bypass[0], candidates.bypass[7])


def test_damage_that_adds_up_is_ranked_the_right_way_round():
    damage = 10.0 ** np.array([[-4, -3, -2.5, -1.5, -0.5], [-0.5, -4, -1, -2, -3]])
    current, _ = settled(lambda t, off: damage[t] @ off, runs=15)
    scores = importance_scores(vote(current.q, 0), 15)
    assert agreement(scores, damage) > 0.9


def test_the_embedded_model():
    """High scores are the damage of a bypass, and runs agree; no more U-Net samples than there are sets of blocks."""
    pipe = load("toy")
    prompt = "a painting of a fox in the snow"
    options = {"steps": 1, "guidance_scale": 0.0, "seed": 3}
    *_, last = iter_probe(pipe, ProbeRequest.of(prompt, preset="calibrated", **options))
    assert agreement(last.table.scores, sensitivity(pipe, prompt, bypass=True, **options)) >= 0.8
    assert last.thresholds.mean((0, 1)).std() > 0.1
    assert last.table.diagnostics["unet_samples"] <= 1 + 2**7
    assert last.table.diagnostics["bypasses_fired"] >= 15 * 20
