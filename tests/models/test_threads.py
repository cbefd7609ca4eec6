"""A small network computes few samples with one thread, and leaves the number as it found it."""

import copy

import pytest
import torch
from nets import inputs

from reweight.models import threads
from reweight.models.loading import load_model


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "FEW", 2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seen(sd_pipe):
    """The numbers of threads within calls of the U-Net's first layer, and of the decoder's."""
    pipe = copy.deepcopy(sd_pipe)
    threads.limit_threads(pipe)
    counts = []
    for network in (pipe.unet, pipe.vae.decoder):
        network.conv_in.register_forward_hook(lambda *_: counts.append(torch.get_num_threads()))
    return pipe, counts


@torch.no_grad()
def test_few_samples_take_one_thread_and_many_take_all(seen):
    pipe, counts = seen
    for n in (1, threads.FEW, threads.FEW + 1):
        sample, step, text = inputs(pipe.unet, n)
        pipe.unet(sample, step, text)
        pipe.unet(sample=sample, timestep=step, encoder_hidden_states=text)
        pipe.vae.decode(sample)
    assert counts == [1] * 6 + [2] * 3 and torch.get_num_threads() == 2


@torch.no_grad()
def test_the_number_comes_back_after_an_exception(seen):
    pipe, counts = seen
    sample, step, text = inputs(pipe.unet, 1)
    with pytest.raises(RuntimeError):
        pipe.unet(sample[:, :2], step, text)
    assert torch.get_num_threads() == 2
    pipe.unet(sample, step, text)
    assert counts == [1] and torch.get_num_threads() == 2


@torch.no_grad()
def test_a_call_that_is_refused_beforehand_changes_nothing(seen, recwarn):
    pipe, counts = seen

    def refuse(*_):
        raise ValueError("refused")

    with pipe.unet.register_forward_pre_hook(refuse, prepend=True), pytest.raises(ValueError, match="refused"):
        pipe.unet(*inputs(pipe.unet, 1))
    assert not [warning for warning in recwarn if "forward hook" in str(warning.message)]
    pipe.unet(*inputs(pipe.unet, 1))
    assert counts == [1] and torch.get_num_threads() == 2


@torch.no_grad()
def test_a_copy_limits_its_own_calls(seen):
    pipe, _ = seen
    other = copy.deepcopy(pipe.unet)
    other(*inputs(other, 1))
    assert torch.get_num_threads() == 2


def test_a_large_network_is_left_alone(sd_pipe, monkeypatch):
    pipe = copy.deepcopy(sd_pipe)
    monkeypatch.setattr(threads, "SMALL", 10)
    threads.limit_threads(pipe)
    assert not pipe.unet._forward_pre_hooks and not pipe.vae.decoder._forward_pre_hooks


def test_the_embedded_models_are_limited(monkeypatch):
    limited = []
    monkeypatch.setattr("reweight.models.loading.limit_threads", limited.append)
    loaded = load_model("toy-turbo")
    assert limited == [loaded.pipe]
    assert sum(weight.numel() for weight in loaded.pipe.unet.parameters()) < threads.SMALL
