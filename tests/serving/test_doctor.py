"""What the doctor sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from here import run_here

from reweight.serving import doctor
from reweight.serving.doctor import findings


def named() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in findings()}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)


def test_everything_is_looked_at_and_each_fault_has_a_remedy(monkeypatch: pytest.MonkeyPatch):
    found = named()
    assert {"Python", "torch", "device", "threads", "OpenMP", "disk for models", "temporary folder", "hub cache", "proxies",
            "network", "model toy", "model toy-turbo"} <= set(found)  # fmt: skip
    assert [finding for finding in found.values() if not finding.well] == []


def test_faults_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1})())

    def _models():
        raise RuntimeError("x")
        yield

    monkeypatch.setattr(doctor, "_models", _models)
    monkeypatch.setattr(doctor, "CHECKS", tuple(getattr(doctor, check.__name__) for check in doctor.CHECKS))
    found = named()
    ill = {name for name, finding in found.items() if not finding.well}
    assert {"OpenMP", "no-such-package", "disk for models", "temporary folder", "models"} <= ill
    assert all(found[name].remedy for name in ill)
    assert "http_proxy" in found["proxies"].text and "GRADIO_SHARE" in found["Gradio's settings"].text


def test_a_damaged_model_is_found(monkeypatch: pytest.MonkeyPatch, sd_folder: Path, tmp_path: Path):
    import shutil

    from reweight.models import registry
    from reweight.toy.train.saving import write_sums

    folder = Path(shutil.copytree(sd_folder, tmp_path / "toy"))
    write_sums(folder)
    (folder / "tokenizer" / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    card = registry.replace(registry.REGISTRY["toy"], repositories=(str(folder),))
    monkeypatch.setitem(registry.REGISTRY, "toy", card)
    monkeypatch.setattr(doctor, "CHECKS", (doctor._models,))
    assert not named()["model toy"].well and "tokenizer_config.json" in named()["model toy"].text


def test_the_commands_exit_status_says_whether_all_is_well(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    done = run_here("doctor")
    assert done.returncode == 1 and "WRONG OpenMP" in done.stdout and "to mend" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
