import math
import pickle
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reweight import schedule
from reweight.engine.request import COLUMNS, RequestError, validate
from reweight.methods.base import METHODS
from reweight.methods.freeu import PRESETS, FreeU
from reweight.models.registry import REGISTRY, card_for

SCORES = np.array([[0.25, 0.5, 0.75, 1.0], [1.0, 0.75, 0.5, 0.25], [0.5, 0.5, 1.0, 0.25]])
FREEU = {"b1": 1.4, "b2": 1.6, "s1": 0.9, "s2": 0.2}


def ask(**changes):
    return validate(**({"prompt": "a red apple", "model": "toy"} | changes))


def is_sentence(text):
    return text[0].isupper() and text.endswith(".") and "\n" not in text and len(text) < 400


class TestDefaults:
    @pytest.mark.parametrize("key", REGISTRY)
    def test_come_from_the_card(self, key):
        card, request = REGISTRY[key], ask(model=key)
        for name in ("steps", "guidance", "low", "high", "size", "negative_prompt"):
            assert request.settings()[name] == getattr(card, name)
        ours = request.reweighting
        assert (ours.first_step, ours.last_step, ours.blocks, ours.painted) == (1, card.steps, None, None)
        assert (ours.schedule, request.seed, request.methods["freeu"]) == ("importance", 42, PRESETS[card.family])
        assert request.columns == COLUMNS and set(request.methods) == set(METHODS)

    def test_none_is_missing(self):
        names = set(ask().settings()) - {"prompt", "model"} | {"columns", "painted", "methods"}
        assert ask(**dict.fromkeys(names)) == ask()

    def test_of_a_model_that_is_not_in_the_registry(self):
        card = card_for("someone/tiny-turbo", local=True)
        request = validate(card, prompt="a")
        assert (request.model, request.steps, request.guidance) == ("someone/tiny-turbo", 2, 0)
        with pytest.raises(RequestError, match="not the model that is loaded"):
            validate(card, prompt="a", model="toy")

    def test_no_caller_can_name_a_card(self):
        with pytest.raises(RequestError, match="no setting 'card'"):
            ask(card=REGISTRY["toy"])

    def test_window_follows_the_steps(self):
        assert ask(steps=5).reweighting.last_step == 5


class TestTypes:
    @pytest.mark.parametrize("name", ["seed", "steps", "first_step", "last_step", "size"])
    @pytest.mark.parametrize("value", [True, "3", 1.5, math.nan, math.inf, -1, 1e300, 10**400, [8], b"8", 2j])
    def test_whole_numbers_are_exact(self, name, value):
        with pytest.raises(RequestError, match="whole number"):
            ask(**{name: value})

    @pytest.mark.parametrize("name", ["guidance", "low", "high"])
    @pytest.mark.parametrize("value", [True, "1", math.nan, math.inf, -math.inf, -0.1, 31, 10**400, [1.0]])
    def test_numbers_are_exact(self, name, value):
        with pytest.raises(RequestError, match="must be a number"):
            ask(**{name: value})

    def test_numpys_numbers_are_numbers(self):
        request = ask(steps=np.int64(12), seed=np.uint8(7), low=np.float32(0.5), blocks=[np.int32(2)])
        assert (request.steps, request.seed, request.reweighting.low, request.reweighting.blocks) == (12, 7, 0.5, (2,))
        for truth in (np.True_, np.array([3]), np.nan):
            with pytest.raises(RequestError, match="whole number"):
                ask(steps=truth)

    def test_sliders_give_12_0_and_json_gives_3(self):
        request = ask(steps=12.0, seed=7.0, guidance=3, low=1, high=1, size=128.0)
        assert [type(v) for v in (request.steps, request.seed, request.size)] == [int] * 3
        ours = request.reweighting
        assert [type(v) for v in (request.guidance, ours.low, ours.high)] == [float] * 3
        assert math.copysign(1, ask(guidance=-0.0).guidance) == 1

    @pytest.mark.parametrize("name", ["prompt", "negative_prompt", "model", "schedule"])
    @pytest.mark.parametrize("value", [1, True, b"toy", ["toy"], {}])
    def test_text_is_text(self, name, value):
        with pytest.raises(RequestError):
            ask(**{name: value})


