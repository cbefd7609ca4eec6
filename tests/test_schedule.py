import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reweight import schedule
from reweight.schedule import CONTROLS, ImportanceTable, empirical, importance_scores, static, vote, weights
from reweight.storage.table_document import MAX_BYTES


def make_table(**changes):
    scores = np.array([[1 / 3, 2 / 3, 1.0], [0.9, 0.5, 0.6]])
    about = dict(
        scores=scores,
        runs=5,
        blocks=("0", "1", "2"),
        model="toy-turbo",
        method="probe:paper-code",
        scheduler="DDIMScheduler",
        seed=42,
        prompt="a red apple — сад",
        guidance_scale=7.0,
        settings={"runs": 5, "bound": (0.02, 0.05)},
        versions={"torch": "2"},
        diagnostics={"acceptance_rate": 0.25, "spread": np.full((2, 3), 0.07)},
    )
    return ImportanceTable(**(about | changes))


class TestEquations:
    def test_vote_by_hand(self):
        q = np.array([[[0.3, 0.1, 0.2]], [[0.5, 0.4, 0.6]]])  # (runs 2, T 1, m 3)
        # run 0: 0.3 is first, so block 0 gets 1, block 2 gets 2, block 1 gets 3; run 1: block 2, 0, 1
        np.testing.assert_array_equal(vote(q, seed=0), [[1 + 2, 3 + 3, 2 + 1]])

    def test_ties_fall_by_chance_the_same_for_a_seed(self):
        q = np.zeros((3, 2, 7))
        first = vote(q, seed=1)
        np.testing.assert_array_equal(first, vote(q, seed=1))
        assert any((vote(q, seed=s) != first).any() for s in range(2, 6))
        np.testing.assert_array_equal(first.sum(axis=1), [3 * 28, 3 * 28])

    def test_equation_6_by_hand(self):
        np.testing.assert_allclose(importance_scores(np.array([[3, 6, 3]]), 2), [[0.5, 1.0, 0.5]])

    def test_equation_7_by_hand(self):
        np.testing.assert_allclose(weights([[0.5, 1.0, 0.25]], 0.98, 1.1), [[1.04, 1.1, 1.01]])
        np.testing.assert_array_equal(weights([[0.5, 0.1]], 1.1, 1.1), [[1.1, 1.1]])

    def test_equation_8_and_our_controls_by_hand(self):
        table = make_table(scores=np.array([[0.25, 0.75, 0.5, 1.0]]), blocks=("0", "1", "2", "3"), diagnostics={})
        np.testing.assert_allclose(table.weights(0, 1, "inverted"), [[0.75, 0.25, 0.5, 0]])
        np.testing.assert_allclose(table.weights(0, 1, "reversed"), [[1.0, 0.5, 0.75, 0.25]])
        np.testing.assert_allclose(table.weights(0, 1, "flat"), [[0.625] * 4])
        assert table.weights(1, 2, "reversed").mean() == pytest.approx(table.weights(1, 2).mean())
        drop = table.weights(1, 1.2).mean() - table.weights(1, 1.2, "inverted").mean()
        assert drop == pytest.approx(0.2 / 4)

    def test_random_control_permutes_the_blocks_of_each_step(self):
        table = make_table()
        w = table.weights(0.9, 1.1, "random", seed=3)
        np.testing.assert_array_equal(w, table.weights(0.9, 1.1, "random", seed=3))
        np.testing.assert_allclose(np.sort(w, axis=1), np.sort(table.weights(0.9, 1.1), axis=1))
        assert any((table.weights(0.9, 1.1, "random", seed=s) != w).any() for s in range(4))

    def test_static_by_hand(self):
        np.testing.assert_array_equal(static(2, 3, 1), [[1, 1.1, 1], [1, 1.1, 1]])
        with pytest.raises(ValueError, match="no block 3"):
            static(2, 3, 3)

    @given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 9))
    def test_scores_lie_in_their_range_and_keep_their_sum(self, runs, T, m, seed):
        q = np.random.default_rng(seed).random((runs, T, m)).round(1)
        scores = importance_scores(vote(q, seed), runs)
        assert scores.shape == (T, m)
        assert (scores >= 1 / m).all()
        assert (scores <= 1).all()
        np.testing.assert_allclose(scores.mean(axis=1), (m + 1) / (2 * m))

    @pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.zeros((0, 2, 3)), np.full((1, 1, 2), np.nan)])
    def test_vote_refuses_other_shapes(self, bad):
        with pytest.raises(ValueError, match="shape"):
            vote(bad, 0)


