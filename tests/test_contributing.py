"""The examples of CONTRIBUTING.md are run."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reweight.engine.engine import Engine
from reweight.engine.events import Picture
from reweight.engine.request import validate
from reweight.engine.resolving import Chosen
from reweight.methods.base import METHODS
from reweight.schedule import CONTROLS
from reweight.scoring.scorers import SCORERS, scorer_named
from reweight.ui.screens.base import SCREENS, Call
from reweight.ui.session import Sessions

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
IMPORTS = """
from contextlib import contextmanager
from dataclasses import dataclass
import numpy as np
from reweight.methods.base import METHODS, Method, Report
from reweight.methods.settings import setting
from reweight.patching.blocks import concatenations
from reweight.patching.patch import edited_concatenations
from reweight.schedule import CONTROLS, Control
from reweight.scoring.scorers import SCORERS, ScorerEntry
from reweight.ui.screens.base import SCREENS, Screen
"""


@pytest.fixture
def added():
    """All four, registered as the document says; gone again afterwards."""
    registries = (METHODS, CONTROLS, SCORERS, SCREENS)
    before = [set(registry) for registry in registries]
    names = {"__name__": "examples"}
    exec(IMPORTS, names)
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.S):
        exec(block, names)
    yield
    for registry, keys in zip(registries, before, strict=True):
        for key in set(registry) - keys:
            registry.remove(key)


def test_each_does_what_it_says(added, sd_folder):
    name = str(sd_folder)
    engine = Engine((name,), local=True)
    try:
        request = validate(
            engine.opened(name).card, prompt="a red apple on table", model=name, steps=1, schedule="squared", low=0.5, high=1.5,
            columns=["vanilla", "dim-skips", "reweighted+dim-skips"], **{"dim-skips": {"factor": 0.3}},
        )  # fmt: skip
        chosen = Chosen(np.full((1, 7), 0.5), "given")
        pictures = [event for event in engine.compare(request, chosen) if isinstance(event, Picture)]
        call = Call(engine, Sessions().begin(), {"model": name, "prompt": "a", "high": 1.5}, {})
        assert list(SCREENS["mood"].acts()["say"](call)) == [{"kind": "mood", "text": "high is 1.5"}]
    finally:
        engine.close()
    assert len({picture.image.tobytes() for picture in pictures}) == 3
    assert pictures[1].reports["dim-skips"].modules == 8 and (pictures[2].weights == 0.75).all()
    assert scorer_named("redness").score([Image.new("RGB", (2, 2), (9, 0, 0))], ["a"]) == 9