class TestRanges:
    @pytest.mark.parametrize(
        "fine",
        [
            {"seed": 0}, {"seed": 2**32 - 1}, {"steps": 1}, {"steps": 50}, {"guidance": 0}, {"guidance": 30},
            {"low": 1e-9}, {"low": 2, "high": 2}, {"size": 64}, {"size": 256}, {"blocks": []}, {"blocks": [6, 0, 6.0]},
            {"freeu": FREEU}, {"freeu": FREEU | {"version": 1}}, {"freeu": FreeU(0, 4, 0, 4)},
            {"first_step": 12}, {"last_step": 1}, {"prompt": "a" * 2000},
        ],
    )  # fmt: skip
    def test_inside(self, fine):
        ask(**fine)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"seed": 2**32}, "The seed must be a whole number from 0 to 4294967295."),
            ({"steps": 0}, "The number of steps must be a whole number from 1 to 50."),
            ({"low": 0}, "The low weight must be a number above 0 and up to 2."),
            ({"low": 1.1, "high": 0.98}, "The low weight 1.1 is above the high weight 0.98: swap them."),
            ({"size": 100}, "The size must be a multiple of 8: choose 96 or 104."),
            ({"size": 264}, "The size must be at most 256 pixels for toy"),
            ({"first_step": 3, "last_step": 2}, "The steps to re-weight run from 3 to 2"),
            ({"last_step": 13}, "among the 12 steps."),
            ({"blocks": [64]}, "The blocks must be a list of block numbers"),
            ({"blocks": "0"}, "The blocks must be a list of block numbers"),
            ({"blocks": [0] * 65}, "The blocks must be a list of block numbers"),
            ({"freeu": {"b3": 1}}, "FreeU needs b1, b2, s1 and s2 and may have version, and nothing else."),
            ({"freeu": [1, 2]}, "FreeU takes its settings by name."),
            ({"columns": ["best"]}, "There is no method of that name: choose one of vanilla, reweighted, freeu"),
            ({"columns": ["freeu+freeu"]}, "The column freeu\\+freeu names a method twice"),
            ({"columns": ["+".join(["freeu"] * 9999)]}, "A column combines at most 4 methods, not 9999"),
            ({"columns": ["vanilla+freeu"]}, "Vanilla is the model without any method"),
            ({"columns": "vanilla"}, "The columns must be a list of 1 to 8 methods."),
            ({"columns": ["freeu", "freeu"]}, "The columns name a method twice"),
            ({"methods": {"best": {}}}, "The methods are settings by name"),
            ({"painted": [["on"]]}, 'The painted cells must be empty, "off" or a weight from 0 to 2.'),
            ({"painted": [[0.5]]}, "The painted weights have 1 steps but 12 are asked for"),
            ({"painted": [[1], [1, 2]]}, "The painted cells must be a list of steps"),
            ({"freeu": FREEU | {"b1": 5}}, "FreeU b1 must be a number from 0 to 4."),
            ({"freeu": FREEU | {"s1": 0, "version": 1}}, "FreeU version 1 switches itself off"),
            ({"freeu": FREEU | {"version": 3}}, "FreeU version must be a whole number from 1 to 2."),
            ({"schedule": "best"}, "There is no schedule of that name: choose one of importance, empirical"),
            ({"model": "best"}, "There is no model of that name: choose one of toy"),
            ({"zap": 1}, "There is no setting 'zap'"),
        ],
    )  # fmt: skip
    def test_outside(self, wrong, message):
        with pytest.raises(RequestError, match=message) as caught:
            ask(**wrong)
        assert is_sentence(str(caught.value))


