"""Uploading a Space to a stand-in of the hub, by the command itself in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from server import ROOT

from reweight.deploy.space import DeployError, files_of, upload

sys.path.insert(0, str(Path(__file__).parent))
from space_hub import TOKEN, space_hub


def run(address: str, *arguments: str, token: str = TOKEN) -> tuple[int, str]:
    environment = os.environ | {
        "HF_ENDPOINT": address, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "reweight", "space", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170, check=False, encoding="utf-8"
    )
    return done.returncode, done.stdout + done.stderr


def test_the_upload_holds_what_a_space_needs_and_replaces_what_was_there():
    with space_hub() as (spaces, address):
        status, said = run(address, "owner/name")
        assert status == 0 and "owner/name" in said, said
        there = spaces.files["owner/name"]
        assert set(there) == {*files_of(), ".gitattributes"} and len(spaces.commits) == 1
        assert all(there[name] == (ROOT / name).read_bytes() for name in files_of())
        there["old.py"] = b"no longer needed"
        status, said = run(address, "owner/name")
        assert status == 0 and "old.py" not in spaces.files["owner/name"], said
        status, said = run(address, "owner/name", token="hf_wrong")
        assert status == 1 and "hf auth login" in said and "Traceback" not in said


def test_what_goes_is_small_known_and_enough_for_the_page():
    files = files_of()
    assert {"app.py", "README.md", "requirements.txt", "assets/toy/model_index.json", "reweight/ui/page.py"} <= set(
        files
    )
    assert not [
        name for name in files if name.startswith(("tests/", "docs/", "reweight/bench", "reweight/toy/", ".git"))
    ]
    assert all((ROOT / name).stat().st_size < 10_000_000 for name in files)


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
