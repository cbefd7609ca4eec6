"""The engine over real tiny pipelines, with real threads."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import SlicedAttnProcessor
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from reweight.engine.engine import (
    Agreement,
    Busy,
    Engine,
    Loading,
    ModelError,
    Notice,
    Picture,
    ProbeSnapshot,
    Step,
    Waiting,
)  # fmt: skip
from reweight.engine.request import COLUMNS, validate
from reweight.engine.resolving import Chosen
from reweight.methods.freeu import freeu
from reweight.models import registry as models
from reweight.models.loading import LoadedModel
from reweight.models.registry import REGISTRY
from reweight.patching.patch import reweighted
from reweight.probing.ablation import sensitivity
from reweight.probing.checkpoints import MAX_FILES, SUFFIX, checkpoint, resumed
from reweight.probing.importance_probe import probe
from reweight.schedule import ImportanceTable
from reweight.toy.train.saving import write_sums

PROMPT = "a red apple on table"
SOON = 20  # seconds, for what takes a fraction of one


@pytest.fixture(scope="module")
def engine(sd_folder):
    engine = Engine((str(sd_folder),), local=True)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def xl(sdxl_folder):
    engine = Engine((str(sdxl_folder),), local=True)
    yield engine
    engine.close()


@pytest.fixture
def fresh(sd_folder):
    """An engine that a test may damage."""
    engine = Engine((str(sd_folder),), local=True)
    yield engine
    engine.close()


def ask(engine, **changes):
    name = changes.pop("model", engine.models[0])
    engine.opened(name)
    asked = {"prompt": PROMPT, "steps": 2, "guidance": 1.0, "seed": 7, "low": 0.9, "high": 1.2} | changes
    return validate(engine.card(name), model=name, **asked)


def scores_for(engine, request):
    shape = request.steps, len(engine.blocks(request.model))
    return np.linspace(0.2, 1, shape[0] * shape[1]).reshape(shape)


def compared(engine, request, methods=COLUMNS, **options):
    return list(engine.compare(request, Chosen(scores_for(engine, request), "given"), methods, **options))


def pictures(engine, request, methods=COLUMNS):
    return {event.column: event for event in compared(engine, request, methods) if isinstance(event, Picture)}


def pixels(engine, request, method):
    return pictures(engine, request, (method,))[method].image.tobytes()


def unet_of(engine):
    return engine.opened(engine.models[0]).pipe.unet


def direct(engine, request):
    """The same picture by the pipeline itself."""
    pipe = engine.opened(request.model).pipe
    return pipe(
        request.prompt, negative_prompt=request.negative_prompt or None, num_inference_steps=request.steps,
        guidance_scale=request.guidance, height=request.size, width=request.size,
        generator=torch.Generator("cpu").manual_seed(request.seed),
    ).images[0].tobytes()  # fmt: skip


def idle(engine):
    """Wait until everything asked for earlier is over."""
    list(engine.worker.stream(lambda job: None))


def patched(unet):
    """Whether anything but the limit on threads, two hooks that a model is loaded with, is on a U-Net."""
    traces = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in vars(m)) for m in unet.modules())
    return traces != 2


@contextmanager
def watched(unet):
    """Counts U-Net calls, the most of them at once, and the threads they were on."""

    class Watch:
        calls, now, most, threads = 0, 0, 0, set()

    watch, lock = Watch(), threading.Lock()

    def enter(*_):
        with lock:
            watch.calls, watch.now = watch.calls + 1, watch.now + 1
            watch.most = max(watch.most, watch.now)
            watch.threads = watch.threads | {threading.get_ident()}

    def leave(*_):
        with lock:
            watch.now -= 1

    handles = unet.register_forward_pre_hook(enter), unet.register_forward_hook(leave)
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def held(unet):
    """U-Net calls wait until the event is set."""
    gate = threading.Event()
    handle = unet.register_forward_pre_hook(lambda *_: gate.wait(SOON) and None)
    try:
        yield gate
    finally:
        gate.set()
        handle.remove()


class TestPictures:
    @pytest.mark.parametrize("name", ["engine", "xl"])
    def test_vanilla_is_what_the_pipeline_gives_bit_for_bit_whatever_came_before(self, name, request, monkeypatch):
        engine = request.getfixturevalue(name)
        monkeypatch.setattr("reweight.engine.pictures.CACHED_BYTES", 0)
        asked = ask(engine, steps=3, guidance=2.0, negative_prompt="blue", seed=11)
        expected = direct(engine, asked)
        assert pixels(engine, asked, "vanilla") == expected
        pictures(engine, asked, ("reweighted", "freeu"))
        assert not patched(unet_of(engine))
        assert pixels(engine, asked, "vanilla") == expected

    def test_weights_of_one_give_vanilla_pixel_for_pixel(self, engine):
        drawn = pictures(engine, ask(engine, low=1.0, high=1.0, seed=12), ("vanilla", "reweighted"))
        assert not drawn["reweighted"].cached
        assert drawn["reweighted"].image.tobytes() == drawn["vanilla"].image.tobytes()

    def test_each_method_is_its_context_manager_around_the_pipeline(self, engine):
        asked = ask(engine, seed=13)
        drawn = pictures(engine, asked)
        pipe, f = engine.opened(asked.model).pipe, asked.methods["freeu"]
        weights = asked.weights(scores_for(engine, asked))
        with reweighted(pipe, weights):
            assert drawn["reweighted"].image.tobytes() == direct(engine, asked)
        with freeu(pipe, b1=f.b1, b2=f.b2, s1=f.s1, s2=f.s2, version=f.version):
            assert drawn["freeu"].image.tobytes() == direct(engine, asked)
        assert len({drawn[method].image.tobytes() for method in COLUMNS}) == 3
        assert (drawn["reweighted"].weights == weights).all()
        assert drawn["vanilla"].weights is None and drawn["freeu"].weights is None

    def test_the_same_seed_gives_the_same_bytes_and_another_does_not(self, engine, monkeypatch):
        monkeypatch.setattr("reweight.engine.pictures.CACHED_BYTES", 0)
        first, again, other = (pictures(engine, ask(engine, seed=seed), COLUMNS[:2]) for seed in (14, 14, 15))
        for method in COLUMNS[:2]:
            assert not again[method].cached and first[method].image.tobytes() == again[method].image.tobytes()
            assert first[method].image.tobytes() != other[method].image.tobytes()

    def test_events_come_in_order(self, engine):
        events = [e for e in compared(engine, ask(engine, steps=3, seed=16)) if not isinstance(e, Waiting)]
        expected = []
        for method in COLUMNS:
            expected += [Step(method, step, 3) for step in (1, 2, 3)] + [method]
        assert [event.column if isinstance(event, Picture) else event for event in events] == expected

    def test_the_order_is_the_callers(self, engine):
        assert list(pictures(engine, ask(engine, seed=17), ("freeu", "vanilla"))) == ["freeu", "vanilla"]

    @pytest.mark.parametrize("methods", [("magic",), ("vanilla", "")])
    def test_an_unknown_method_is_refused_at_once(self, engine, methods):
        asked = ask(engine)
        with pytest.raises(ValueError, match="There is no method"):
            engine.compare(asked, Chosen(scores_for(engine, asked), "given"), methods)

    def test_scores_that_do_not_fit_are_refused_before_anything_is_drawn(self, engine):
        asked = ask(engine, seed=18)
        with pytest.raises(ValueError, match="3 steps but 2"):
            engine.compare(asked, Chosen(np.ones((3, 7)), "given"))
        with watched(unet_of(engine)) as watch, pytest.raises(ValueError, match="7 blocks"):
            list(engine.compare(asked, Chosen(np.ones((2, 5)), "given")))
        assert watch.calls == 0

    def test_an_overlong_prompt_gets_a_notice(self, engine):
        long = " ".join([PROMPT] * 30)
        said = [event.text for event in compared(engine, ask(engine, prompt=long)) if isinstance(event, Notice)]
        assert said == ["The prompt has 152 tokens and the text encoder reads 77: the end is ignored."]
        asked = ask(engine, negative_prompt=long, guidance=2.0)
        assert "The negative prompt has" in next(e.text for e in compared(engine, asked) if isinstance(e, Notice))
        both = ask(engine, prompt=long, negative_prompt=long, guidance=2.0)
        said = [event.text for event in compared(engine, both) if isinstance(event, Notice)]
        assert len(said) == 2 and "The prompt has" in said[0] and "The negative prompt has" in said[1]
        for asked in (ask(engine), ask(engine, negative_prompt=long)):  # which nobody reads without guidance
            assert not any(isinstance(event, Notice) for event in compared(engine, asked))


class TestCache:
    def test_another_low_or_high_pays_for_the_reweighted_picture_alone(self, engine):
        pictures(engine, ask(engine, seed=20))
        with watched(unet_of(engine)) as watch:
            drawn = pictures(engine, ask(engine, seed=20, high=1.3))
        assert {method: drawn[method].cached for method in COLUMNS} == {
            "vanilla": True, "reweighted": False, "freeu": True,
        }  # fmt: skip
        assert watch.calls == 2

    def test_what_is_known_costs_nothing(self, engine):
        first = pictures(engine, ask(engine, seed=21))
        with watched(unet_of(engine)) as watch:
            again = pictures(engine, ask(engine, seed=21))
        assert watch.calls == 0 and all(again[method].cached for method in COLUMNS)
        assert all(again[method].image.tobytes() == first[method].image.tobytes() for method in COLUMNS)
        assert all(again[method].seconds == first[method].seconds > 0 for method in COLUMNS)
        assert (again["reweighted"].weights == first["reweighted"].weights).all()

    @pytest.mark.parametrize(
        "change",
        [
            {"prompt": "the blue cat"},
            {"negative_prompt": "rain", "guidance": 2.0},
            {"steps": 3},
            {"guidance": 3.0},
            {"size": 72},
        ],
    )
    def test_whatever_changes_the_picture_is_drawn_anew(self, engine, change):
        before = pictures(engine, ask(engine, seed=22), ("vanilla",))["vanilla"]
        after = pictures(engine, ask(engine, seed=22, **change), ("vanilla",))["vanilla"]
        assert not after.cached and after.image.tobytes() != before.image.tobytes()

    def test_freeu_settings_change_freeu_alone(self, engine):
        pictures(engine, ask(engine, seed=23))
        drawn = pictures(engine, ask(engine, seed=23, freeu={"b1": 1.9, "b2": 1.1, "s1": 0.5, "s2": 0.5}))
        assert [method for method in COLUMNS if not drawn[method].cached] == ["freeu"]

    def test_painting_over_a_picture_changes_nobody_elses(self, engine):
        drawn = pictures(engine, ask(engine, seed=24), ("vanilla",))["vanilla"]
        before = drawn.image.tobytes()
        drawn.image.paste((0, 0, 0), (0, 0, 64, 64))
        again = pictures(engine, ask(engine, seed=24), ("vanilla",))["vanilla"]
        again.image.paste((0, 0, 0), (0, 0, 64, 64))
        assert again.cached and pixels(engine, ask(engine, seed=24), "vanilla") == before

    def test_only_so_many_bytes_are_kept(self, engine, monkeypatch):
        monkeypatch.setattr("reweight.engine.pictures.CACHED_BYTES", 2 * 64 * 64 * 4)
        for seed in (25, 26, 27):
            pixels(engine, ask(engine, seed=seed), "vanilla")
        assert pictures(engine, ask(engine, seed=27), ("vanilla",))["vanilla"].cached
        assert not pictures(engine, ask(engine, seed=25), ("vanilla",))["vanilla"].cached


class TestStopping:
    @pytest.mark.parametrize("method", COLUMNS)
    def test_closing_stops_within_a_step_and_leaves_no_trace(self, engine, method):
        asked, scores = ask(engine, steps=6, seed=30), np.full((6, 7), 0.7)
        with watched(unet_of(engine)) as watch:
            events = engine.compare(asked, Chosen(scores, "given"), (method, "vanilla"))
            while not isinstance(event := next(events), Step):
                pass
            at = watch.calls
            events.close()
            idle(engine)
        assert event.step == 1 and watch.calls <= at + 1 < 6
        assert not patched(unet_of(engine))
        assert pixels(engine, asked, "vanilla") == direct(engine, asked)

    def test_a_picture_cut_short_is_not_kept(self, engine):
        asked = ask(engine, steps=6, seed=31)
        events = engine.compare(asked, Chosen(scores_for(engine, asked), "given"), ("freeu",))
        while not isinstance(next(events), Step):
            pass
        events.close()
        assert not pictures(engine, asked, ("freeu",))["freeu"].cached

    def test_closing_between_two_pictures_draws_no_other(self, engine):
        asked = ask(engine, seed=32)
        with watched(unet_of(engine)) as watch:
            events = engine.compare(asked, Chosen(scores_for(engine, asked), "given"))
            while not isinstance(next(events), Picture):
                pass
            at = watch.calls
            events.close()
            idle(engine)
        assert watch.calls <= at + 1

    def test_closing_in_the_queue_draws_nothing(self, engine):
        with held(unet_of(engine)) as gate, watched(unet_of(engine)) as watch:
            first, second = (
                engine.compare(ask(engine, seed=seed), Chosen(np.ones((2, 7)), "given"), ("vanilla",))
                for seed in (33, 34)
            )
            assert isinstance(next(first), Waiting) and next(second) == Waiting(1)
            second.close()
            gate.set()
            assert isinstance([*first][-1], Picture)
            idle(engine)
        assert watch.calls == 2

    def test_closing_the_engine_stops_the_job_within_a_step(self, fresh):
        asked = ask(fresh, steps=50)
        with watched(unet_of(fresh)) as watch:
            events = fresh.compare(asked, Chosen(np.ones((50, 7)), "given"))
            while not isinstance(next(events), Step):
                pass
            fresh.close()
        assert watch.calls < 40
        with pytest.raises(Busy, match="shutting down"):
            list(events)
        with pytest.raises(Busy, match="shutting down"):
            compared(fresh, asked)

    def test_a_job_that_takes_too_long_is_stopped_in_a_sentence(self, fresh):
        asked = ask(fresh, steps=50)
        fresh.worker.seconds = 0.02
        with pytest.raises(Busy, match="stopped after"):
            compared(fresh, asked)
        fresh.worker.seconds = 60
        assert len(pictures(fresh, ask(fresh))) == 3

    def test_a_model_may_take_longer_to_load_than_a_job_may_work(self, sd_folder):
        engine = Engine((str(sd_folder),), local=True, seconds=1e-6)
        try:
            assert engine.opened(engine.models[0]).pipe
            with pytest.raises(Busy, match="stopped after"):
                compared(engine, ask(engine))
        finally:
            engine.close()


class TestThreads:
    def test_eight_at_once_get_what_each_would_get_alone(self, engine, monkeypatch):
        monkeypatch.setattr("reweight.engine.pictures.CACHED_BYTES", 0)
        words = ["red", "apple", "blue", "cat", "rain", "table", "on", "in"]
        asked = [ask(engine, prompt=f"a {word}", seed=40 + i) for i, word in enumerate(words)]
        methods = ("vanilla", "reweighted")
        alone = [pictures(engine, one, methods) for one in asked]
        together = [None] * 8

        def client(i):
            together[i] = pictures(engine, asked[i], methods)

        with watched(unet_of(engine)) as watch:
            threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(SOON)
        assert watch.most == 1 and watch.calls == 8 * 2 * 2
        assert len(watch.threads) == 1 and not watch.threads & {thread.ident for thread in threads}
        for i in range(8):
            assert all(together[i][method].image.tobytes() == alone[i][method].image.tobytes() for method in methods)

    def test_who_waits_hears_of_it(self, engine):
        with held(unet_of(engine)) as gate:
            first, second, third = (
                engine.compare(ask(engine, seed=seed), Chosen(np.ones((2, 7)), "given"), ("vanilla",))
                for seed in (50, 51, 52)
            )
            assert next(first) == Waiting(0)
            assert next(second) == Waiting(1) and next(third) == Waiting(2)
            start = time.monotonic()
            assert next(third) == Waiting(2) and time.monotonic() - start < 2
            gate.set()
            for events in (first, second, third):
                assert isinstance([*events][-1], Picture)

    def test_a_probe_gives_others_a_turn_and_is_none_the_worse(self, engine):
        asked = ask(engine, seed=53, guidance=2.0)
        expected = probe(
            engine.opened(asked.model).pipe, PROMPT, steps=2, runs=1, iterations=6, seed=53, guidance_scale=2.0,
            height=64, width=64, model=asked.model, revision=engine.opened(asked.model).revision,
        )  # fmt: skip
        order, snapshots = [], []
        with held(unet_of(engine)) as gate:
            events = engine.probe(asked, runs=1, iterations=6, client="prober")
            next(events)

            def visit():
                order.append(len(pictures(engine, ask(engine, seed=54))))

            visitor = threading.Thread(target=visit)
            visitor.start()
            while not engine.worker._waiting:
                time.sleep(0.001)
            gate.set()
            for event in events:
                if isinstance(event, ProbeSnapshot):
                    snapshots.append(event)
                    order.append("probe")
            visitor.join(SOON)
        assert order.index(3) < len(order) - 1 and len(snapshots) == 6
        assert snapshots[-1].table == expected

    def test_a_client_by_name_can_only_ask_for_so_much(self, engine):
        with held(unet_of(engine)) as gate:
            running = engine.compare(ask(engine, seed=55), Chosen(np.ones((2, 7)), "given"), ("vanilla",), client="a")
            next(running)
            queued = [engine.probe(ask(engine), runs=1, client="a") for _ in range(engine.worker.each)]
            assert all(isinstance(next(events), Waiting) for events in queued)
            with pytest.raises(Busy, match="waiting already"):
                next(engine.compare(ask(engine), Chosen(np.ones((2, 7)), "given"), client="a"))
            for events in queued:
                events.close()
            gate.set()
            assert isinstance([*running][-1], Picture)


class TestErrors:
    def test_values_that_are_not_numbers_are_an_error_and_are_not_kept(self, fresh):
        asked, weight = ask(fresh), unet_of(fresh).conv_in.weight.data
        good = weight[0, 0].clone()
        for poison in (float("nan"), float("inf")):
            weight[0, 0] = poison
            with watched(unet_of(fresh)) as watch, pytest.raises(ModelError, match=r"not finite numbers.*\.$"):
                compared(fresh, asked)
            assert watch.calls == 1  # at the first step, not at the end
            with pytest.raises(ModelError, match="not a finite number"):
                list(fresh.probe(asked, runs=1, iterations=1))
            with pytest.raises(ModelError, match="not a finite number"):
                list(fresh.agreement(asked, scores_for(fresh, asked)))
        weight[0, 0] = good
        drawn = pictures(fresh, asked)
        assert not any(drawn[method].cached for method in COLUMNS) and not patched(unet_of(fresh))
        assert drawn["vanilla"].image.tobytes() == direct(fresh, asked)

    def test_an_autoencoder_that_overflows_is_found_too(self, fresh):
        fresh.opened(fresh.models[0]).pipe.vae.decoder.conv_out.bias.data[0] = float("nan")
        with pytest.raises(ModelError, match="not finite numbers"):
            compared(fresh, ask(fresh))

    def test_half_precision_that_overflows_has_one_try_in_full(self, fresh):
        name = fresh.models[0]
        loaded = fresh.opened(name)
        loaded.pipe.unet.conv_in.weight.data.mul_(2e4)
        asked = ask(fresh)
        parts = [part for part in loaded.pipe.components.values() if isinstance(part, torch.nn.Module)]
        for part in parts:
            part.half()
        before = {key: value.clone() for part in parts for key, value in part.state_dict().items()}
        with pytest.raises(ModelError):
            pictures(fresh, asked)  # said to be float32: no second try
        fresh._resident._loaded[name] = replace(loaded, dtype="float16")
        drawn = pictures(fresh, asked)
        assert len(drawn) == 3
        after = {key: value for part in parts for key, value in part.state_dict().items()}
        assert all(value.dtype == before[key].dtype and value.equal(before[key]) for key, value in after.items())
        for part in parts:
            part.float()
        assert drawn["vanilla"].image.tobytes() == direct(fresh, asked)

    def test_memory_that_runs_out_is_a_sentence_and_the_next_job_works(self, fresh):
        kept = []

        def full(module, args):
            kept.append(weakref.ref(args[0]))
            raise torch.OutOfMemoryError("CUDA out of memory.")

        handle = unet_of(fresh).register_forward_pre_hook(full)
        with pytest.raises(ModelError, match="not enough memory") as caught:
            compared(fresh, ask(fresh))
        gc.collect()
        assert caught.value.__cause__ is not None and kept[0]() is None
        handle.remove()
        assert len(pictures(fresh, ask(fresh))) == 3

    def test_memory_that_runs_out_once_has_one_try_that_needs_less(self, fresh):
        unet, used = unet_of(fresh), []
        before = unet.attn_processors

        def full_once(module, args):
            used.append({type(processor) for processor in unet.attn_processors.values()})
            if len(used) == 1:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

        handle = unet.register_forward_pre_hook(full_once)
        drawn = np.asarray(pictures(fresh, ask(fresh))["vanilla"].image)
        handle.remove()
        usual, sliced = used[0], {SlicedAttnProcessor}
        assert usual != sliced and used == [usual, sliced, sliced] + [usual] * 4  # two steps, three methods
        assert unet.attn_processors == before
        whole = np.frombuffer(direct(fresh, ask(fresh)), np.uint8).reshape(drawn.shape)
        assert np.abs(drawn.astype(int) - whole).max() <= 2

    def test_a_fault_in_a_job_reaches_its_caller_alone(self, engine):
        for options in ({"preset": "mine"}, {"runs": 0}, {"iterations": -1}):
            with pytest.raises(ValueError, match=r"\.$"):
                list(engine.probe(ask(engine), **options))
            assert len(pictures(engine, ask(engine))) == 3

    def test_a_picture_that_the_safety_checker_hides_is_not_shown_as_black(self, fresh):
        vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=32)
        checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8)).eval()
        pipe = fresh.opened(fresh.models[0]).pipe
        size = {"height": 32, "width": 32}
        pipe.register_modules(
            safety_checker=checker, feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)
        )
        checker.concept_embeds_weights.data.fill_(-2)  # every cosine is above
        with pytest.raises(ModelError, match="safety checker"):
            compared(fresh, ask(fresh))
        checker.concept_embeds_weights.data.fill_(2)
        checker.special_care_embeds_weights.data.fill_(2)
        assert len(pictures(fresh, ask(fresh))) == 3


class TestModels:
    def test_opening_tells_how_far_it_is_and_gives_the_model_last(self, fresh):
        events = list(fresh.open(fresh.models[0]))
        steps = [event for event in events if isinstance(event, Loading)]
        assert steps[0].fraction == 0 and steps[-1].fraction == 1 and all(step.stage == "loading" for step in steps)
        assert isinstance(events[-1], LoadedModel) and fresh.opened(fresh.models[0]) is events[-1]
        assert list(fresh.open(fresh.models[0])) == [events[-1]]

    def test_loading_can_be_stopped(self, fresh):
        events = fresh.open(fresh.models[0])
        while not isinstance(next(events), Loading):
            pass
        events.close()
        idle(fresh)
        assert not fresh._resident._loaded
        assert isinstance(fresh.opened(fresh.models[0]), LoadedModel)

    def test_a_model_that_cannot_be_loaded_leaves_the_one_before(self, fresh, sd_folder, tmp_path):
        asked = ask(fresh)
        before = pixels(fresh, asked, "vanilla")
        damaged = Path(shutil.copytree(sd_folder, tmp_path / "damaged"))
        file = damaged / "unet/diffusion_pytorch_model.safetensors"
        file.write_bytes(file.read_bytes()[:1000])
        for name in (str(damaged), str(tmp_path / "nothing"), "nobody/nothing"):
            with pytest.raises(ModelError, match=r"\.$"):
                fresh.opened(name)
        drawn = pictures(fresh, asked)
        assert drawn["vanilla"].cached and drawn["vanilla"].image.tobytes() == before

    def test_a_public_engine_serves_its_own_models_only(self, sd_folder, monkeypatch, tmp_path):
        folder = Path(shutil.copytree(sd_folder, tmp_path / "toy"))
        write_sums(folder)
        card = replace(REGISTRY["toy"], repositories=(str(folder),), size=64)
        monkeypatch.setitem(models.REGISTRY, "toy", card)
        engine = Engine(("toy",))
        asked = ask(engine)
        assert len(pictures(engine, asked)) == 3
        for name in (str(sd_folder), "sd-turbo", "somebody/something", "../toy", ""):
            other = asked.model_copy(update={"model": name})
            for call in (
                lambda name=name: engine.card(name),
                lambda name=name: engine.opened(name),
                lambda name=name: engine.blocks(name),
                lambda other=other: engine.compare(other, Chosen(np.ones((2, 7)), "given")),
                lambda other=other: engine.probe(other),
                lambda other=other: engine.agreement(other, np.ones((2, 7))),
                lambda other=other: engine.chosen(other),
            ):
                with pytest.raises(ModelError, match="This demo has the models toy: choose one of them"):
                    call()
        engine.close()

    def test_one_guest_stays_and_what_is_shown_is_never_an_earlier_ones(self, fresh, sd_folder, tmp_path):
        folders = [Path(shutil.copytree(sd_folder, tmp_path / name)) for name in ("one", "two")]
        own = weakref.ref(fresh.opened(fresh.models[0]).pipe)
        first = pixels(fresh, ask(fresh, model=str(folders[0])), "vanilla")
        guest = weakref.ref(fresh.opened(str(folders[0])).pipe)
        unet = weakref.ref(guest().unet)
        assert own() is not None and guest() is not None
        fresh.opened(str(folders[1]))
        idle(fresh)
        assert guest() is None and unet() is None and own() is not None
        assert list(fresh._resident._loaded) == [fresh.models[0], str(folders[1])]
        weights = folders[0] / "unet/diffusion_pytorch_model.safetensors"
        tensors = load_file(weights)
        tensors["conv_out.bias"] += 0.3
        save_file(tensors, weights, metadata={"format": "pt"})
        again = pictures(fresh, ask(fresh, model=str(folders[0])), ("vanilla",))["vanilla"]
        assert not again.cached and again.image.tobytes() != first

    def test_facts_of_a_model(self, engine, xl):
        assert [block.stage for block in engine.blocks(engine.models[0])] == ["down"] * 3 + ["mid"] + ["up"] * 3
        assert len(xl.blocks(xl.models[0])) == 5
        assert engine.side(ask(engine, size=72)) == 18
        assert engine.card(engine.models[0]).size == 64


class TestProbe:
    def test_a_snapshot_comes_after_each_iteration(self, engine):
        asked = ask(engine, seed=60, guidance=2.0, size=128)  # large enough that its runs come one by one
        events = [e for e in engine.probe(asked, runs=2, iterations=2) if isinstance(e, ProbeSnapshot)]
        assert [(event.run, event.iteration) for event in events] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        table = events[-1].table
        assert table.runs == 2 and table.scores.shape == (2, 7) and table.prompt == PROMPT
        assert (table.model, table.revision) == (asked.model, engine.opened(asked.model).revision)
        assert (table.seed, table.guidance_scale) == (60, 2.0)

    @pytest.mark.thorough
    def test_a_probe_that_was_left_goes_on_in_another_process(self, sd_folder, tmp_path):
        def begin():
            engine = Engine((str(sd_folder),), local=True, unfinished=tmp_path / "probes")
            return engine, engine.probe(ask(engine, seed=61), runs=3, iterations=4)

        def finish(events):
            *_, last = (event for event in events if isinstance(event, ProbeSnapshot))
            return last.table.to_json()

        engine, events = begin()
        with watched(unet_of(engine)) as whole:
            expected = finish(events)
        assert list((tmp_path / "probes").iterdir()) == []
        engine.close()

        engine, events = begin()
        while not (isinstance(event := next(events), ProbeSnapshot) and event.iteration == 1):
            pass
        events.close()
        engine.close()
        (file,) = (tmp_path / "probes").iterdir()
        kept = file.read_bytes()
        engine, events = begin()
        with watched(unet_of(engine)) as rest:
            assert finish(events) == expected and not file.exists()
        assert 2 < rest.calls < whole.calls
        engine.close()

        for state in (b"", kept[:100], b"x" * 300):
            file.write_bytes(state)
            engine, events = begin()
            assert finish(events) == expected and not file.exists()
            engine.close()

    def test_a_folder_that_cannot_be_written_costs_nothing(self, sd_folder, tmp_path):
        (tmp_path / "probes").write_text("in the way", encoding="utf-8")
        engine = Engine((str(sd_folder),), local=True, unfinished=tmp_path / "probes")
        *_, last = engine.probe(ask(engine), runs=1, iterations=1)
        assert last.done == 1 and (tmp_path / "probes").read_text(encoding="utf-8") == "in the way"
        engine.close()

    @pytest.mark.parametrize("there", [MAX_FILES // 2 + 5, MAX_FILES - 1, MAX_FILES + 5])
    def test_of_unfinished_probes_only_the_latest_are_kept(self, sd_folder, tmp_path, there):
        for i in range(there):
            (tmp_path / f"{i}{SUFFIX}").write_bytes(b"")
            os.utime(tmp_path / f"{i}{SUFFIX}", (i, i))
        engine = Engine((str(sd_folder),), local=True, unfinished=tmp_path)
        assert len(list(engine.probe(ask(engine), runs=1, iterations=1))) > 0
        first = max(0, there - MAX_FILES + 1)
        assert {path.name for path in tmp_path.iterdir()} == {f"{i}{SUFFIX}" for i in range(first, there)}
        engine.close()

    def test_a_probe_never_loses_its_own_state_to_younger_ones(self, tmp_path):
        file = checkpoint(tmp_path, {"prompt": "a"})
        file.write_bytes(b"state")
        os.utime(file, (0, 0))
        for i in range(MAX_FILES):
            (tmp_path / f"{i}{SUFFIX}").write_bytes(b"")
        assert checkpoint(tmp_path, {"prompt": "a"}) == file and file.read_bytes() == b"state"

    def test_a_state_that_another_has_removed_is_not_searched_again(self, tmp_path):
        searched = []

        def search(file):
            searched.append(file)
            yield "snapshot"

        assert list(resumed(tmp_path, {"prompt": "a"}, search)) == ["snapshot"] and len(searched) == 1

    @pytest.mark.parametrize("measure", ["probe", "agreement"])
    def test_stop_is_heard_before_the_next_call_of_the_teacher(self, engine, measure):
        asked, calls = ask(engine, seed=62, steps=8), []
        third, stopped = threading.Event(), threading.Event()

        def wait(*_):
            calls.append(1)
            if len(calls) == 3:
                third.set()
                stopped.wait(60)

        handle = unet_of(engine).register_forward_hook(wait)
        try:
            arguments = (np.ones((8, 7)) / 7,) if measure == "agreement" else ()
            events = getattr(engine, measure)(asked, *arguments)
            while not third.is_set():
                next(events)
            events.close()
            stopped.set()
            idle(engine)
        finally:
            handle.remove()
        assert len(calls) == 3

    def test_it_can_be_closed_and_the_last_table_serves(self, engine):
        asked = ask(engine, seed=61)
        with watched(unet_of(engine)) as watch:
            events = engine.probe(asked, runs=30, iterations=20)
            while not isinstance(event := next(events), ProbeSnapshot):
                pass
            events.close()
            idle(engine)
            assert watch.calls < 40
        table = event.table
        assert not patched(unet_of(engine))
        chosen = engine.chosen(asked, (table,))
        assert chosen.table is table and (chosen.scores == table.scores).all()
        assert isinstance(list(engine.compare(asked, chosen))[-1], Picture)
        assert pixels(engine, asked, "vanilla") == direct(engine, asked)

    def test_a_table_of_other_weights_does_not_serve(self, engine):
        asked = ask(engine, seed=62)
        *_, last = engine.probe(asked, runs=1, iterations=1)
        assert engine.chosen(asked, (replace(last.table, revision="0" * 12),)).table is None
        assert engine.chosen(asked, (last.table,), pinned=None).table is last.table
        assert engine.chosen(asked, (), pinned=last.table).table is last.table

    def test_agreement_is_a_correlation(self, engine):
        asked = ask(engine, steps=1, seed=63)
        scores = sensitivity(
            engine.opened(asked.model).pipe, PROMPT, steps=1, seed=63, guidance_scale=1.0, height=64, width=64
        )
        *_, found = engine.agreement(asked, scores)
        *_, reverse = engine.agreement(asked, -scores)
        assert isinstance(found, Agreement) and found.scaling == 1 and -1 <= found.bypass <= 1
        assert (reverse.scaling, reverse.bypass) == (-1, -found.bypass)
        *_, last = engine.probe(asked, runs=1, iterations=1)
        table = ImportanceTable.from_json(found.recorded_in(last.table).to_json())
        assert (table.diagnostics["tau_b_scaling"], table.diagnostics["tau_b_bypass"]) == (1, found.bypass)

    def test_agreement_with_a_table_of_another_shape_is_refused_before_the_work(self, engine):
        with watched(unet_of(engine)) as watch, pytest.raises(ValueError, match="7 blocks"):
            list(engine.agreement(ask(engine), np.ones((2, 5))))
        assert watch.calls == 0
