"""Deterministic, offline, one thread; tiny pipelines built once, and fresh for each test."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # in the processes that tests start: spinning threads would double their work
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of workers beside

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from server import Server, serving

if TYPE_CHECKING:  # the process that hands tests out to others runs none: it does without what they import
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
    from hub_server import Hub
    from lending import Lender


SHARED = {"page": ("browser/", "ui/test_api.py", "serving/test_local.py"), "public": ("serving/",)}
ALONE = ("browser/test_outside.py",)


def group_of(file: str) -> str:
    """What runs on one worker: the tests that share a server, else those of a file."""
    within = file.removeprefix("tests/")
    for name, starts in SHARED.items():
        if within.startswith(starts) and within not in ALONE:
            return name
    return within


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand tests out by groups, in their order."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.split("::")[0])

    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Other libraries' deprecations are theirs to mend."""
    for module in ("diffusers", "numpy"):
        config.addinivalue_line("filterwarnings", rf"ignore::DeprecationWarning:{module}\..*")
    config.addinivalue_line("filterwarnings", "ignore:.*Transformer2DModelOutput.*:FutureWarning")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """What libraries and programs put into the machine's temporary folder goes where the run's own files are, and with
    them; before anything is imported that remembers the folder."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(session.config._tmp_path_factory.mktemp("aside"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long unless a marker expression, or a test's own id, asks for it."""
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return
    whole = items[:]
    items[:] = [item for item in whole if not any(map(item.get_closest_marker, ("slow", "full", "thorough")))]
    config.hook.pytest_deselected(items=list(set(whole) - set(items)))
    order = [*SHARED, *dict.fromkeys(group_of(item.nodeid.split("::")[0]) for item in items)]
    items.sort(key=lambda item: order.index(group_of(item.nodeid.split("::")[0])))  # the longest first


@pytest.fixture(scope="session", autouse=True)
def _calm() -> None:
    """One thread, always the same numbers, and no progress bars."""
    import torch
    import transformers
    from diffusers.utils import logging

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def _seeded(_calm: None) -> None:
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half as deep as Stable Diffusion, with as many target blocks; where depth matters, `whole` has another."""
    import tiny

    return tiny.build_sd(tmp_path_factory.mktemp("models") / "tiny-sd", layers_per_block=1)


@pytest.fixture(scope="session")
def server(sd_folder: Path) -> Iterator[Server]:
    """The real program in local mode, with the tiny Stable Diffusion as its first model."""
    with serving(sd_folder) as running:
        yield running


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sd_folder: Path) -> Iterator[type[Hub]]:
    """A hub on this machine in the place of huggingface.co, an empty cache, and no commits recorded."""
    import huggingface_hub
    from hub_server import serving_hub

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
    import tiny

    return tiny.build_sdxl(tmp_path_factory.mktemp("models") / "tiny-sdxl")


@pytest.fixture(scope="session")
def _sd(sd_folder: Path) -> Lender:
    from diffusers import StableDiffusionPipeline
    from lending import Lender

    return Lender(lambda: StableDiffusionPipeline.from_pretrained(sd_folder, local_files_only=True))


@pytest.fixture(scope="session")
def _sdxl(sdxl_folder: Path) -> Lender:
    from diffusers import StableDiffusionXLPipeline
    from lending import Lender

    return Lender(lambda: StableDiffusionXLPipeline.from_pretrained(sdxl_folder, local_files_only=True))


@pytest.fixture
def sd_pipe(_sd: Lender) -> Iterator[StableDiffusionPipeline]:
    with _sd.lent() as pipe:
        yield pipe


@pytest.fixture
def sdxl_pipe(_sdxl: Lender) -> Iterator[StableDiffusionXLPipeline]:
    with _sdxl.lent() as pipe:
        yield pipe
