"""Deterministic, offline, one thread; tiny pipelines built once, and fresh for each test."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # in the processes that tests start: spinning threads would double their work
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of workers beside

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import tiny
import torch
import transformers
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import logging
from hub_server import Hub, serving_hub
from lending import Lender
from server import Server, serving

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True, warn_only=True)
logging.set_verbosity_error()
logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def pytest_configure(config: pytest.Config) -> None:
    """Other libraries' deprecations are theirs to mend."""
    for module in ("diffusers", "numpy"):
        config.addinivalue_line("filterwarnings", rf"ignore::DeprecationWarning:{module}\..*")
    config.addinivalue_line("filterwarnings", "ignore:.*Transformer2DModelOutput.*:FutureWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long unless a marker expression, or a test's own id, asks for it."""
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return
    whole = items[:]
    items[:] = [item for item in whole if not any(map(item.get_closest_marker, ("slow", "full", "thorough")))]
    config.hook.pytest_deselected(items=list(set(whole) - set(items)))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build_sd(tmp_path_factory.mktemp("models") / "tiny-sd")


@pytest.fixture(scope="session")
def server(sd_folder: Path) -> Iterator[Server]:
    """The real program in local mode, with the tiny Stable Diffusion as its first model."""
    with serving(sd_folder) as running:
        yield running


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sd_folder: Path) -> Iterator[type[Hub]]:
    """A hub on this machine in the place of huggingface.co, an empty cache, and no commits recorded."""
    constants = huggingface_hub.constants
    with serving_hub(sd_folder) as (hub, address):
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
        monkeypatch.delenv("REWEIGHT_LOCK", raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        huggingface_hub.close_session()
        yield hub
        huggingface_hub.close_session()


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build_sdxl(tmp_path_factory.mktemp("models") / "tiny-sdxl")


@pytest.fixture(scope="session")
def _sd(sd_folder: Path) -> Lender:
    return Lender(lambda: StableDiffusionPipeline.from_pretrained(sd_folder, local_files_only=True))


@pytest.fixture(scope="session")
def _sdxl(sdxl_folder: Path) -> Lender:
    return Lender(lambda: StableDiffusionXLPipeline.from_pretrained(sdxl_folder, local_files_only=True))


@pytest.fixture
def sd_pipe(_sd: Lender) -> Iterator[StableDiffusionPipeline]:
    with _sd.lent() as pipe:
        yield pipe


@pytest.fixture
def sdxl_pipe(_sdxl: Lender) -> Iterator[StableDiffusionXLPipeline]:
    with _sdxl.lent() as pipe:
        yield pipe
