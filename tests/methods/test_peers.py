"""What every peer method keeps to: it is undone bitwise, composes or refuses, and is right wherever pipelines go."""

import copy
from itertools import combinations, product

import numpy as np
import pytest
import tiny
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline
from nets import draw, predict
from peers import PEERS, SCHEDULERS, apply, family_of, far, latents, settings_of, state, vanilla, with_scheduler

from reweight.engine.drawing import applied
from reweight.methods import METHODS, Drawing
from reweight.methods.columns import parts
from reweight.patching.blocks import target_blocks
from reweight.patching.patch import reweighted

NEAR = 1 / 255  # batched and one at a time may differ in the last bits
EACH_ONCE = [(key, list(SCHEDULERS)[i % len(SCHEDULERS)]) for i, key in enumerate(PEERS)]
EXCLUDING = {("faster-diffusion", "inherit"), ("at-edm", "tomesd"), ("at-edm", "tgate")}


def one_of(case, *kept):
    """A case that every run has, or one for thorough runs."""
    return pytest.param(*case, marks=() if case in kept else pytest.mark.thorough)


either = pytest.mark.parametrize("pipe", ["sd", pytest.param("sdxl", marks=pytest.mark.thorough)], indirect=True)


@pytest.fixture(params=["sd", "sdxl"])
def pipe(request):
    return request.getfixturevalue(f"{request.param}_pipe")


@pytest.fixture(params=PEERS)
def key(request):
    return request.param


def weights_for(pipe):
    return np.random.default_rng(0).uniform(0.8, 1.2, (5, len(target_blocks(pipe.unet))))


def with_both(pipe, **options):
    with reweighted(pipe, weights_for(pipe)), apply("freeu", pipe):
        return draw(pipe, **options)


class TestUndone:
    @either
    def test_leaving_is_bitwise_and_the_report_says_what_happened(self, pipe, key):
        before, clean = vanilla(pipe, steps=5), state(pipe)
        with apply(key, pipe) as report:
            assert far(draw(pipe, steps=5), before) > 1e-4
        assert state(pipe) == clean
        assert (draw(pipe, steps=5) == before).all()
        assert report.modules > 0 or key == "deis"
        assert report.figures and any(report.figures.values())
        assert report.sentence()

    def test_an_exception_inside_leaves_nothing(self, sd_pipe, key):
        before, clean = vanilla(sd_pipe, steps=5), state(sd_pipe)

        def stop(pipe, step, timestep, tensors):
            if step == 3:
                raise KeyError("inside")
            return tensors

        with pytest.raises(KeyError, match="inside"), apply(key, sd_pipe):
            draw(sd_pipe, steps=5, callback_on_step_end=stop)
        assert state(sd_pipe) == clean
        assert (draw(sd_pipe, steps=5) == before).all()

    def test_a_failed_entry_unwinds(self, pipe, key, monkeypatch):
        clean = state(pipe)
        stage = pipe.unet.up_blocks[-1]
        places = [module for name, module in pipe.unet.named_modules() if name.endswith((".attn1", ".to_q"))]
        places.append(pipe.unet)

        def fail(*arguments, **kwargs):
            raise MemoryError("no room")

        if key == "deis":
            monkeypatch.setattr("diffusers.DEISMultistepScheduler.from_config", fail)
        with monkeypatch.context() as patch:
            for place in places:
                patch.setattr(place, "register_forward_hook", fail)
            patch.setattr(stage, "register_forward_pre_hook", fail)
            with pytest.raises(MemoryError), apply(key, pipe):
                pass
        assert state(pipe) == clean

    def test_a_generation_that_was_stopped_does_not_reach_into_the_next(self, sd_pipe, key):
        def stop(pipe, step, timestep, tensors):
            if step == 3:
                raise KeyError("inside")
            return tensors

        with apply(key, sd_pipe):
            alone = draw(sd_pipe, steps=5, seed=1)
        with apply(key, sd_pipe):
            with pytest.raises(KeyError):
                draw(sd_pipe, steps=5, callback_on_step_end=stop)
            assert (draw(sd_pipe, steps=5, seed=1) == alone).all()
            assert (draw(sd_pipe, steps=5, seed=1) == alone).all()

    def test_twice_is_refused(self, sd_pipe, key):
        with apply(key, sd_pipe):
            held = state(sd_pipe)
            with pytest.raises((RuntimeError, ValueError), match=r"^[^\n]*already[^\n]*\.$"), apply(key, sd_pipe):
                pass
            assert state(sd_pipe) == held

    def test_a_copy_of_the_unet_is_free_of_the_original(self, sd_pipe, key):
        if key == "deis":
            pytest.skip("DEIS does not touch the U-Net")
        with apply(key, sd_pipe):
            draw(sd_pipe, steps=5)
            other = copy.copy(sd_pipe)
            other.unet = copy.deepcopy(sd_pipe.unet)
            again = draw(sd_pipe, steps=5)
            with torch.no_grad():
                for weights in sd_pipe.unet.parameters():
                    weights.mul_(0)
            assert far(draw(other, steps=5), again) < NEAR


