"""A package from outside brings a screen and a method: they are on the page, and no file here names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gradio_client import Client
from looking import has_drawn, number, picture, png, query_of, wait_for_query
from playwright.sync_api import expect
from server import ROOT, serving

from reweight.engine.provenance import read_png

pytestmark = [pytest.mark.browser, pytest.mark.thorough]


@pytest.fixture(scope="module")
def server(sd_folder: Path):
    """The real program, where the package from outside is installed."""
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "tests" / "outside"), before]))
    try:
        with serving(sd_folder) as running:
            yield running
    finally:
        os.environ["PYTHONPATH"] = before


def test_its_screen_has_a_tab_and_its_act_answers(visit):
    page = visit("steps=2&high=1.25")
    page.get_by_role("tab", name="Mood").click()
    page.get_by_role("button", name="How?").click()
    expect(page.locator("#mood")).to_have_text("bright up to 1.25")
    expect(page.locator("#instrument")).to_be_visible()


def test_its_method_is_a_column_with_settings_in_the_picture_the_address_and_the_api(visit, server):
    page = visit("steps=2")
    page.locator("#more > summary").click()
    page.locator('#columns [data-column="dim-skips"]').check()
    expect(picture(page, "dim-skips")).to_be_visible()
    has_drawn(page)
    page.locator('[data-method="dim-skips"] > summary').click()
    number(page, "dim-skips-factor").fill("0.5")
    number(page, "dim-skips-factor").press("Enter")
    wait_for_query(page, "dim-skips.factor", "0.5")
    has_drawn(page)
    settings = read_png(png(page, "dim-skips"))
    assert settings["request"]["dim-skips"] == {"factor": 0.5, "deepest": False}
    assert query_of(page)["columns"].endswith('"dim-skips"]')
    number(page, "dim-skips-factor").fill("1")
    number(page, "dim-skips-factor").press("Enter")
    expect(page.locator('[data-method="dim-skips"] .rw-inert')).to_have_text("A factor of 1 changes nothing.")
    client = Client(server.url, verbose=False)
    file, _ = client.predict(
        prompt="a cat", steps=2, settings={"dim-skips": {"factor": 0.25}}, method="dim-skips", api_name="/reweight"
    )
    assert read_png(file)["request"]["dim-skips"]["factor"] == 0.25
