"""Fixtures for tests of what happens within blocks: the tiny Stable Diffusion is as deep as the real one."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from diffusers import StableDiffusionPipeline
from lending import Lender


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build_sd(tmp_path_factory.mktemp("whole") / "tiny-sd")


@pytest.fixture(scope="session")
def _sd(sd_folder: Path) -> Lender:
    return Lender(lambda: StableDiffusionPipeline.from_pretrained(sd_folder, local_files_only=True))
