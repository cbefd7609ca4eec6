"""Listening to a drawing changes nothing in it, and hears what is predicted."""

import numpy as np
import pytest
import torch

from reweight.engine.drawing import draw
from reweight.engine.engine import Engine, Picture, Preview, Watched
from reweight.engine.listening import decoded, listening
from reweight.engine.request import validate

MODELS = ("toy", "toy-turbo")


@pytest.fixture(scope="module")
def engine():
    engine = Engine(MODELS)
    yield engine
    engine.close()


def asked(engine, model, **settings):
    return validate(engine.card(model), prompt="a photo of a boat on a beach", model=model, seed=7, **settings)


@pytest.mark.parametrize("model", MODELS)
def test_a_picture_that_is_listened_to_is_the_same_bit_for_bit(engine, model):
    request, loaded = asked(engine, model, steps=3), engine.opened(model)
    plain = draw(loaded, request).images[0]
    seen = []
    heard = draw(loaded, request, beside=listening(lambda clean, now: seen.append((clean, now)))).images[0]
    assert heard.tobytes() == plain.tobytes()
    assert len(seen) == 3 and "step" not in vars(loaded.pipe.scheduler)
    last = decoded(loaded.pipe, [seen[-1][0]])[0]
    assert np.abs(np.asarray(last, float) - np.asarray(plain, float)).max() <= 2  # the last prediction is the picture


@pytest.mark.parametrize("model", MODELS)
def test_what_is_predicted_comes_nearer_to_the_picture(engine, model):
    request = asked(engine, model, steps=4)
    (film,) = (e for e in engine.watch(request, engine.chosen(request), ("vanilla",)) if isinstance(e, Watched))
    last = np.asarray(film.images[-1], float)
    far = [np.abs(np.asarray(image, float) - last).mean() for image in film.images]
    assert len(far) == 4 and far == sorted(far, reverse=True) and far[0] > 1


def unet_calls(engine, model, events):
    """The events of a generator, and how many U-Net calls they took."""
    calls = []
    hook = engine.opened(model).pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        return list(events), len(calls)
    finally:
        hook.remove()


def films(events):
    return [event for event in events if isinstance(event, Watched)]


def test_what_compare_has_drawn_is_watched_without_a_call_of_the_unet():
    columns = ("vanilla", "reweighted+freeu")
    engine, fresh = Engine(("toy",)), Engine(("toy",))
    try:
        request = asked(engine, "toy", steps=3)
        chosen = engine.chosen(request)
        events, calls = unet_calls(engine, "toy", engine.compare(request, chosen, columns, preview=True))
        last = [event.image for event in events if isinstance(event, Picture)]
        assert calls == 6 and engine.remembered() > sum(4 * image.width * image.height for image in last)
        for noisy in (False, True):
            watched, calls = unet_calls(engine, "toy", engine.watch(request, chosen, columns, noisy=noisy))
            assert calls == 0 and not any(film.drawn for film in films(watched))
            own, calls = unet_calls(fresh, "toy", fresh.watch(request, chosen, columns, noisy=noisy))
            assert calls == (0 if noisy else 6) and all(film.drawn != noisy for film in films(own))
            for ours, theirs in zip(films(watched), films(own), strict=True):
                assert [image.tobytes() for image in ours.images] == [image.tobytes() for image in theirs.images]
            for film, image in zip(films(watched), last, strict=True):
                assert np.abs(np.asarray(film.images[-1], float) - np.asarray(image, float)).max() <= 2
        assert unet_calls(fresh, "toy", fresh.compare(request, chosen, columns))[1] == 0
    finally:
        engine.close(), fresh.close()


def test_what_is_not_kept_any_more_is_drawn_again_and_says_so(monkeypatch):
    engine = Engine(("toy-turbo",))
    try:
        request = asked(engine, "toy-turbo")
        chosen = engine.chosen(request)
        list(engine.compare(request, chosen, ("vanilla",)))
        kept = engine.remembered()
        monkeypatch.setattr("reweight.engine.pictures.FILM_BYTES", 1000)
        list(engine.compare(request, chosen, ("reweighted",)))  # its film is too large, so that every film leaves
        picture = 4 * request.size**2
        assert picture < kept < 2 * picture and engine.remembered() == 2 * picture
        for _ in range(2):
            events, calls = unet_calls(engine, "toy-turbo", engine.watch(request, chosen, ("vanilla",)))
            assert calls == request.steps and [film.drawn for film in films(events)] == [True]
    finally:
        engine.close()


@pytest.mark.parametrize("order", [1, 2])
def test_a_drawing_that_begins_again_leaves_one_picture_for_each_step(order):
    from types import SimpleNamespace

    from reweight.engine.films import Recorder

    recorder = Recorder()
    pipe = SimpleNamespace(scheduler=SimpleNamespace(order=order))
    for tries in (1, 3 * order):
        heard = recorder.begin(pipe)
        for i in range(tries):
            heard(torch.full((1, 4, 2, 2), float(i)), torch.full((1, 4, 2, 2), -float(i)))
    film = recorder.film()
    assert film.clean[:, 0, 0, 0].tolist() == [order * (i + 1) - 1 for i in range(3)]
    assert film.noisy.shape == (3, 4, 2, 2) and film.size == 2 * 3 * 16 * 4


def test_previews_come_while_it_is_drawn_and_the_picture_is_the_same(engine, monkeypatch):
    monkeypatch.setattr("reweight.engine.listening.FIRST", 0.0)
    monkeypatch.setattr("reweight.engine.listening.NEXT", 0.0)
    request = asked(engine, "toy-turbo", steps=5)
    events = list(engine.compare(request, engine.chosen(request), ("vanilla",), preview=True))
    assert [event.step for event in events if isinstance(event, Preview)] == [1, 2]
    (picture,) = (event for event in events if isinstance(event, Picture))
    assert picture.image.tobytes() == draw(engine.opened("toy-turbo"), request).images[0].tobytes()


def test_batches_are_what_is_drawn_one_by_one(engine):
    from reweight.engine.engine import Batch

    request = asked(engine, "toy-turbo")
    weights = np.ones((3, 2, 7))
    bypass = np.zeros(weights.shape, bool)
    bypass[1, :, 5] = bypass[2, 0, 6] = True
    batches = [e for e in engine.batches(request, weights, bypass, together=2) if isinstance(e, Batch)]
    images = [image for batch in batches for image in batch.images]
    assert [batch.first for batch in batches] == [0, 2] and len(images) == 3
    plain = np.asarray(draw(engine.opened("toy-turbo"), request).images[0], float)
    assert np.abs(np.asarray(images[0], float) - plain).max() <= 1
    assert np.abs(np.asarray(images[1], float) - plain).mean() > 3


def test_the_direct_check_is_larger_where_more_is_lost(engine):
    request = asked(engine, "toy-turbo")
    (errors,) = (event for event in engine.direct(request) if isinstance(event, np.ndarray))
    assert errors.shape == (2, 7) and (errors >= 0).all() and errors[1, 6] > errors[1, 3]
    assert torch.is_grad_enabled()
