"""Settings in the address: every one that is not the default, and back."""

from urllib.parse import parse_qsl

import pytest

from reweight.models.registry import REGISTRY
from reweight.ui.address import cells, cells_text, query_of, settings_in
from reweight.ui.controls import defaults

CARD = REGISTRY["toy-turbo"]


def there_and_back(settings):
    return settings_in(dict(parse_qsl(query_of(settings, CARD))), CARD)


def test_the_defaults_are_not_in_it():
    settings = defaults(CARD) | {"prompt": "a cat & a dog"}
    assert dict(parse_qsl(query_of(settings, CARD))) == {"prompt": "a cat & a dog", "model": "toy-turbo"}
    assert there_and_back(settings) == settings


@pytest.mark.parametrize(
    "change",
    [
        {"low": 0.5, "high": 1.9, "schedule": "inverted", "seed": 3, "rows": 3},
        {"steps": 4, "last_step": 3, "first_step": 2, "guidance": 2.5, "negative_prompt": "ugly", "size": 192},
        {"blocks": [1, 5], "columns": ["vanilla", "reweighted+freeu"]},
        {"painted": [["off", None, 0.5, None, None, None, 2], [None] * 7]},
        {"steps": 1, "last_step": 1, "painted": [["off", None, 0.5, None, None, None, 2]]},
        {"freeu": {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2, "version": 1}},
    ],
)
def test_whatever_is_changed_comes_back(change):
    settings = defaults(CARD) | {"prompt": "a cat"} | change
    assert there_and_back(settings) == settings


@pytest.mark.parametrize(
    "name", ["steps", "low", "painted", "columns", "freeu.b1", "rows", "nonsense", "freeu", "model"]
)
@pytest.mark.parametrize("text", ["", "x", "-1", "1e999", "[[[[", "NaN", "[1]", "{}", "null", "9" * 5000])
def test_what_cannot_be_is_left_out(name, text):
    found = settings_in({"prompt": "a cat", name: text}, CARD)
    assert found["prompt"] == "a cat" and found["model"] == "toy-turbo"
    assert {key: found[key] for key in ("seed", "size", "guidance")} == {"seed": 7, "size": 128, "guidance": 0.0}


def test_painted_cells_are_compact():
    painted = [["off", None, 0.5], [None, 1.25, None]]
    assert cells_text(painted) == "x~~0.5_~1.25~" and cells("x~~0.5_~1.25~") == painted
