"""HPS against the hpsv2 package's own code, frozen by tools/hps_reference.py, and what a bad checkpoint says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from reweight.scoring.clip_input import pixel_values, token_ids
from reweight.scoring.hps import FILES, load_hps
from reweight.scoring.scorer import ImageFeatures

CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def reference():
    with np.load(Path(__file__).parent.parent / "fixtures" / "hps_reference.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def pictures(reference):
    return [Image.fromarray(reference[f"picture/{i}"]) for i in range(len(reference["pixels"]))]


@pytest.fixture(scope="module")
def prompts(reference):
    return [str(prompt) for prompt in reference["prompts"]]


@pytest.fixture(scope="module")
def tokenizer(reference, tmp_path_factory):
    """CLIP's tokenizer with the reference's few merges: bytes in CLIP's order, bytes at a word's end, merges, marks."""
    merges = [tuple(str(merge).split()) for merge in reference["merges"]]
    spoken = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(code) for code in spoken] + [chr(256 + i) for i in range(256 - len(spoken))]
    assert set(letters) == set(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder = tmp_path_factory.mktemp("tokenizer")
    CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges).save_pretrained(folder)
    return folder


@pytest.fixture
def state(reference):
    marked = {name.removeprefix("weights/"): value for name, value in reference.items() if name.startswith("weights/")}
    return {name: torch.from_numpy(value.copy()) for name, value in marked.items()}


@pytest.fixture
def load(tokenizer, tmp_path):
    def load(content, **options):
        path = tmp_path / FILES["v2.0"]
        torch.save(content, path)
        options = {"checkpoint": path, "tokenizer": tokenizer, "vision_head_width": 8, "text_head_width": 8} | options
        return load_hps(**options)

    return load


def test_pictures_are_prepared_as_the_package_does(reference, pictures):
    for picture, expected in zip(pictures, reference["pixels"], strict=True):
        np.testing.assert_allclose(pixel_values(picture, 56), expected, **CLOSE)


def test_prompts_are_read_as_the_package_does(reference, prompts, tokenizer):
    ids = token_ids(CLIPTokenizer.from_pretrained(tokenizer), prompts, 77).numpy()
    for ours, theirs in zip(ids, reference["ids"], strict=True):
        end = theirs.argmax() + 1  # what follows the end mark is never looked at
        assert ours[:end].tolist() == theirs[:end].tolist()


def test_embeddings_and_scores_are_the_packages(reference, pictures, prompts, state, load):
    hps = load({"state_dict": state}, batch_size=4)
    np.testing.assert_allclose(hps.features(pictures), reference["image_features"], **CLOSE)
    np.testing.assert_allclose(hps.text_features(prompts), reference["text_features"], **CLOSE)
    for k, prompt in enumerate(prompts):
        scores = hps.score(pictures, [prompt] * len(pictures))
        assert scores.shape == (len(pictures),)
        np.testing.assert_allclose(scores, reference["scores"][:, k], **CLOSE)
    assert np.ptp(reference["scores"]) > 0.05


def test_each_picture_has_its_own_prompt_and_batches_do_not_matter(reference, pictures, prompts, state, load):
    mixed = [prompts[i % len(prompts)] for i in range(len(pictures))]
    expected = [reference["scores"][i, i % len(prompts)] for i in range(len(pictures))]
    for size in (1, 3, 16):
        np.testing.assert_allclose(
            load({"state_dict": state}, batch_size=size).score(pictures, mixed), expected, **CLOSE
        )


def test_it_looks_at_tensors_as_at_pictures(state, load, pictures, prompts):
    hps = load({"state_dict": state})
    x = torch.from_numpy(np.array(pictures[0])).permute(2, 0, 1)[None].float() / 255
    x.requires_grad_()
    look = hps.look(x, prompts[:1])
    np.testing.assert_allclose(look.score.detach(), hps.score(pictures[:1], prompts[:1]), **CLOSE)
    look.score.sum().backward()
    assert (x.grad != 0).any()


def test_it_names_its_version_and_has_features(state, load):
    for version in FILES:
        hps = load({"state_dict": state}, version=version)
        assert (hps.name, hps.version) == ("HPS", version) and isinstance(hps, ImageFeatures)
    assert hps.score([], []).shape == (0,)


def test_weights_in_half_precision_are_used_in_full(state, load, pictures):
    hps = load({"state_dict": {name: value.half() for name, value in state.items()}})
    assert {parameter.dtype for parameter in hps.model.parameters()} == {torch.float32}
    assert hps.features(pictures).dtype == np.float32


def test_unequal_lengths_are_refused(state, load, pictures):
    with pytest.raises(ValueError, match=r"6 pictures and 1 prompts.*\.$"):
        load({"state_dict": state}).score(pictures, ["a"])


def drop(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


def put(name, value):
    return lambda state: state | {name: value}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop("visual.proj"), "lacks the weight visual.proj"),
        (drop("transformer.resblocks.1.mlp.c_fc.bias"), "do not fill"),
        (drop("visual.transformer.resblocks.0.mlp.c_fc.weight"), "make no CLIP"),
        (put("visual.head.weight", torch.ones(1)), "unknown weight 'visual.head.weight'"),
        (put("visual.transformer.resblocks.7.ln_1.weight", torch.ones(32)), "do not fill"),
        (put("visual.conv1.weight", torch.ones(2)), "make no CLIP"),
        (put("ln_final.bias", torch.full((24,), float("nan"))), "'ln_final.bias'.*finite"),
        (put("ln_final.bias", torch.ones(3)), "do not fill"),
        (put("epoch", 3), "'epoch'.*finite"),
    ],
)
def test_a_checkpoint_of_another_kind_is_one_sentence(state, load, change, words):
    with pytest.raises(ValueError, match=rf"HPS_v2_compressed.pt is no HPS: [^\n]*{words}[^\n]*\.$"):
        load({"state_dict": change(state)})


@pytest.mark.parametrize("content", [{}, [1], {"state_dict": 3}, {"state_dict": {1: torch.ones(1)}}, {"model": {}}])
def test_a_file_without_weights_is_one_sentence(load, content):
    with pytest.raises(ValueError, match=r"no weights under 'state_dict'\.$"):
        load(content)


def test_a_damaged_file_is_one_sentence(tokenizer, state, tmp_path):
    path = tmp_path / "hps.pt"
    torch.save({"state_dict": state}, path)
    whole = path.read_bytes()
    for content in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"hps\.pt is no HPS: The file is damaged.*\.$"):
            load_hps(checkpoint=path, tokenizer=tokenizer)


def test_code_in_a_checkpoint_is_not_run(tmp_path, load):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(ValueError, match="holds more than weights"):
        load({"state_dict": Evil()})
    assert not (tmp_path / "ran").exists()


def test_what_is_not_there_is_one_sentence(tmp_path, state, load):
    with pytest.raises(ValueError, match=r"no HPS 'v3': choose one of v2\.0, v2\.1\.$"):
        load_hps("v3")
    with pytest.raises(ValueError, match=r"no HPS checkpoint gone\.pt.*\.$"):
        load_hps(checkpoint=tmp_path / "gone.pt")
    with pytest.raises(ValueError, match=r"tokenizer is not available.*\.$"):
        load({"state_dict": state}, tokenizer=tmp_path / "gone")
    with pytest.raises(ValueError, match=r"HPS_v2\.1_compressed\.pt cannot be downloaded.*\.$"):
        load_hps("v2.1")