class TestPrompt:
    def test_is_normalised_and_stripped(self):
        assert ask(prompt="  cafe\u0301\n in\train\r ").prompt == "café  in rain"

    @pytest.mark.parametrize(
        "kept", ["👩‍🚀", "می‌خواهم", "<img src=x onerror=alert(1)>", "![](http://a.b)", "🫨", "Å" * 2000]
    )
    def test_is_otherwise_kept(self, kept):
        assert ask(prompt=kept).prompt == unicodedata.normalize("NFC", kept)

    @pytest.mark.parametrize("blank", [None, "", "   ", "\n\t", "\u200b \u200d", "\u3000"])
    def test_is_not_blank(self, blank):
        with pytest.raises(RequestError, match="The prompt is empty"):
            ask(prompt=blank)

    def test_may_be_blank_when_negative(self):
        assert ask(model="sd21", negative_prompt=" ").negative_prompt == ""

    @pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
    @pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "a\ud800", "a\x7f", "a\u202eb", "a\u2066b", "\x9f"])
    def test_holds_no_control_characters(self, name, bad):
        with pytest.raises(RequestError, match=r"control character|surrogate"):
            ask(**{name: bad})

    @pytest.mark.parametrize("long", ["a" * 2001, "a" * 1_000_000, "\u0301\u0323" * 1_000_000])
    def test_is_not_too_long(self, long):
        with pytest.raises(RequestError, match="longer than 2000"):
            ask(prompt=long)

    def test_may_come_decomposed(self):
        assert len(ask(prompt=unicodedata.normalize("NFD", "각" * 2000)).prompt) == 2000


class TestRequest:
    def test_is_frozen_hashable_and_pickles(self):
        request = ask(blocks=[1, 2])
        with pytest.raises(ValidationError):
            request.size = 64
        assert len({request, ask(blocks=[2.0, 1])}) == 1
        assert pickle.loads(pickle.dumps(request)) == request

    def test_keys_hold_what_the_pictures_depend_on(self):
        first = ask()
        same = [{"low": 1.0}, {"high": 1.2}, {"schedule": "flat"}, {"blocks": [0]}, {"first_step": 2}]
        assert {ask(**change).vanilla_key() for change in same} == {first.vanilla_key()}
        assert {ask(**change).methods["freeu"] for change in same} == {first.methods["freeu"]}
        other = [
            {"prompt": "b"}, {"negative_prompt": "b"}, {"model": "sd21", "size": 128}, {"seed": 1}, {"steps": 3},
            {"guidance": 4}, {"size": 64},
        ]  # fmt: skip
        assert len({request.vanilla_key() for request in [first, *(ask(**change) for change in other)]}) == 8
        assert ask(freeu=FREEU).vanilla_key() == first.vanilla_key()
        assert ask(freeu=FREEU).methods["freeu"] != first.methods["freeu"]


