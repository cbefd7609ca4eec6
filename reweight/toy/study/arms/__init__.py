"""The arms of the study, a file for each; `ARMS` lists them in the order in which they are run."""

from __future__ import annotations

from ..arm import Arm
from .alignment import Alignment
from .assembly import Assembly, AssemblyByPaper
from .consistency import Consistency
from .memory import Memory
from .min_snr import MinSnr
from .muon import Muon
from .plain import Plain
from .reflow import Reflow

ARMS: dict[str, type[Arm]] = {
    arm.key: arm
    for arm in (Plain, Muon, MinSnr, Alignment, Consistency, Reflow, Assembly, AssemblyByPaper, Memory)
}  # fmt: skip


def chosen(names: str) -> list[type[Arm]]:
    """The arms of a list such as "plain,muon", in the order of ARMS; "all" is every one. ValueError for another name."""
    wanted = list(ARMS) if names.strip() == "all" else [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in ARMS]:
        raise ValueError(f"There is no arm {unknown[0]!r}: choose from {', '.join(ARMS)}, or all.")
    if not wanted:
        raise ValueError(f"There is no arm to train: choose from {', '.join(ARMS)}, or all.")
    return [arm for key, arm in ARMS.items() if key in wanted]
