"""`reweight doctor`: checks this machine, and says how to fix each problem."""

from __future__ import annotations

import locale
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "gradio", "numpy",
            "matplotlib", "pydantic")  # fmt: skip
GIGABYTE = 1e9
ROOM = 1.0  # gigabytes that should be free


@dataclass(frozen=True)
class Finding:
    """The result of a check: whether it passed, what was found, and what to do if it failed."""

    name: str
    well: bool
    text: str
    remedy: str = ""


def findings() -> Iterator[Finding]:
    """The results of all checks; an exception in a check is a finding too."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as error:
            name = check.__name__.strip("_").replace("_", " ")
            yield Finding(name, False, f"could not be looked at ({type(error).__name__})", "Report this.")


def _python() -> Iterator[Finding]:
    good = sys.version_info[:2] >= (3, 11)
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("Python", good, text, "Install Python 3.11 or newer.")
    encoding = locale.getpreferredencoding(False)
    yield Finding("text encoding", True, f"{encoding}; files are read and written as UTF-8 whatever it is")


def _versions() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    wanted = {requirement.name: requirement for requirement in map(Requirement, _requirements())}
    for name in PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, False, "not installed", f"pip install '{wanted.get(name, name)}'")
            continue
        needed = wanted.get(name) or wanted.get(name.replace("_", "-"))
        good = needed is None or needed.specifier.contains(found.partition("+")[0], prereleases=True)
        yield Finding(name, good, found, f"pip install '{needed}'")


def _requirements() -> list[str]:
    from importlib.metadata import requires

    beside = Path(__file__).parents[2] / "requirements.txt"
    if beside.is_file():
        lines = beside.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]
    try:
        return [line for line in requires("reweight") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return []


def _models() -> Iterator[Finding]:
    from ..models.folder import ModelError
    from ..models.loading import load_model
    from ..models.registry import REGISTRY

    for key, card in REGISTRY.items():
        if not card.embedded:
            continue
        began = time.perf_counter()
        try:
            loaded = load_model(key, device="cpu")
        except ModelError as error:
            yield Finding(f"model {key}", False, str(error), "Get this program again: its assets folder is damaged.")
            continue
        seconds = time.perf_counter() - began
        yield Finding(f"model {key}", True, f"whole and finite, revision {loaded.revision}, loaded in {seconds:.1f} s")


def _cache() -> Iterator[Finding]:
    from huggingface_hub import constants

    home = Path(constants.HF_HUB_CACHE)
    parts = list(home.rglob("*.incomplete")) if home.is_dir() else []
    size = sum(path.stat().st_size for path in parts) / GIGABYTE
    yield Finding(
        "hub cache", not parts or size < ROOM, f"{len(parts)} unfinished downloads, {size:.1f} GB",
        "Load those models again to finish them, or delete the files that end in .incomplete.",
    )  # fmt: skip
    broken = [path for path in home.glob("models--*/snapshots/*/**/*") if path.is_symlink() and not path.exists()]
    yield Finding(
        "downloaded models", not broken, f"{len(broken)} files that lead nowhere",
        "Delete the folders of these models in the cache; they are fetched again.",
    )  # fmt: skip
    from ..models.lock import read_lock

    yield Finding("models.lock.json", True, f"{len(read_lock())} commits are recorded")


def _disk() -> Iterator[Finding]:
    from huggingface_hub import constants

    for name, place in (("disk for models", constants.HF_HOME), ("disk for temporary files", tempfile.gettempdir())):
        there = next(path for path in (Path(place), *Path(place).parents) if path.exists())
        free = shutil.disk_usage(there).free / GIGABYTE
        yield Finding(name, free > ROOM, f"{free:.1f} GB free", "Make room: delete models that you do not need.")


def _temporary_files() -> Iterator[Finding]:
    from .files import NoRoom, Scratch

    try:
        scratch = Scratch()
    except NoRoom as error:
        yield Finding("temporary folder", False, str(error), "Make room, or name a folder in GRADIO_TEMP_DIR.")
        return
    full = scratch.full()
    memory = scratch.folder.is_relative_to("/dev/shm")
    scratch.close()
    yield Finding(
        "temporary folder", not full, "can be written" + (", but only in memory" if memory else ""),
        "Make room, or name a folder in GRADIO_TEMP_DIR.",
    )  # fmt: skip


def _threads() -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    yield Finding(
        "threads", threads <= cores, f"{threads} for torch, {cores} cores",
        f"Set OMP_NUM_THREADS={cores}: more threads than cores wait for each other.",
    )  # fmt: skip
    policy = os.environ.get("OMP_WAIT_POLICY", "")
    yield Finding("OpenMP", policy.upper() != "ACTIVE", f"waits {policy.lower() or 'as the library chooses'}",
                  "Unset OMP_WAIT_POLICY: threads that spin keep a busy machine from working.")  # fmt: skip
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        yield Finding(
            "load", load < 2 * cores, f"{load:.1f} on {cores} cores", "Close what else keeps the machine busy."
        )


def _device() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        free, total = (number / GIGABYTE for number in torch.cuda.mem_get_info())
        name = torch.cuda.get_device_name()
        yield Finding(
            "device", free > ROOM, f"{name}, {free:.1f} of {total:.1f} GB free", "Close what else uses the GPU."
        )
    else:
        mps = torch.backends.mps.is_available()
        yield Finding("device", True, "Apple's GPU (MPS)" if mps else "CPU; the embedded models need no more")
    result = torch.ones(64, 64) @ torch.ones(64, 64)
    yield Finding("arithmetic", bool((result == 64).all()), "multiplies as it should", "Install torch again.")


def _memory() -> Iterator[Finding]:
    from ..engine.memory import free_memory

    free = free_memory("cpu") / GIGABYTE
    text = "unknown" if free == float("inf") else f"{free:.1f} GB free"
    yield Finding("memory", free > 2 * ROOM, text, "Close what else runs: the embedded models need 2 GB.")


def _proxies() -> Iterator[Finding]:
    from .address import PROXIES

    named = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.upper())]
    text = f"{', '.join(named)}; the page's own address is reached without" if named else "none"
    yield Finding("proxies", True, text)


def _network() -> Iterator[Finding]:
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    yield Finding("network", True, "the hub is never asked (HF_HUB_OFFLINE)" if offline else
                  "nothing is fetched unless you choose a model of the hub")  # fmt: skip
    remote = os.environ.get("DIFFUSERS_DISABLE_REMOTE_CODE", "")
    yield Finding("code from the hub", remote == "1", "is never run" if remote == "1" else "is not ruled out",
                  "Unset DIFFUSERS_DISABLE_REMOTE_CODE, which this program sets to 1.")  # fmt: skip
    from .entry import unheeded

    if names := unheeded():
        yield Finding("Gradio's settings", True, f"{', '.join(names)}: set, and not heeded by the demo")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python, _versions, _device, _threads, _memory, _disk, _temporary_files, _cache, _proxies, _network, _models,
)  # fmt: skip


def doctor() -> None:
    """Check everything this program needs, and say how to fix problems. Exit status 0 if there are none."""
    from rich.console import Console
    from rich.text import Text

    from .entry import prepare

    prepare()
    console, ill = Console(soft_wrap=True), 0
    for finding in findings():
        ill += not finding.well
        line: Any = Text("  ok  " if finding.well else " WRONG", style="green" if finding.well else "bold red")
        console.print(line, Text(f" {finding.name}: {finding.text}"), sep="")
        if not finding.well and finding.remedy:
            console.print(Text(f"        {finding.remedy}"))
    console.print(Text("All is well." if not ill else f"{ill} thing{'s' * (ill > 1)} to mend."))
    if ill:
        raise SystemExit(1)
