"""The API and the command line of the real program."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from server import ROOT, Server, free_port, no_insides, program, serving

from reweight.engine.provenance import read_png
from reweight.engine.request import validate
from reweight.models.registry import ASSETS
from reweight.probing.ablation import agreement
from reweight.schedule import ImportanceTable

QUICK = {"prompt": "the blue cat in rain", "steps": 2}
ENDPOINTS = ("/compare", "/reweight", "/importance", "/sweep", "/ablate")
OTHERS = ("/score",)


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(server.url, verbose=False, download_files=str(tmp_path_factory.mktemp("pictures")))


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_public_endpoints_alone_are_listed(client: Client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {*ENDPOINTS, *OTHERS}
    for name, endpoint in named.items():
        names = [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        if name in OTHERS:
            continue
        assert {"prompt", "model", "low", "high", "schedule", "seed", "steps", "guidance", "negative_prompt"} <= set(
            names
        )
        assert name != "/importance" or {"preset", "runs"} <= set(names)
        assert endpoint["description"].startswith(("Draw", "Probe"))


def test_every_parameter_says_what_it_may_be_and_has_an_example_that_can_be_sent(client: Client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name, endpoint in named.items():
        for parameter in endpoint["parameters"]:
            assert parameter["type"]["description"] == parameter["python_type"]["description"] != "", (name, parameter)
            assert "!!" not in str(parameter["example_input"])
    of = {one["parameter_name"]: one["type"] for one in named["/importance"]["parameters"]}
    assert "null: importance" in of["schedule"]["description"] and "calibrated" in of["schedule"]["description"]
    assert "tau_b_bypass_per_step" in of["direct"]["description"]
    assert {"size", "painted", "freeu"} <= set(of["settings"]["properties"])


def test_compare_gives_three_pictures_with_their_settings(client: Client, server: Server):
    *files, facts = client.predict(**QUICK, low=0.9, high=1.2, seed=3, api_name="/compare")
    assert np.shape(facts["scores"]) == np.shape(facts["weights"]) == (2, 7)
    for method, file in zip(("vanilla", "reweighted", "freeu"), files, strict=True):
        settings = read_png(file)
        assert settings["method"] == method
        asked = settings["request"]
        assert (asked["low"], asked["high"], asked["seed"], asked["steps"]) == (0.9, 1.2, 3, 2)
        assert asked["model"] == Path(server.model).name
        if method == "reweighted":
            np.testing.assert_allclose(settings["weights"], facts["weights"])
    assert not np.array_equal(pixels(files[0]), pixels(files[1]))


def test_weights_of_one_are_vanilla_and_reweight_is_the_second_of_compare(client: Client):
    vanilla, reweighted, _, _ = client.predict(**QUICK, low=1, high=1, api_name="/compare")
    np.testing.assert_array_equal(pixels(vanilla), pixels(reweighted))
    _, reweighted, _, facts = client.predict(**QUICK, low=0.9, high=1.2, api_name="/compare")
    alone, same = client.predict(**QUICK, low=0.9, high=1.2, api_name="/reweight")
    np.testing.assert_array_equal(pixels(reweighted), pixels(alone))
    assert facts == same


def test_what_is_left_out_is_the_named_models_default(client: Client):
    file, _ = client.predict(prompt="a photo of a castle at sunset", model="toy-turbo", api_name="/reweight")
    asked = read_png(file)["request"]
    assert (asked["model"], asked["steps"], asked["guidance"], asked["size"]) == ("toy-turbo", 2, 0.0, 128)
    assert (asked["low"], asked["high"]) == (1.2, 1.6)


def test_importance_gives_a_table(client: Client):
    given = client.predict(**QUICK, preset="paper-text", runs=1, direct=True, api_name="/importance")
    table = ImportanceTable.from_json(json.dumps(given))
    errors, steps = np.array(given["diagnostics"]["bypass_error"]), given["diagnostics"]["tau_b_bypass_per_step"]
    assert errors.shape == table.scores.shape and given["diagnostics"]["tau_b_bypass"] == pytest.approx(np.mean(steps))
    assert (
        agreement(table.scores, errors) == pytest.approx(np.mean(steps)) and 0 < given["diagnostics"]["p_bypass"] <= 1
    )
    assert (table.runs, table.steps, table.prompt, table.method) == (1, 2, QUICK["prompt"], "probe:paper-text")


@pytest.mark.skipif(not (ASSETS / "toy").is_dir(), reason="the embedded model is not built yet")
def test_the_embedded_model_is_served_too(client: Client):
    *files, _ = client.predict(**QUICK, model="toy", api_name="/compare")
    for file in files:
        settings = read_png(file)
        assert settings["request"]["model"] == "toy"
        assert validate(**settings["request"]).size == pixels(file).shape[0]


BAD: list[dict[str, Any]] = [
    {"low": 1.1, "high": 0.9}, {"low": 0}, {"high": 9}, {"low": "much"}, {"low": True}, {"high": []},
    {"prompt": ""}, {"prompt": " \n"}, {"prompt": "x" * 3000}, {"prompt": "x" * 200_000}, {"prompt": 7}, {"prompt": None},
    {"prompt": "a\x00b"}, {"prompt": ["a"]}, {"prompt": {"path": "/etc/passwd"}},
    {"model": "nonsense"}, {"model": "/etc"}, {"model": "../../etc"}, {"model": 5}, {"model": ["toy"]}, {"model": {}},
    {"schedule": "nonsense"}, {"schedule": 1}, {"schedule": ["flat"]}, {"negative_prompt": 5},
    {"seed": -1}, {"seed": 2**32}, {"seed": 1.5}, {"seed": "7"},
    {"steps": 0}, {"steps": 51}, {"steps": 1.5}, {"steps": -1}, {"steps": 1e9}, {"steps": "2"}, {"steps": True},
    {"guidance": -1}, {"guidance": 1e300}, {"guidance": "3"},
]  # fmt: skip
BAD_PROBE: list[dict[str, Any]] = [
    {"preset": "nonsense"}, {"preset": ["paper-code"]}, {"preset": None},
    {"runs": 0}, {"runs": 10_000}, {"runs": 101}, {"runs": 1.5}, {"runs": -1}, {"runs": "3"}, {"runs": None}, {"runs": True},
]  # fmt: skip


def refused(client: Client, endpoint: str, given: dict[str, Any]) -> str:
    """The sentence that an endpoint answers bad values with."""
    with pytest.raises(AppError) as caught:
        client.predict(**(QUICK | given), api_name=endpoint)
    sentence = str(caught.value)
    assert no_insides(sentence) and 10 < len(sentence) < 300 and "\n" not in sentence, sentence
    assert sentence.endswith((".", "?")) and "not enabled verbose error" not in sentence, sentence
    return sentence


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_bad_values_get_a_sentence_and_the_program_serves_on(client: Client, endpoint: str, every: bool):
    bad = BAD + (BAD_PROBE if endpoint == "/importance" else [])
    one_each = {next(iter(given)): given for given in bad}
    for given in bad if every else one_each.values():
        refused(client, endpoint, given)
    client.predict(**QUICK, api_name="/reweight")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_numbers_that_are_none_get_a_sentence(server: Server, value: str):
    import httpx

    body = f'{{"data": ["a cat", null, {value}, 1.1, "flat", 7, 2, 3, ""]}}'
    answer = httpx.post(f"{server.url}gradio_api/call/reweight", content=body, timeout=300)
    assert no_insides(answer.text)
    if answer.is_success:
        event = answer.json()["event_id"]
        said = httpx.get(f"{server.url}gradio_api/call/reweight/{event}", timeout=300).text
        assert "event: error" in said and no_insides(said)
        assert "complete" not in said
    else:
        assert answer.status_code in (400, 422)


def test_uploads_are_not_taken_for_prompts(client: Client):
    with pytest.raises((AppError, ValueError)):
        client.predict(prompt=handle_file(str(ROOT / "pyproject.toml")), api_name="/reweight")


def test_two_clients_at_once_get_their_own_pictures(server: Server, client: Client, tmp_path: Path):
    seeds = range(20, 23)
    alone = {
        seed: pixels(client.predict(**QUICK, seed=seed, low=0.9, high=1.2, api_name="/reweight")[0]) for seed in seeds
    }
    others = [Client(server.url, verbose=False, download_files=str(tmp_path / str(n))) for n in range(2)]

    def ask(number: int) -> list[np.ndarray]:
        other = others[number]
        order = seeds if number else reversed(seeds)
        return [
            (seed, pixels(other.predict(**QUICK, seed=seed, low=0.9, high=1.21, api_name="/compare")[0]))
            for seed in order
        ]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))
    first, second = dict(first), dict(second)
    for seed in seeds:
        np.testing.assert_array_equal(first[seed], second[seed])
        assert not np.array_equal(first[seed], alone[seed])
    assert len({image.tobytes() for image in first.values()}) == len(seeds)


def test_nothing_is_left_beside_gradios_own_cache(server: Server, client: Client):
    client.predict(**QUICK, api_name="/compare")
    assert {path.name for path in server.temporary.iterdir()} <= {"gradio", "assets", "torchinductor_root"}
    kept = [path for path in (server.temporary / "assets").rglob("*") if path.is_file()]
    assert [path for path in kept if path.parent.name != "probes" or path.suffix not in (".npz", ".state")] == []


def ended(*options: str) -> tuple[int, str]:
    """Exit status and output of the program, which must end by itself."""
    process = program(*options)
    try:
        said, _ = process.communicate(timeout=170)
    finally:
        process.kill()
    return process.returncode, said


def test_a_port_that_is_in_use_gets_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, said = ended("--port", str(taken.getsockname()[1]))
    assert status == 1 and no_insides(said)
    assert re.fullmatch(r"[^\n]*in use[^\n]*--port\.\n", said)


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_a_port_that_is_none_gets_a_sentence(port: str):
    status, said = ended("--port", port)
    assert status in (1, 2) and no_insides(said.replace("app.py", ""))


@pytest.mark.thorough
def test_a_model_that_there_is_not_gets_a_sentence():
    status, said = ended("--model", "nonsense", "--port", str(free_port()))
    assert status == 1 and no_insides(said)
    ours = [line for line in said.splitlines() if not line.startswith("{")]  # the log is beside it
    assert len(ours) == 1 and ours[0].startswith("There is no model of that name")


def test_help_lists_the_options():
    status, said = ended("--help")
    assert status == 0
    for option in ("--local", "--model", "--models", "--port", "--host"):
        assert option in said


@pytest.mark.slow
def test_a_probe_whose_program_is_killed_goes_on_in_the_next(client: Client, sd_folder: Path, tmp_path: Path):
    asked = {"prompt": "a fox", "steps": 3, "runs": 8, "api_name": "/importance"}
    probes = tmp_path / "assets" / "reweight" / "probes"
    with serving(sd_folder, tmp_path) as server:
        job = Client(server.url, verbose=False).submit(**asked)
        while not (probes.is_dir() and any(probes.glob("*.npz"))):
            assert not job.done()
            time.sleep(0.002)
        server.process.kill()
        assert server.process.wait(30) == -9
    (state,) = probes.glob("*.npz")
    with serving(sd_folder, tmp_path) as server:
        table = Client(server.url, verbose=False).predict(**asked)
    assert not state.exists() and table == client.predict(**asked)


DOCUMENT = ROOT / "docs" / "API.md"
SAID = "a photo of a penguin on a beach"


def shown(server: Server, language: str, *words: str) -> str:
    """The document's examples of a language that have one of some words, one after the other, as they would be typed for this server."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    text = "\n".join(block for block in blocks if any(word in block for word in words))
    text = text.replace("http://127.0.0.1:7860/", server.url).replace("http://127.0.0.1:7860", server.url.rstrip("/"))
    return text.replace(f'prompt="{SAID}"', f'prompt="{SAID}", model="toy-turbo"').replace(
        f'"prompt": "{SAID}"', f'"prompt": "{SAID}", "model": "toy-turbo"'
    )


def test_the_documents_examples_run_as_they_are_shown(server: Server, capsys):
    told = subprocess.run(
        ["bash", "-c", shown(server, "bash", "curl")], capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    event, data = told.stdout.strip().splitlines()[-2:]
    assert event == "event: complete" and "image.png" in data
    names: dict[str, Any] = {}
    exec(shown(server, "python", "Client(", "client.predict"), names)
    assert read_png(names["picture"])["request"]["prompt"] == SAID
    cells = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{'low'")]
    assert len(cells) == len(names["grid"]["cells"]) == 3 * 2
    assert names["worst"]["ssim"] < 0.9 and names["score"]["score"] > 0
    assert names["found"]["method"] == "probe:calibrated" and -1 <= names["tau"] <= 1


def test_the_documents_examples_without_a_demo_run_too(server: Server):
    names: dict[str, Any] = {}
    exec(shown(server, "python", "pipe").replace("surrogate=True", "surrogate=True, runs=1"), names)
    assert names["picture"].size == (128, 128) and names["table"].scores.shape == (2, 7)
