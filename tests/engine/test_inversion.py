"""DDIM inversion finds the noise of a picture; an edited picture's file brings back what made it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image

from reweight.engine.drawing import Start, draw
from reweight.engine.edited import CHUNK, edited_png, read_edited
from reweight.engine.engine import Engine, Picture, Step
from reweight.engine.events import INVERSION
from reweight.engine.inversion import _linear, invert, invertible
from reweight.engine.provenance import settings_of
from reweight.engine.request import validate
from reweight.models.folder import ModelError
from reweight.scoring import distance

PROMPT = "a painting of a blue fox in the snow"


@pytest.fixture(scope="module")
def engine():
    engine = Engine(("toy", "toy-turbo"))
    yield engine
    engine.close()


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_step_that_is_solved_is_the_schedulers_own(kind: str):
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(5)
    x, m = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t, after = scheduler.timesteps[1:3]
    own, other = _linear(float(scheduler.alphas_cumprod[t]), float(scheduler.alphas_cumprod[after]), kind)
    torch.testing.assert_close(own * x + other * m, scheduler.step(m, t, x).prev_sample, atol=1e-5, rtol=1e-5)


def test_vanilla_draws_the_picture_again_from_the_noise_that_is_found(engine: Engine):
    loaded = engine.opened("toy")
    request = validate(prompt=PROMPT, model="toy", seed=1)
    picture = draw(loaded, request).images[0]
    told: list[int] = []
    noise = invert(loaded, request, picture, PROMPT, told.append)
    assert told == list(range(1, request.steps + 1)) and noise.shape[2:] == (16, 16)
    again = draw(loaded, request, start=Start(picture, 1.0, PROMPT, noise)).images[0]
    other = draw(loaded, request.model_copy(update={"seed": 2})).images[0]
    assert distance(again, picture).ssim > 0.9 > distance(other, picture).ssim


def test_every_column_begins_with_it_and_a_scheduler_that_cannot_is_named(engine: Engine):
    picture = Image.fromarray((np.indices((128, 128)).sum(0) % 256).astype(np.uint8)).convert("RGB")
    request = validate(prompt=PROMPT, model="toy", steps=2)
    start = Start(picture, 0.6, "stripes")
    assert list(start.running(2)) == [1, 2]
    events = list(engine.edit(request, engine.chosen(request), start, ("vanilla", "reweighted")))
    assert [e.step for e in events if isinstance(e, Step) and e.column == INVERSION] == [1, 2]
    assert [e.column for e in events if isinstance(e, Picture)] == ["vanilla", "reweighted"]
    turbo = validate(prompt=PROMPT, model="toy-turbo")
    assert invertible(engine.opened("toy")) and not invertible(engine.opened("toy-turbo"))
    with pytest.raises(ModelError, match=r"LCM: choose the toy model"):
        list(engine.edit(turbo, engine.chosen(turbo), start, ("vanilla",)))


def test_an_edited_file_brings_back_settings_strength_and_source(engine: Engine):
    request = validate(prompt=PROMPT, model="toy-turbo")
    settings = settings_of(request, engine.opened("toy-turbo"), "vanilla")
    source, image = Image.new("RGB", (128, 128), "red"), Image.new("RGB", (128, 128), "blue")
    with Image.open(io.BytesIO(edited_png(image, settings, 0.4, source, "red"))) as found:
        told = json.loads(found.text[CHUNK])
        assert "Denoising strength: 0.4" in found.text["parameters"]
    assert told.pop("source").startswith("iVBOR")
    assert read_edited(json.dumps(told)) == (settings, 0.4, "red")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8))
    with Image.open(io.BytesIO(edited_png(image, settings, 0.4, noise))) as found:
        assert json.loads(found.text[CHUNK])["source"] is None
    for wrong in ({"strength": 2}, {"format": "x"}, {"settings": {}}, {"described": 3}, {"strength": True}):
        with pytest.raises(ValueError, match="settings"):
            read_edited(json.dumps(told | wrong))
