import gc
import hashlib
import json
import shutil
import struct
import time
import weakref
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from hub_server import COMMIT
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from reweight.methods.freeu import PRESETS
from reweight.models import folder as pipeline_folder
from reweight.models import hub
from reweight.models import registry as models
from reweight.models.folder import ModelError, weight_files
from reweight.models.loading import load, load_model
from reweight.models.registry import DEFAULT, REGISTRY, ModelCard, card_for
from reweight.patching.blocks import target_blocks

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture
def folder(sd_folder, tmp_path):
    """A copy of the tiny pipeline, to be damaged."""
    return Path(shutil.copytree(sd_folder, tmp_path / "copy"))


@pytest.fixture
def embedded(folder, monkeypatch):
    """The copy, with checksums, in the place of the embedded model."""
    names = [path for path in folder.rglob("*") if path.is_file()]
    sums = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in names}
    (folder / "SHA256SUMS.json").write_text(json.dumps(sums), encoding="utf-8")
    monkeypatch.setitem(REGISTRY, "toy", ModelCard(**(vars(REGISTRY["toy"]) | {"repositories": (str(folder),)})))
    return folder


def refused(name, message, local=True, **options):
    with pytest.raises(ModelError, match=message) as caught:
        load_model(name if isinstance(name, str) else str(name), local=local, **options)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 300
    assert "/work" not in text and "/tmp" not in text and "Traceback" not in text


def change_index(folder, **changes):
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


