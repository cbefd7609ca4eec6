"""The table of weights: checked, exact through JSON, applied wherever a table is."""

import numpy as np
import pytest

from reweight.weight_table import WeightTable, load_table

LABELS = tuple("0123456")


def table(**over):
    return WeightTable(**(dict(
        weights=np.linspace(0.5, 1.5, 14).reshape(2, 7), blocks=LABELS, model="toy-turbo", method="tuned:gradient",
        scorer="toy scorer 1", diagnostics={"validation_gain": 0.1 + 0.2, "curve": np.arange(3)},
    ) | over))  # fmt: skip


def test_json_gives_the_same_table_back_exactly(tmp_path):
    made = table(weights=[[1 / 3, "off", 1, 1, 1, 1, 2], [0, 1, 1, 1, 1, "off", 1.1]])
    made.save(tmp_path / "w.json")
    assert WeightTable.load(tmp_path / "w.json") == made == load_table(tmp_path / "w.json")
    assert made.weights[0, 0] == 1 / 3 and made.weights[0, 1] == 1
    assert np.argwhere(made.bypass).tolist() == [[0, 1], [1, 5]]
    assert WeightTable(**{name: getattr(made, name) for name in made.__dataclass_fields__}) == made


def test_a_table_without_off_bypasses_nothing():
    assert table().bypass is None and table().steps == 2 and not table().weights.flags.writeable


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"weights": [[2.1] * 7]}, "a weight from 0 to 2"),
        ({"weights": [[float("nan")] * 7]}, "cannot carry"),
        ({"weights": [["on"] * 7]}, "a cell is"),
        ({"weights": [[1.0] * 6]}, "7 cells"),
        ({"steps": 3}, "3 steps but has 2 rows"),
        ({"blocks": ("0",) * 7}, "same label"),
        ({"bypass": np.zeros((1, 7), bool)}, "different shapes"),
        ({"per": "layer"}, "per"),
        ({"diagnostics": {"f": print}}, "cannot carry"),
    ],
)
def test_what_would_not_survive_is_refused_in_one_sentence(over, said):
    with pytest.raises(ValueError, match=said) as caught:
        table(**over)
    assert str(caught.value).count("\n") == 0


def test_a_file_that_is_no_table_is_refused(tmp_path):
    for text in ("", "[]", "{}", '{"format": "reweight-weights-1"}', table().to_json()[:-9]):
        (tmp_path / "w.json").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="This is not"):
            load_table(tmp_path / "w.json")