class TestTogether:
    @pytest.mark.parametrize(
        "a, b",
        [one_of(pair, (pair[0], PEERS[PEERS.index(pair[0]) + 1]), *EXCLUDING) for pair in combinations(PEERS, 2)],
    )
    def test_two_of_them(self, sd_pipe, a, b):
        if (a, b) in EXCLUDING or (b, a) in EXCLUDING:
            with pytest.raises(ValueError, match=r"^.* and .* cannot be combined: choose one of them\.$"):
                parts(f"{a}+{b}")
            return
        before, clean = vanilla(sd_pipe, latents), state(sd_pipe)
        settings = {key: settings_of(key, sd_pipe) for key in PEERS}
        drawing = Drawing(5, 3.0, "sd15")
        pictures = []
        for column in (f"{a}+{b}", f"{b}+{a}"):
            with applied(sd_pipe, column, settings, drawing) as reports:
                pictures.append(latents(sd_pipe))
            assert all(any(report.figures.values()) for report in reports.values())
            assert state(sd_pipe) == clean
        assert far(pictures[0], before) > 1e-5
        assert far(*pictures) < 1e-4, "the order matters"

    @either
    def test_with_reweighting_and_freeu(self, pipe, key):
        weights = weights_for(pipe)
        before, clean = vanilla(pipe, steps=5), state(pipe)
        family = family_of(pipe)
        settings = {name: METHODS[name].settings_for(family) for name in (*PEERS, "freeu")}
        settings["reweighted"] = METHODS["reweighted"].read({"low": 0.9, "high": 1.1}, None)
        drawing = Drawing(5, 3.0, family, weights=weights)
        pictures = []
        for column in (f"reweighted+{key}+freeu", f"freeu+{key}+reweighted"):
            with applied(pipe, column, settings, drawing):
                pictures.append(draw(pipe, steps=5))
        without = vanilla(pipe, with_both, steps=5)
        assert far(*pictures) < 1e-4
        assert far(pictures[0], without) > 1e-5
        assert state(pipe) == clean
        assert (draw(pipe, steps=5) == before).all()

    def test_twice_in_a_column(self, key):
        with pytest.raises(ValueError, match="twice"):
            parts(f"{key}+{key}")


class TestEverywhere:
    @pytest.mark.parametrize("key, name", [one_of(pair, *EACH_ONCE) for pair in product(PEERS, SCHEDULERS)])
    def test_schedulers(self, sd_pipe, key, name):
        with_scheduler(sd_pipe, name)
        before, clean = draw(sd_pipe, steps=5), state(sd_pipe)
        with apply(key, sd_pipe) as report:
            changed = draw(sd_pipe, steps=5)
        assert np.isfinite(changed).all()
        assert far(changed, before) > 1e-5
        assert any(report.figures.values())
        assert state(sd_pipe) == clean
        assert (draw(sd_pipe, steps=5) == before).all()

    @either
    @pytest.mark.parametrize("guidance", [pytest.param(0.0, marks=pytest.mark.thorough), 3.0])
    def test_several_pictures_are_those_drawn_alone(self, pipe, key, guidance):
        options = dict(steps=5, guidance=guidance)
        with apply(key, pipe, guidance=guidance):
            alone = [draw(pipe, seed=seed, **options)[0] for seed in (0, 1)]
        generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
        with apply(key, pipe, guidance=guidance, samples=2):
            both = draw(pipe, num_images_per_prompt=2, generator=generators, **options)
        assert far(both, alone) < NEAR

    @either
    def test_image_to_image(self, pipe, key):
        kind = StableDiffusionXLImg2ImgPipeline if "XL" in type(pipe).__name__ else StableDiffusionImg2ImgPipeline
        edit = kind.from_pipe(pipe)
        edit.set_progress_bar_config(disable=True)
        image = vanilla(pipe)
        options = dict(image=image, strength=0.7, steps=10)
        before = draw(edit, **options)
        with apply(key, edit, steps=10) as report:
            changed = draw(edit, **options)
        assert far(changed, before) > 1e-5
        assert any(report.figures.values())
        assert (draw(edit, **options) == before).all()

    def test_a_unet_alone_is_refused_in_a_sentence_or_served(self, sd_pipe, key):
        unet = sd_pipe.unet
        before = predict(unet)
        try:
            with apply(key, unet):
                pass
        except (ValueError, AttributeError) as error:
            assert isinstance(error, ValueError) and "\n" not in str(error) and str(error).endswith(".")
        assert torch.equal(predict(unet), before)

    @pytest.mark.parametrize(
        "steps, family",
        [one_of(case, (1, "toy"), (5, "toy")) for case in product([1, 3, 5], ["toy", "sdxl"])],
    )
    def test_inert_means_that_nothing_changes(self, request, key, steps, family):
        pipe = request.getfixturevalue("sdxl_pipe" if family == "sdxl" else "sd_pipe")
        drawing = Drawing(steps, 3.0, family)
        settings = METHODS[key].settings_for(family)
        before = vanilla(pipe, steps=steps)
        with METHODS[key].apply(pipe, settings, drawing):
            same = bool((draw(pipe, steps=steps) == before).all())
        assert same == bool(METHODS[key].inert(settings, drawing))

    def test_captions_and_cache_keys(self, key):
        method, drawing = METHODS[key], Drawing(5, 3.0, "sd15")
        for family in ("toy", "sd15", "sd21", "sd-turbo", "sdxl", "sdxl-turbo", "another"):
            settings = method.settings_for(family)
            assert method.caption(settings, drawing)
            assert "None" not in method.caption(settings, drawing)
            hash(method.cache_key(settings, drawing))
            assert method.read(None or {}, settings) == settings


