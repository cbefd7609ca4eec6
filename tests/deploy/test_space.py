"""Uploading a Space to a stand-in of the hub, by the command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from here import run_here
from huggingface_hub import close_session, constants
from server import ROOT

from reweight.deploy.space import DeployError, files_of, upload

sys.path.insert(0, str(Path(__file__).parent))
from space_hub import TOKEN, Spaces, space_hub


def run(address: str, *arguments: str) -> tuple[int, str]:
    """The command in a process of its own."""
    environment = os.environ | {
        "HF_ENDPOINT": address, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "reweight", "space", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170, check=False, encoding="utf-8"
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Spaces, str]]:
    """The stand-in, for the command in this process, and its address."""
    with space_hub() as (spaces, address):
        for name, value in {"ENDPOINT": address, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        close_session()
        yield spaces, address
        close_session()


@pytest.mark.thorough
def test_the_command_uploads_in_a_process_of_its_own(hub):
    spaces, address = hub
    status, said = run(address, "owner/name")
    assert status == 0 and "owner/name" in said, said
    assert set(spaces.files["owner/name"]) == {*files_of(), ".gitattributes"}


def test_the_upload_holds_what_a_space_needs_and_replaces_what_was_there(hub, monkeypatch):
    spaces, _ = hub
    done = run_here("space", "owner/name")
    assert done.returncode == 0 and "owner/name" in done.stdout + done.stderr, done.stderr
    there = spaces.files["owner/name"]
    assert set(there) == {*files_of(), ".gitattributes"} and len(spaces.commits) == 1
    assert all(there[name] == (ROOT / name).read_bytes() for name in files_of())
    there["old.py"] = b"no longer needed"
    done = run_here("space", "owner/name")
    assert done.returncode == 0 and set(spaces.files["owner/name"]) == {*files_of(), ".gitattributes"}, done.stderr
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    done = run_here("space", "owner/name")
    assert done.returncode == 1 and "hf auth login" in done.stderr and "Traceback" not in done.stderr


def test_what_goes_is_small_known_and_enough_for_the_page():
    files = files_of()
    assert {"app.py", "README.md", "requirements.txt", "assets/toy/model_index.json", "reweight/ui/page.py"} <= set(
        files
    )
    assert not [
        name for name in files if name.startswith(("tests/", "docs/", "reweight/bench", "reweight/toy/", ".git"))
    ]
    assert all((ROOT / name).stat().st_size < 10_000_000 for name in files)


@pytest.mark.thorough
def test_the_files_alone_open_the_page(tmp_path: Path):
    import shutil

    for name in files_of():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    code = (
        "from reweight.serving.entry import prepare; prepare();"
        "from reweight.engine.engine import Engine; from reweight.ui import build_demo, launch_options;"
        "engine = Engine(('toy-turbo',)); launch_options(build_demo(engine)); engine.close(); print('built')"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "GRADIO_TEMP_DIR": str(tmp_path / "temporary")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=170,
        check=False,
    )
    assert done.stdout.endswith("built\n"), done.stderr


@pytest.mark.parametrize("name", ["name", "owner/name/more", "../name", "owner/", "http://evil/x", "owner/na me"])
def test_a_name_that_is_none_gets_a_sentence(name: str):
    with pytest.raises(DeployError, match="OWNER/NAME"):
        upload(name)


def test_a_file_that_is_not_expected_stops_it(tmp_path: Path):
    for name in ("app.py", "README.md", "requirements.txt", "LICENSE", "NOTICE", "reweight/secret.key"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    with pytest.raises(DeployError, match=r"reweight/secret\.key is not of a kind"):
        files_of(tmp_path)
    with pytest.raises(DeployError, match="no checkout"):
        files_of(tmp_path / "reweight")