class TestWeights:
    def test_by_hand(self):
        request = ask(steps=3, low=1.0, high=1.2, first_step=2, last_step=3, blocks=[0, 3])
        np.testing.assert_allclose(
            request.weights(SCORES), [[1, 1, 1, 1], [1.2, 1, 1, 1.05], [1.1, 1, 1, 1.05]], rtol=1e-12
        )

    @pytest.mark.parametrize("control", ["inverted", "reversed", "flat", "random"])
    def test_schedules_are_the_controls(self, control):
        request = ask(steps=3, low=0.9, high=1.1, schedule=control, seed=5)
        expected = schedule.weights(schedule.CONTROLS[control].apply(SCORES, (), 5), 0.9, 1.1)
        np.testing.assert_array_equal(request.weights(SCORES), expected)

    def test_empirical_looks_at_places_and_not_at_scores(self):
        places = [("down", 0), ("down", 1), ("mid", 1), ("up", 0)]
        found = ask(steps=3, schedule="empirical", low=0.5, high=1.5)
        expected = schedule.weights(schedule.empirical(places, 3), 0.5, 1.5)
        np.testing.assert_array_equal(found.weights(SCORES, places), expected)

    def test_painted_cells_go_before_everything(self):
        painted = [[None, 0, "off", 2.0], [None] * 4, ["off", None, None, None]]
        request = ask(steps=3, low=1.0, high=1.2, painted=painted, blocks=[0])
        weights, off = request.weights(SCORES), request.reweighting.bypass(SCORES.shape)
        np.testing.assert_allclose(weights, [[1.05, 0, 1, 2], [1.2, 1, 1, 1], [1, 1, 1, 1]])
        np.testing.assert_array_equal(off, [[0, 0, 1, 0], [0] * 4, [1, 0, 0, 0]])
        assert validate(**request.settings()) == request and ask(steps=3, painted=[[None] * 4] * 3) == ask(steps=3)
        with pytest.raises(RequestError, match="3 steps and 4 blocks, but there are 3 steps and 3 blocks"):
            request.weights(SCORES[:, :3])

    def test_outside_is_exactly_one(self):
        weights = ask(steps=3, low=0.3, high=0.3, first_step=2, last_step=2, blocks=(1,)).weights(SCORES)
        assert weights[1, 1] == 0.3
        weights[1, 1] = 1.0
        assert (weights == 1.0).all()
        assert (ask(steps=3, blocks=[]).weights(SCORES) == 1.0).all()

    def test_low_and_high_of_one_change_nothing(self):
        assert (ask(steps=3, low=1, high=1).weights(SCORES) == 1.0).all()

    @pytest.mark.parametrize("scores", [SCORES[:2], SCORES[0], np.full((3, 4), np.nan), np.empty((3, 0)), SCORES[None]])
    def test_scores_that_do_not_fit(self, scores):
        with pytest.raises(RequestError) as caught:
            ask(steps=3).weights(scores)
        assert is_sentence(str(caught.value))

    def test_no_such_block(self):
        with pytest.raises(RequestError, match="no block 4: this model has blocks 0 to 3"):
            ask(steps=3, blocks=[1, 4]).weights(SCORES)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=5)
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=6,
)
FACTORS = st.fixed_dictionaries({name: st.floats(-1, 5) | SCALARS for name in FREEU}, optional={"version": SCALARS})
NEARLY = {
    "prompt": st.text(max_size=40) | st.just("a red apple"),
    "negative_prompt": st.text(max_size=40),
    "model": st.sampled_from([*REGISTRY, "", "toy "]),
    "seed": st.integers(-1, 2**32),
    "steps": st.integers(-1, 51) | st.floats(0, 51),
    "guidance": st.floats(-1, 31),
    "low": st.floats(-1, 3),
    "high": st.floats(-1, 3),
    "schedule": st.sampled_from(["importance", "empirical", "flat", "Flat"]),
    "first_step": st.integers(0, 51),
    "last_step": st.integers(0, 51),
    "blocks": st.lists(st.integers(-1, 64), max_size=8),
    "freeu": FACTORS,
    "columns": st.lists(st.sampled_from(["vanilla", "freeu", "reweighted+freeu", "freeu+freeu", "none"]), max_size=4),
    "painted": st.lists(st.lists(st.sampled_from([None, "off", "on", 0, 1.5, 3]), max_size=3), max_size=3),
    "size": st.integers(0, 300) | st.integers(0, 40).map(lambda n: 8 * n),
}
ASKED = st.fixed_dictionaries({}, optional={name: value | ANYTHING for name, value in NEARLY.items()})


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(ASKED | st.dictionaries(st.text(max_size=20), ANYTHING, max_size=3))
def test_anything_at_all_is_a_request_or_a_sentence(raw):
    try:
        request = validate(**raw)
    except RequestError as error:
        assert is_sentence(str(error))
        str(error).encode()
        return
    card = REGISTRY[request.model]
    assert validate(**request.settings()) == request
    ours, freeu = request.reweighting, request.methods["freeu"]
    assert 1 <= ours.first_step <= ours.last_step <= request.steps <= card.max_steps
    assert 0 < ours.low <= ours.high <= 2
    assert 0 <= request.guidance <= 30
    assert 0 <= request.seed < 2**32
    assert request.size % 8 == 0 and 64 <= request.size <= card.max_size
    assert request.prompt == unicodedata.normalize("NFC", request.prompt).strip() != ""
    assert 1 <= len(request.prompt) <= 2000
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in request.prompt + request.negative_prompt)
    assert all(0 <= factor <= 4 for factor in (freeu.b1, freeu.b2, freeu.s1, freeu.s2))
    hash(request)


@pytest.mark.parametrize("odd", [True, 5, -0.5, " ", [None], [[]], [[1, 2], [1]], [["low", 0.9]], {"nothing": 1}])
def test_odd_settings_of_reweighting_beside_plain_ones_get_a_sentence(odd):
    for raw in ({"reweighted": odd}, {"methods": {"reweighted": odd}}):
        with pytest.raises(RequestError) as caught:
            validate(prompt="a fox", low=0.9, **raw)
        assert is_sentence(str(caught.value)) and "Re-weight" in str(caught.value)