@pytest.mark.parametrize(
    "key, changes",
    [
        ("skip-tuning", {"bottom": -0.1}),
        ("skip-tuning", {"top": 2.5}),
        ("skip-tuning", {"middle": 1}),
        ("faster-diffusion", {"together": 0}),
        ("faster-diffusion", {"key_steps": [0]}),
        ("faster-diffusion", {"key_steps": "all"}),
        ("faster-diffusion", {"key_steps": [1, 2.5]}),
        ("faster-diffusion", {"noise": 1}),
        ("inherit", {"interval": 0}),
        ("inherit", {"full_steps": []}),
        ("inherit", {"branch": -1}),
        ("inherit", {"interval": True}),
        ("at-edm", {"fraction": 1}),
        ("at-edm", {"scope": "beside"}),
        ("at-edm", {"blocks": [-1]}),
        ("at-edm", {"blocks": "0"}),
        ("at-edm", {"cells": [[0, 1]]}),
        ("at-edm", {"cells": [[1, 1, 1]]}),
        ("tomesd", {"cells": []}),
        ("tomesd", {"cells": "11"}),
        ("tomesd", {"cells": [[1, 1.5]]}),
        ("tomesd", {"ratio": 0.95}),
        ("tomesd", {"downsample": 3}),
        ("tomesd", {"random": 1}),
        ("tgate", {"gate": 1.5}),
        ("deis", {"order": 4}),
        ("deis", {"order": "2"}),
    ],
)
def test_settings_out_of_range(key, changes):
    method = METHODS[key]
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        method.read(changes, method.settings_for("sd15"))


@pytest.mark.parametrize(
    "key, changes",
    [
        ("inherit", {"branch": 11}),
        ("at-edm", {"scope": "between"}),
        ("at-edm", {"blocks": [7]}),
        ("at-edm", {"scope": "within", "cells": [[1, 7]]}),
        ("tomesd", {"cells": [[1, 7]]}),
    ],
)
def test_a_unet_without_what_is_needed(sd_pipe, key, changes):
    clean = state(sd_pipe)
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"), apply(key, sd_pipe, **changes):
        pass
    assert state(sd_pipe) == clean


@pytest.mark.parametrize("key, whole", [("at-edm", {"scope": "within", "early": 0}), ("tomesd", {"downsample": 8})])
def test_cells_are_where_a_method_acts(sd_pipe, key, whole):
    def reduced(**changes):
        with apply(key, sd_pipe, **whole | changes) as report:
            picture = draw(sd_pipe, steps=3)
        return picture, sum(report.figures.values())

    everywhere, all_tokens = reduced()
    m = 7
    cells = [[step, block] for step in (1, 2, 3) for block in range(m)]
    same, tokens = reduced(cells=cells)
    assert (same == everywhere).all() and tokens == all_tokens
    pictures, tokens = zip(*(reduced(cells=cells[i : i + m]) for i in (0, m, 2 * m)), strict=True)
    assert sum(tokens) == all_tokens and len({picture.tobytes() for picture in pictures}) == 3
    assert (reduced(cells=[[4, 0]])[0] == vanilla(sd_pipe, steps=3)).all()
    method = METHODS[key]
    settings = method.read({"cells": [[4, 0]]}, method.settings_for("sd15"))
    assert method.inert(settings, Drawing(3)) and not method.inert(settings, Drawing(4))
    assert "1 cell" in method.caption(settings, Drawing(4))


def test_tome_where_no_attention_is_fine_enough(sdxl_pipe):
    clean = state(sdxl_pipe)
    with pytest.raises(ValueError, match="coarser"), apply("tomesd", sdxl_pipe, downsample=1):
        pass
    assert state(sdxl_pipe) == clean


@pytest.mark.parametrize("key", ["faster-diffusion", "inherit"])
def test_a_unet_without_a_mid_block(sd_pipe, key):
    pipe = copy.copy(sd_pipe)
    pipe.unet = tiny.build_sd_unet(mid_block_type=None)
    clean = state(pipe)
    with pytest.raises(ValueError, match=r"^This U-Net has no mid block[^\n]+\.$"), apply(key, pipe):
        pass
    assert state(pipe) == clean
