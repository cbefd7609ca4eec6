"""The notebook runs, and gives what it shows."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples" / "tour.ipynb"
NUMBER = re.compile(r"[-+]?\d*\.\d+")


def test_the_notebook_gives_what_it_shows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from run_notebook import run

    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    shown = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = run(notebook)
    assert [len(outputs) for outputs in found] == [len(outputs) for outputs in shown]
    for was, now in zip(
        (o for outputs in shown for o in outputs), (o for outputs in found for o in outputs), strict=True
    ):
        if "text" in was:
            text, again = "".join(was["text"]), "".join(now["text"])
            assert NUMBER.sub("", text) == NUMBER.sub("", again)
            numbers = [[float(x) for x in NUMBER.findall(one)] for one in (text, again)]
            np.testing.assert_allclose(*numbers, atol=0.1)
        elif "image/png" in was["data"]:
            pictures = [Image.open(io.BytesIO(base64.b64decode(one["data"]["image/png"]))) for one in (was, now)]
            np.testing.assert_allclose(*(np.asarray(picture, float) for picture in pictures), atol=8)
    assert NOTEBOOK.stat().st_size < 400_000