def change_weights(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


class TestRegistry:
    def test_cards_are_whole(self):
        assert DEFAULT in REGISTRY
        for key, card in REGISTRY.items():
            assert key == card.key and card.family in PRESETS and card.title and card.licence and card.note
            assert 0 < card.low <= card.high <= 2 and 1 <= card.steps <= card.max_steps <= 50
            assert card.size % 8 == 0 and 64 <= card.size <= card.max_size and 0 <= card.guidance <= 30
            assert card.embedded == (card.download_gb == 0)
            assert card.embedded or all(hub.HUB_ID.fullmatch(repository) for repository in card.repositories)

    def test_an_embedded_model_is_offered_once_its_folder_is_there(self, tmp_path, monkeypatch):
        folder = tmp_path / "toy-turbo"
        turbo = next(card for card in models._CARDS if card.key == "toy-turbo")
        assert (turbo.steps, turbo.guidance, turbo.embedded) == (2, 0, True)
        cards = (REGISTRY["toy"], replace(turbo, repositories=(str(folder),)), REGISTRY["sd-turbo"])
        monkeypatch.setattr(models, "DEFAULT", "toy")
        assert list(models._registry(cards)) == ["toy", "sd-turbo"]
        folder.mkdir()
        assert list(models._registry(cards)) == ["toy", "sd-turbo"]
        (folder / "model_index.json").touch()
        assert list(models._registry(cards)) == ["toy", "toy-turbo", "sd-turbo"]
        assert ("toy-turbo" in REGISTRY) == (models.ASSETS / "toy-turbo/model_index.json").is_file()
        assert DEFAULT == "toy-turbo"

    def test_the_default_is_known_even_without_its_folder(self, tmp_path):
        gone = replace(REGISTRY[DEFAULT], repositories=(str(tmp_path / "gone"),))
        assert models._registry([gone]) == {DEFAULT: gone}

    def test_public_models_are_pinned(self):
        assert all(len(r.split("@")[1]) == 40 for c in REGISTRY.values() if not c.embedded for r in c.repositories)

    @pytest.mark.parametrize("name", ["", "nope", "../toy", "/etc", "a/b", "toy\n", None, 3, ["toy"], b"toy"])
    def test_public_mode_knows_these_only(self, name):
        with pytest.raises(ModelError, match=r"^There is no model of that name: choose one of toy, .*sd-turbo"):
            card_for(name)

    @pytest.mark.parametrize(
        "name", ["", "nope", "a/b/c", "../a", "-a/b", "a\0b", "a" * 9999, "a/b@", "/none", None, 3]
    )
    def test_local_mode_says_what_it_takes(self, name):
        with pytest.raises(ModelError):
            card_for(name, local=True)

    def test_hub_ids_are_guessed_from_their_names(self):
        assert card_for("x/sdxl-turbo-2", local=True).family == "sdxl-turbo"
        assert card_for("x/some-turbo@main", local=True).guidance == 0
        assert card_for("x/juggernautXL", local=True).size == 1024
        assert card_for("x/dreamshaper", local=True).family == "sd15"
        assert card_for("artist/pixlart-sd15", local=True).family == "sd15"
        for name in ("a/animagine-xl-3.1", "a/RealVisXL_V4.0", "a/SDXLbase", "a/dreamshaper-xl"):
            assert card_for(name, local=True).family == "sdxl"

    @pytest.mark.parametrize("config, title, family", [
        ({"addition_embed_type": "text_time", "cross_attention_dim": 2048}, "a/anything", "sdxl"),
        ({"addition_embed_type": "text_time", "cross_attention_dim": 2048}, "a/any-turbo", "sdxl-turbo"),
        ({"addition_embed_type": None, "cross_attention_dim": 768}, "a/looks-like-xl", "sd15"),
        ({"cross_attention_dim": 1024}, "a/anything", "sd21"), ({"cross_attention_dim": 1024}, "a/turbo", "sd-turbo"),
        ({"cross_attention_dim": 128}, "a/anything", "toy"), ({"cross_attention_dim": [5]}, "a/anything", "sd15"),
    ])  # fmt: skip
    def test_a_family_is_measured_from_the_unet(self, config, title, family):
        assert models.family_of(config, title) == family


class TestLoading:
    def test_a_folder(self, sd_folder):
        stages = []
        loaded = load_model(str(sd_folder), local=True, on_progress=lambda *about: stages.append(about))
        assert (loaded.source, loaded.device, loaded.dtype) == ("tiny-sd", "cpu", "float32")
        assert len(loaded.revision) == 12 and int(loaded.revision, 16) >= 0
        assert (loaded.card.family, loaded.card.size, loaded.card.key) == ("sd15", 64, str(sd_folder))
        assert [stage for stage, _, _ in stages] == ["loading"] * 4
        assert [fraction for _, fraction, _ in stages] == sorted(fraction for _, fraction, _ in stages)
        image = loaded.pipe("a red apple", num_inference_steps=1, height=32, width=32).images[0]
        assert image.size == (32, 32)

    def test_is_what_diffusers_loads(self, sd_folder, sd_pipe):
        ours = load(str(sd_folder)).unet.state_dict()
        assert all((ours[name] == tensor).all() for name, tensor in sd_pipe.unet.state_dict().items())

    @pytest.mark.parametrize("name", ["pixel-xl", "pixlart-sd15", "some-sd"])
    def test_the_name_of_a_folder_does_not_decide(self, sd_folder, sdxl_folder, tmp_path, name):
        for source, family in ((sd_folder, "sd15"), (sdxl_folder, "sdxl")):
            link = tmp_path / family / name
            link.parent.mkdir()
            shutil.copytree(source, link)
            assert card_for(str(link), local=True).family == family
            assert load_model(str(link), local=True).card.family == family

    def test_a_hub_id_is_corrected_once_it_is_there(self, online, sd_folder):
        name = "someone/pictures-xl"
        online.served[name] = sd_folder
        assert card_for(name, local=True).family == "sdxl"
        loaded = load_model(name, local=True)
        assert (loaded.card.family, loaded.card.guidance, loaded.card.steps) == ("sd15", 7.0, 20)
        assert (loaded.card.key, loaded.card.title) == (name, name)
        assert card_for(name, local=True).family == "sd15", "from the cache"

    def test_a_copy_of_the_embedded_model_is_of_its_family(self, tmp_path):
        folder = shutil.copytree(REGISTRY["toy-turbo"].repositories[0], tmp_path / "my-turbo")
        card = load_model(str(folder), local=True).card
        assert (card.family, card.steps, card.guidance, card.low, card.high) == ("toy", 2, 0.0, 1.2, 1.6)

    def test_sdxl(self, sdxl_folder):
        loaded = load_model(str(sdxl_folder), local=True)
        assert loaded.card.family == "sdxl"
        assert len(target_blocks(loaded.pipe.unet)) == 5
        assert not loaded.pipe.unet.training

    def test_half_precision_and_its_files(self, folder):
        for path, name in ((UNET, "diffusion_pytorch_model"), (VAE, "diffusion_pytorch_model"), (TEXT, "model")):
            half = {key: tensor.half() for key, tensor in load_file(folder / path).items()}
            save_file(half, (folder / path).with_name(f"{name}.fp16.safetensors"), metadata={"format": "pt"})
            (folder / path).unlink()
        for dtype in ("float16", torch.float32):
            loaded = load_model(str(folder), local=True, dtype=dtype)
            assert loaded.dtype == str(dtype).removeprefix("torch.")
            assert {p.dtype for p in loaded.pipe.unet.parameters()} == {getattr(torch, loaded.dtype)}

    def test_older_names_of_weights(self, folder):
        def rename(tensors):
            for name in list(tensors):
                tensors[f"text_model.{name}"] = tensors.pop(name)
            tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]

        change_weights(folder / TEXT, rename)
        load(str(folder))

    def test_a_safety_checker_stays(self, folder):
        vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=32)
        StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8)).save_pretrained(
            folder / "safety_checker"
        )
        CLIPImageProcessor().save_pretrained(folder / "feature_extractor")
        change_index(
            folder,
            safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
            feature_extractor=["transformers", "CLIPImageProcessor"],
            requires_safety_checker=True,
        )
        assert isinstance(load(str(folder)).safety_checker, StableDiffusionSafetyChecker)

    def test_the_revision_follows_the_weights(self, folder):
        first = load_model(str(folder), local=True).revision
        assert load_model(str(folder), local=True).revision == first
        change_weights(folder / UNET, lambda tensors: tensors["conv_in.bias"].add_(1e-3))
        assert load_model(str(folder), local=True).revision != first

    def test_progress_can_stop_it(self, sd_folder):
        def stop(stage, fraction, text):
            if fraction > 0.5:
                raise KeyError("stopped")

        with pytest.raises(KeyError, match="stopped"):
            load_model(str(sd_folder), local=True, on_progress=stop)

    def test_nothing_is_kept_after_a_failure(self, folder):
        flip(folder / TEXT, 2)
        refused(folder, "damaged")
        gc.collect()
        before = sum(isinstance(item, torch.nn.Module) for item in gc.get_objects())
        refused(folder, "damaged")
        gc.collect()
        assert sum(isinstance(item, torch.nn.Module) for item in gc.get_objects()) == before

    def test_a_pipeline_goes_when_it_is_let_go(self, sd_folder):
        loaded = load_model(str(sd_folder), local=True)
        unet = weakref.ref(loaded.pipe.unet)
        del loaded
        gc.collect()
        assert unet() is None

    def test_terminal_stays_quiet_and_as_it_was(self, sd_folder, capfd):
        logging = pipeline_folder.diffusers.utils.logging
        logging.enable_progress_bar()
        try:
            load(str(sd_folder))
            assert logging.is_progress_bar_enabled()
        finally:
            logging.disable_progress_bar()
        assert capfd.readouterr() == ("", "")

    def test_devices_and_formats_that_are_not_there(self, sd_folder):
        refused(sd_folder, "no such device", device="cuda:99")
        refused(sd_folder, "no such device", device="abacus")
        refused(sd_folder, "float16 or bfloat16 or float32", dtype="int8")

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory"),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000 bytes."),
            MemoryError(),
        ],
    )
    def test_out_of_memory(self, sd_folder, monkeypatch, error):
        def full(*arguments, **options):
            raise error

        monkeypatch.setattr("diffusers.UNet2DConditionModel.from_pretrained", full)
        refused(sd_folder, "not enough memory to load tiny-sd: choose a smaller model")


