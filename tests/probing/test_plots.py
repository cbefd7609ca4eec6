"""The figure for papers: what it shows, and that it leaves matplotlib's global state alone."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from reweight.probing.plots import importance_figure


@pytest.mark.parametrize(("T", "m"), [(1, 1), (2, 7), (20, 5), (50, 64)])
def test_blocks_are_down_and_steps_across_on_the_shared_scale(T, m, tmp_path):
    scores = np.linspace(0, 1, T * m).reshape(T, m)
    figure = importance_figure(scores, [f"block {i}" for i in range(m)], title="a red apple")
    axes = figure.axes[0]
    image = axes.images[0]
    assert image.get_array().shape == (m, T) and (image.get_array() == scores.T).all()
    assert image.get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"block {i}" for i in range(m)]
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(t + 1) for t in range(T)]
    assert len(axes.texts) == (T * m if T <= 20 else 0)
    if m < 64:
        figure.savefig(tmp_path / "figure.png", dpi=40)
        assert Image.open(tmp_path / "figure.png").size == tuple(int(side * 40) for side in figure.get_size_inches())


def test_any_prompt_can_be_the_title(tmp_path):
    title = r"costs $5 and $6, \frac{ _x^ " + "very long " * 100
    figure = importance_figure(np.ones((2, 2)), ["$a$", "b_$"], title=title)
    figure.savefig(tmp_path / "figure.png", dpi=40)
    shown = figure.axes[0].get_title()
    assert shown.startswith("costs $5 and $6") and shown.count("\n") == 1 and len(shown) <= 121


@pytest.mark.parametrize(
    "title", ["一只狐狸在雪中", "a fox 🦊 in the snow ❄️", "\u202eيا\u0301 हिन्दी \U0010ffff \U000e0041"]
)
def test_a_title_in_any_script_is_drawn_without_a_warning(title, tmp_path, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = importance_figure(np.ones((2, 2)), ["a", "b"], title=title)
        figure.savefig(tmp_path / "figure.png", dpi=40)
    assert not caplog.records


def test_letters_that_no_font_has_become_squares():
    figure = importance_figure(np.ones((2, 2)), ["a", "b"], title="a \U0010ffff fox")
    assert figure.axes[0].get_title() == "a □ fox"


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(steps, 2\)"):
        importance_figure(np.ones((2, 3)), ["a", "b"])


def test_pyplot_is_not_touched():
    code = (
        "import sys, numpy as np; from reweight.probing.plots import importance_figure;"
        "assert 'matplotlib' not in sys.modules;"
        "importance_figure(np.ones((2, 3)), 'abc').savefig(sys.argv[1], dpi=30);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subprocess.run([sys.executable, "-c", code, "/dev/null"], check=True, timeout=120)
