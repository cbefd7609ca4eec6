"""A training step by stage: every way of computing gives rows that add up, and what cannot be is said in a sentence."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel
from typer.testing import CliRunner

from reweight.toy import __main__ as commands
from reweight.toy.train.throughput import BACKWARD, STAGES, VARIANTS, flops, joined, matrix_speed, measure


@pytest.fixture(scope="module")
def loaded():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 8), norm_num_groups=4,
        cross_attention_dim=16, attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
    )  # fmt: skip
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=9, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=6, projection_dim=16,
        )
    )  # fmt: skip

    class Nine(SimpleNamespace):
        def __len__(self):
            return 9

    pipe = SimpleNamespace(unet=unet, text_encoder=encoder, tokenizer=Nine(model_max_length=6))
    return SimpleNamespace(pipe=pipe, device="cpu", source="tiny", revision="r")


def test_a_rows_stages_add_up_and_the_model_is_left_as_it_was(loaded):
    before = {name: weight.clone() for name, weight in loaded.pipe.unet.state_dict().items()}
    threads = torch.get_num_threads()
    ways = [variant for variant in VARIANTS if not variant.compiled and (variant.channels_last or variant.frozen_text)]
    found = measure(loaded, variants=tuple(ways), threads=(1,), batch=2, tries=1, matrix=32)
    assert found["GFLOP a step"] == BACKWARD * 2 * flops(loaded) and torch.get_num_threads() == threads
    for row, variant in zip(found["rows"], ways, strict=True):
        assert row["variant"] == variant.name and set(row["seconds"]) == set(STAGES)
        seconds = sum(row["processor seconds"].values())
        assert row["latents a processor second"] == pytest.approx(2 / seconds)
        speed = found["matrix GFLOP/s"]["1"]["bf16"]
        assert row["share"] == pytest.approx(found["GFLOP a step"] / seconds / speed)
    after = loaded.pipe.unet.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_other_rows_of_the_same_machine_stay_and_the_fastest_product_counts():
    same = {"format": "f", "revision": "r", "device": "cpu", "processor": "p", "batch": 2, "GFLOP a step": 6.0}
    first, second = VARIANTS[1].name, VARIANTS[0].name

    def row(name, n):
        return {"variant": name, "threads": 1, "n": n, "latents a processor second": 5.0}

    before = same | {"matrix GFLOP/s": {"1": {"float32": 60.0, "bf16": 1.0}}, "rows": [row(first, 0), row(second, 0)]}
    found = same | {"matrix GFLOP/s": {"1": {"float32": 30.0, "bf16": 2.0}}, "rows": [row(first, 1)]}
    both = joined(before, found)
    assert [(row["variant"], row["n"]) for row in both["rows"]] == [(second, 0), (first, 1)]
    assert both["matrix GFLOP/s"] == {"1": {"float32": 60.0, "bf16": 2.0}}
    assert [row["share"] for row in both["rows"]] == [0.25, 0.25]
    assert joined(before | {"batch": 3}, found) == found


def test_a_matrix_products_speed_is_positive():
    assert matrix_speed(True, "cpu", 16) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", "one"), "'one' are no numbers of threads: give such as 1,2."),
        (("--ways", "float8"), "No way of computing is called 'float8': there are float32, SDPA;"),
    ],
)
def test_what_cannot_be_is_said(options, message, tmp_path):
    refused = CliRunner().invoke(commands.app, ["throughput", "--out", str(tmp_path / "out.json"), *options])
    assert isinstance(refused.exception, ValueError) and message in str(refused.exception)


def test_no_threads_are_refused(loaded):
    with pytest.raises(ValueError, match="The number of threads must be at least 1, not 0"):
        measure(loaded, threads=(0,))
