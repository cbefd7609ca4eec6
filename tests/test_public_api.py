"""The names a user imports, and what importing them costs."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked import forked

import reweight

ROOT = Path(reweight.__file__).parents[1]
OTHERS = {"gradio", "matplotlib", "torchmetrics", "torchvision"}
LIBRARY = "from reweight import *; import reweight.engine.engine, reweight.scoring, reweight.probing.plots, reweight.engine.provenance"
HEAVY = ("torch", "diffusers", "transformers", "gradio", "matplotlib", "torchmetrics", "scipy", "torchvision")


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, encoding="utf-8"
    )


def loaded(code):
    """Which of HEAVY a new interpreter has imported after the code."""
    result = run("-c", f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_importing_it_is_cheap():
    assert loaded("import reweight; dir(reweight); reweight.__version__; import reweight.__main__") == set()


def test_the_library_pulls_in_neither_the_page_nor_the_plots_and_switches_remote_code_off():
    """Its own modules; in thorough runs, with all that they import."""

    def load():
        os.environ.pop("DIFFUSERS_DISABLE_REMOTE_CODE", None)
        for name in [name for name in sys.modules if name.partition(".")[0] in OTHERS]:
            del sys.modules[name]
        exec(LIBRARY, {})
        assert not OTHERS & set(sys.modules), OTHERS & set(sys.modules)
        assert os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"]

    status, said = forked(load).rest()
    assert status == 0, said


@pytest.mark.thorough
def test_a_new_interpreter_does_so_too():
    safe = "import reweight.models; from diffusers.utils import constants as c; assert c.DIFFUSERS_DISABLE_REMOTE_CODE"
    assert not loaded(f"{safe}\n{LIBRARY}") & OTHERS


@pytest.mark.parametrize("name", reweight.__all__)
def test_a_public_name_is_there_and_documented(name):
    value = getattr(reweight, name)
    assert callable(value) and not inspect.ismodule(value)
    assert value.__name__ == name and inspect.getdoc(value)
    assert getattr(importlib.import_module("reweight"), name) is value and name in dir(reweight)


def test_no_public_name_is_a_modules():
    modules = {path.stem for path in (ROOT / "reweight").glob("*.py")}
    modules |= {path.parent.name for path in (ROOT / "reweight").glob("*/__init__.py")}
    assert not modules & set(reweight.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = reweight.nothing
    with pytest.raises(ImportError):
        exec("from reweight import nothing")


def test_the_version_is_the_projects():
    assert f'version = "{reweight.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_apps_help_needs_no_model():
    code = (
        "import sys, runpy; sys.argv = ['app.py', '--help']\ntry:\n    runpy.run_path('app.py', run_name='__main__')\n"
    )
    result = run("-X", "importtime", "app.py", "--help")
    assert result.returncode == 0 and "--local" in result.stdout
    assert not any(f"| {name}\n" in result.stderr.replace("|   ", "| ") for name in HEAVY)
    assert loaded(f"{code}except SystemExit:\n    pass\nprint = lambda *a, p=print: p(*a)") & set(HEAVY) == set()