class TestEmpirical:
    PLACES = (("down", 0), ("down", 1), ("down", 2), ("mid", 3), ("up", 2), ("up", 1), ("up", 0))

    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_bottleneck_is_always_highest(self, steps):
        scores = empirical(self.PLACES, steps)
        assert scores.shape == (steps, 7)
        assert (scores[:, 3] == 1).all()
        assert (np.delete(scores, 3, axis=1) < 1).all()
        assert (scores >= 1 / 7).all()

    def test_early_steps_favour_low_resolutions_and_late_steps_high_ones(self):
        scores = empirical(self.PLACES, 4)
        assert scores[0, 2] > scores[0, 1] > scores[0, 0]
        assert scores[-1, 2] < scores[-1, 1] < scores[-1, 0]

    def test_noisy_blocks_get_less(self):
        quiet, noisy = empirical(self.PLACES, 2), empirical(self.PLACES, 2, noise=[0, 0, 4, 0, 0, 0, 0])
        assert noisy[0, 2] < quiet[0, 2]
        np.testing.assert_array_equal(np.delete(noisy, 2, axis=1), np.delete(quiet, 2, axis=1))

    def test_bad_arguments(self):
        for arguments in [((), 2), (self.PLACES, 0), (self.PLACES, 2, [1.0]), (self.PLACES, 2, [math.nan] * 7)]:
            with pytest.raises(ValueError, match=r"\.$"):
                empirical(*arguments)


class TestTable:
    def test_round_trip_is_exact(self, tmp_path):
        table = make_table(scores=np.random.default_rng(0).random((2, 3)))
        again = ImportanceTable.from_json(table.to_json())
        assert again == table
        assert again.sha256 == table.sha256
        assert hash(again) == hash(table)
        assert again.scores.tobytes() == table.scores.tobytes()
        table.save(tmp_path / "table.json")
        assert ImportanceTable.load(tmp_path / "table.json") == table
        assert [path.name for path in tmp_path.iterdir()] == ["table.json"]

    def test_is_frozen_and_keeps_its_own_copy(self):
        scores = np.full((1, 2), 0.5)
        table = make_table(scores=scores, blocks=("1", "2"), diagnostics={})
        scores[:] = 0
        assert (table.scores == 0.5).all()
        with pytest.raises(ValueError, match="read-only"):
            table.scores[0, 0] = 1
        with pytest.raises(AttributeError):
            table.runs = 3

    def test_arrays_in_diagnostics_become_lists(self):
        assert make_table().diagnostics["spread"] == [[0.07] * 3] * 2
        assert make_table().settings["bound"] == [0.02, 0.05]

    def test_ranking_is_least_important_first(self):
        assert make_table().ranking() == (("0", "1", "2"), ("1", "2", "0"))

    def test_steps_are_counted_or_checked(self):
        assert make_table().steps == 2
        with pytest.raises(ValueError, match="3 steps but has 2 rows"):
            make_table(steps=3)

    def test_unknown_control(self):
        with pytest.raises(ValueError, match=r"choose one of importance, empirical, inverted, reversed, flat, random"):
            make_table().weights(0, 1, "best")
        assert list(CONTROLS)[:6] == ["importance", "empirical", "inverted", "reversed", "flat", "random"]

    @pytest.mark.parametrize("low, high", [(math.nan, 1), (0, math.inf)])
    def test_bounds_are_finite(self, low, high):
        with pytest.raises(ValueError, match="finite"):
            make_table().weights(low, high)

    @pytest.mark.parametrize(
        "changes",
        [
            {"scores": [[0.1, 0.2], [0.1, 0.2, 0.3]]},
            {"scores": [[0.1, 1.2, 0.2]]},
            {"scores": [[0.1, math.nan, 0.2]]},
            {"scores": [[True, 0.1, 0.2]]},
            {"scores": np.zeros((51, 3))},
            {"scores": np.zeros((0, 3))},
            {"scores": None},
            {"scores": np.zeros((1, 65)), "blocks": tuple(map(str, range(65)))},
            {"blocks": ("0", "0", "1")},
            {"blocks": ("0", "1")},
            {"runs": -1},
            {"runs": 2.0},
            {"seed": "42"},
            {"prompt": "\ud800"},
            {"prompt": None},
            {"guidance_scale": math.inf},
            {"settings": {"f": object()}},
            {"settings": {1: 2}},
            {"diagnostics": {"x": math.nan}},
            {"versions": {"torch": 2}},
        ],
    )
    def test_construction_refuses_what_would_not_survive(self, changes):
        with pytest.raises(ValueError, match=r"^This is not an importance table[^\n]*\.$"):
            make_table(**changes)