ODD = '{"in_channels": "x", "hidden_size": -1}'


class TestDamage:
    def test_no_pipeline(self, tmp_path):
        (tmp_path / "empty").mkdir()
        refused(tmp_path / "empty", "^empty is not a pipeline saved by diffusers")

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", '{"a": NaN}', "[" * 5000, " " * 2_000_000])
    def test_no_index(self, folder, text):
        (folder / "model_index.json").write_text(text, encoding="latin-1")
        refused(folder, "damaged")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"_class_name": "FluxPipeline"}, "not a supported kind of pipeline: StableDiffusionPipeline or"),
            ({"_class_name": "DiffusionPipeline"}, "not a supported kind of pipeline"),
            ({"_class_name": ["pipeline", "StableDiffusionPipeline"]}, "not a supported kind of pipeline"),
            ({"_class_name": None}, "not a supported kind of pipeline"),
            ({"unet": ["unet_code", "UNet2DConditionModel"]}, "unsupported part: 'unet'"),
            ({"text_encoder": ["diffusers", "CLIPTextModel"]}, "unsupported part: 'text_encoder'"),
            ({"unet": ["diffusers", "UNet2DModel"]}, "unsupported part: 'unet'"),
            ({"scheduler": ["diffusers", "DiffusionPipeline"]}, "unsupported part"),
            ({"scheduler": ["my_code", "DDIMScheduler"]}, "unsupported part"),
            ({"tokenizer": ["transformers", "AutoTokenizer"]}, "unsupported part"),
            ({"tokenizer": ["os", "CLIPTokenizer"]}, "unsupported part"),
            ({"extra": ["builtins", "eval"]}, "unsupported part: 'extra'"),
            ({"unet": [None, None]}, "not a complete pipeline: it has no unet"),
            ({"vae": 3}, "not a complete pipeline: it has no vae"),
            ({"vae": []}, "unsupported part"),
            ({"vae": [1, 2]}, "unsupported part"),
        ],
    )
    def test_index_with_other_parts(self, folder, change, message):
        change_index(folder, **change)
        refused(folder, message)

    @pytest.mark.parametrize("path", [UNET, VAE, TEXT])
    def test_missing_weight_file(self, folder, path):
        (folder / path).unlink()
        refused(folder, "no safetensors weights for its (U-Net|autoencoder|text encoder)")

    def test_pickled_weights_are_not_opened(self, folder):
        tensors = load_file(folder / UNET)
        (folder / UNET).unlink()
        torch.save(tensors, folder / "unet/diffusion_pytorch_model.bin")
        refused(folder, "other formats are not opened")

    @pytest.mark.parametrize(
        "path, share",
        [(UNET, 0), (UNET, 0.001), (UNET, 0.5), (UNET, 0.999), (VAE, 0.5), (TEXT, 0.5)]
        + [pytest.param(*case, marks=pytest.mark.thorough) for case in product([VAE, TEXT], [0, 0.001, 0.999])],
    )
    def test_truncated(self, folder, path, share):
        data = (folder / path).read_bytes()
        (folder / path).write_bytes(data[: int(len(data) * share)])
        refused(folder, f"damaged or incomplete weight file, {path}")

    def test_flipped_in_the_header(self, folder):
        original = (folder / UNET).read_bytes()
        (length,) = struct.unpack_from("<Q", original)
        for place in [*range(8), 8, 9, 8 + length // 2, 7 + length]:
            (folder / UNET).write_bytes(original)
            flip(folder / UNET, place)
            try:
                loaded = load_model(str(folder), local=True)
            except ModelError as error:
                assert "/" not in str(error).replace(UNET, "")
            else:  # a letter of the metadata, or padding
                assert loaded.pipe.unet.conv_in.bias.isfinite().all()

    @pytest.mark.parametrize(
        "path, value",
        [(UNET, float("nan")), (VAE, float("inf")), (TEXT, -float("inf"))]
        + [
            pytest.param(path, value, marks=pytest.mark.thorough)
            for path, values in ((UNET, ("inf", "-inf")), (VAE, ("nan", "-inf")), (TEXT, ("nan", "inf")))
            for value in map(float, values)
        ],
    )
    def test_not_finite(self, folder, path, value):
        change_weights(folder / path, lambda tensors: next(iter(tensors.values())).view(-1)[:1].fill_(value))
        refused(folder, "not finite numbers")

    @pytest.mark.parametrize("path", [UNET, VAE, TEXT])
    def test_missing_key(self, folder, path):
        change_weights(folder / path, lambda tensors: tensors.popitem())
        refused(folder, "do not fill the network")

    def test_tensor_of_another_shape(self, folder):
        change_weights(folder / UNET, lambda tensors: tensors.update({"conv_in.bias": torch.zeros(3)}))
        refused(folder, "U-Net")

    @pytest.mark.parametrize(
        "part, text",
        [
            pytest.param(part, text, marks=() if part == "unet" or text in (None, ODD) else pytest.mark.thorough)
            for part in ("unet", "vae", "text_encoder", "scheduler", "tokenizer")
            for text in (None, "", "{", "[]", ODD)
        ],
    )
    def test_configuration(self, folder, part, text):
        for path in (folder / part).glob("*.json"):
            path.unlink() if text is None else path.write_text(text, encoding="utf-8")
        try:
            load_model(str(folder), local=True)
        except ModelError as error:
            assert str(error).endswith(".") and "/" not in str(error)
        else:
            assert part in ("scheduler", "tokenizer")

    def test_a_unet_without_attention(self, folder):
        from diffusers import UNet2DConditionModel

        UNet2DConditionModel(
            sample_size=16, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
            down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, mid_block_type=None,
        ).save_pretrained(folder / "unet")  # fmt: skip
        refused(folder, "nothing to re-weight")


class TestEmbedded:
    def test_loads_without_a_path_in_sight(self, embedded):
        loaded = load_model("toy")
        assert (loaded.source, loaded.card) == ("toy", REGISTRY["toy"])
        assert str(embedded) not in f"{loaded.source} {loaded.revision} {loaded.device}"
        assert load_model("toy").revision == loaded.revision

    def test_every_kind_of_flip_is_seen(self, embedded):
        for path in (UNET, VAE, TEXT, "scheduler/scheduler_config.json", "unet/config.json"):
            original = (embedded / path).read_bytes()
            for place in (0, len(original) // 2, len(original) - 1):
                flip(embedded / path, place)
                refused(
                    "toy", rf"^toy is damaged: ({path} differs from its checksum|the configuration of)", local=False
                )
                (embedded / path).write_bytes(original)
        load_model("toy")

    def test_truncated(self, embedded):
        (embedded / UNET).write_bytes((embedded / UNET).read_bytes()[:-1])
        refused("toy", "differs from its checksum", local=False)

    def test_missing(self, embedded):
        (embedded / UNET).unlink()
        refused("toy", f"^toy is incomplete: {UNET} is missing", local=False)
        shutil.rmtree(embedded)
        refused("toy", "embedded model toy is missing", local=False)

    def test_added(self, embedded):
        shutil.copy(embedded / UNET, embedded / "unet/model.safetensors")
        refused("toy", "without a checksum, unet/model.safetensors", local=False)

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"../../etc/passwd": "x"}', '{"unet": 3}'])
    def test_checksums_that_cannot_be_read(self, embedded, text):
        (embedded / "SHA256SUMS.json").write_text(text, encoding="utf-8")
        refused("toy", "get the folder again", local=False)

    def test_public_mode_opens_nothing_else(self, sd_folder):
        refused(sd_folder, "no model of that name", local=False)


@pytest.mark.parametrize(
    ("names", "half", "chosen"),
    [
        (["model.safetensors", "model.fp16.safetensors"], True, ["model.fp16.safetensors"]),
        (["model.safetensors", "model.fp16.safetensors"], False, ["model.safetensors"]),
        (["model.fp16.safetensors"], False, ["model.fp16.safetensors"]),
        (["model.safetensors"], True, ["model.safetensors"]),
        (["diffusion_pytorch_model.non_ema.safetensors", "pytorch_model.bin", "config.json"], False, []),
        (["model-00001-of-00002.safetensors"], False, []),
        ([f"model-0000{i}-of-00002.safetensors" for i in (1, 2)], True, None),
        ([f"model.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)], True, None),
    ],
)
def test_weight_files(names, half, chosen):
    assert weight_files(names, half) == (names if chosen is None else chosen)


class TestHub:
    def test_downloads_once_and_then_works_offline(self, online, monkeypatch):
        stages = []
        loaded = load_model("one/good", local=True, on_progress=lambda *about: stages.append(about))
        assert (loaded.source, loaded.revision) == ("one/good", COMMIT)
        fractions = [fraction for stage, fraction, _ in stages if stage == "downloading"]
        assert fractions[0] == 0 and fractions[-1] == 1 and fractions == sorted(fractions) and len(fractions) > 10
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        count = len(online.asked)
        assert load_model("one/good@" + COMMIT, local=True).revision == COMMIT
        assert len(online.asked) == count

    def test_a_pinned_model_that_is_there_asks_nobody(self, online):
        load_model(f"one/good@{COMMIT}", local=True)
        count = len(online.asked)
        load_model(f"one/good@{COMMIT}", local=True)
        assert len(online.asked) == count

    def test_fetches_what_is_needed_only(self, online, folder):
        (folder / "big.ckpt").write_bytes(b"x")
        shutil.copy(folder / UNET, folder / "unet/diffusion_pytorch_model.non_ema.safetensors")
        shutil.copy(folder / UNET, folder / "unet/diffusion_pytorch_model.fp16.safetensors")
        (folder / "unet/code.py").write_text("raise SystemExit", encoding="utf-8")
        online.served["one/good"] = folder
        load_model("one/good", local=True, dtype="float32")
        asked = " ".join(online.asked)
        assert UNET in asked
        assert not any(name in asked for name in ("ckpt", "non_ema", "fp16", "code.py"))

    def test_the_next_repository_is_tried(self, online):
        fetched = hub.fetch(("gone/away", "one/good"), "Model", half=False, on_progress=lambda *about: None)
        assert fetched[1:] == ("one/good", COMMIT)

    def test_missing_repositories_are_named(self, online):
        with pytest.raises(ModelError, match=r"^Model is not available: it no longer exists.*tried gone/away, a/b"):
            hub.fetch(("gone/away@abc", "a/b"), "Model", half=False, on_progress=lambda *about: None)
        refused("gone/away", "tried gone/away")

    def test_a_gated_repository(self, online):
        refused("one/gated", "one/gated requires accepting its licence on huggingface.co")

    def test_a_repository_that_is_no_pipeline(self, online, tmp_path):
        (tmp_path / "readme").mkdir()
        online.served["one/readme"] = tmp_path / "readme"
        refused("one/readme", "not a pipeline saved by diffusers")

    def test_a_download_that_breaks_off_goes_on_later(self, online, folder):
        online.served["one/good"] = folder
        kept = (folder / TEXT).read_bytes()
        listed = online._answer

        def broken(self, status, body, headers):
            return listed(self, 418 if body == kept else status, b"" if body == kept else body, headers)

        online._answer = broken
        refused("one/good", "^The download of one/good was interrupted: try again")
        online._answer = listed
        load_model("one/good", local=True)

    def test_progress_can_stop_it(self, online):
        def stop(stage, fraction, text):
            if fraction > 0.3:
                raise KeyError("stopped")

        with pytest.raises(KeyError, match="stopped"):
            load_model("one/good", local=True, on_progress=stop)
        refused_offline = partial(hub.fetch, ("one/good",), "Model", half=False, on_progress=lambda *about: None)
        constants.HF_HUB_OFFLINE = True
        with pytest.raises(ModelError, match="not on this machine"):
            refused_offline()

    def test_size_before_the_download(self, online, sd_folder):
        weights = sum((sd_folder / path).stat().st_size for path in (UNET, VAE, TEXT))
        total = hub.download_bytes(("gone/away", "one/good"), half=True)
        assert weights < total < weights + 50_000
        assert hub.download_bytes(("gone/away",), half=True) is None

    def test_no_network(self, online, monkeypatch):
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        start = time.monotonic()
        refused("one/good", "not on this machine and huggingface.co cannot be reached: it must be downloaded once")
        assert time.monotonic() - start < 15

    @pytest.mark.parametrize("name", [key for key in REGISTRY if not REGISTRY[key].embedded])
    def test_switched_off(self, tmp_path, monkeypatch, name):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setenv("REWEIGHT_LOCK", str(tmp_path / "none.json"))
        refused(name, "HF_HUB_OFFLINE.*the embedded model works without", local=False)
        assert hub.download_bytes(REGISTRY[name].repositories, half=True) is None