def edited(change):
    document = json.loads(make_table().to_json())
    change(document)
    return json.dumps(document)


REFUSED = {
    "empty": "",
    "not json": "scores",
    "a list": "[]",
    "null": "null",
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "repeated key": make_table().to_json().replace('"runs"', '"runs": 5, "runs"', 1),
    "nan": make_table().to_json().replace("7.0", "NaN"),
    "infinity": make_table().to_json().replace("7.0", "-Infinity"),
    "overflow": make_table().to_json().replace("7.0", "1e999"),
    "huge integer": make_table().to_json().replace("7.0", "9" * 400),
    "very huge integer": make_table().to_json().replace("7.0", "9" * 5000),
    "too large": make_table().to_json() + " " * MAX_BYTES,
    "not utf-8": b"\xff\xfe{}",
    "byte order mark": "\ufeff" + make_table().to_json(),
    "lone surrogate": make_table().to_json().replace("toy-turbo", "\\ud800"),
    "missing field": edited(lambda d: d.pop("prompt")),
    "extra field": edited(lambda d: d.update({"__class__\nline": 1})),
    "other format": edited(lambda d: d.update(format="reweight-importance-2")),
    "text for a number": edited(lambda d: d.update(runs="5")),
    "ragged": edited(lambda d: d["scores"][0].pop()),
    "no rows": edited(lambda d: d.update(scores=[])),
    "score above one": edited(lambda d: d["scores"][0].__setitem__(0, 1.0000001)),
    "too many steps": edited(lambda d: d.update(scores=d["scores"] * 26, steps=52)),
    "other steps": edited(lambda d: d.update(steps=3)),
    "deep settings": edited(lambda d: d["settings"].update(a=[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]])),
    "not text": 5,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_malformed_json_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"^This is not an importance table[^\n]*\.$") as caught:
        ImportanceTable.from_json(text)
    assert len(str(caught.value)) < 300
    assert "pydantic" not in str(caught.value)


def test_a_table_too_large_to_load_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="larger than"):
        make_table(prompt="x" * MAX_BYTES).save(tmp_path / "table.json")
    assert list(tmp_path.iterdir()) == []


def outcome(text):
    """Either a table that comes back the same, or one sentence."""
    try:
        table = ImportanceTable.from_json(text)
    except ValueError as error:
        message = str(error)
        assert message.startswith("This is not an importance table")
        assert message.endswith(".")
        assert message.isprintable()
        assert len(message) < 300
    else:
        assert ImportanceTable.from_json(table.to_json()) == table


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([*json.loads(make_table().to_json()), "other"]), json_values)
def test_any_field_replaced(name, value):
    outcome(json.dumps(json.loads(make_table().to_json()) | {name: value}))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 900), st.integers(0, 30), st.text(max_size=6) | st.sampled_from(["[", "}", '"', "-", "e9", ","]))
def test_any_slice_replaced(start, length, new):
    text = make_table().to_json()
    outcome(text[:start] + new + text[start + length :])


@settings(max_examples=100, deadline=None)
@given(st.text() | st.binary())
def test_any_text(text):
    outcome(text)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 50), st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_any_size_comes_back_exactly(T, m, seed):
    scores = np.random.default_rng(seed).random((T, m))
    table = make_table(scores=scores, blocks=tuple(map(str, range(m))), diagnostics={})
    assert ImportanceTable.from_json(table.to_json()).scores.tobytes() == scores.tobytes()


def test_the_module_needs_no_torch():
    assert "torch" not in vars(schedule)
