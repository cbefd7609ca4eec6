"""Documents say what the results say, and what is missing is measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from reweight.bench import app
from reweight.bench.published.markers import filled
from reweight.bench.published.results import Results, markdown
from reweight.bench.published.whole_run import forecast, is_there, line, studies
from reweight.bench.published.write_documents import DOCUMENTS, documents, tables
from reweight.bench.stats.intervals import bootstrap
from reweight.models.registry import REGISTRY
from reweight.storage import atomic

ROOT = Path(__file__).parents[2]
BY_HAND = {  # intervals in sentences and static tables that no result of what ships holds, such as an earlier network's
    "README.md": 0, "docs/FINDINGS.md": 14, "docs/BENCHMARKS.md": 0, "docs/PEERS.md": 0, "docs/TUNED.md": 1, "docs/RELIABILITY.md": 0,
    "docs/TRAINING.md": 0,
}  # fmt: skip
STATIC = {  # tables that hold no results of what ships
    "README.md": 0, "docs/FINDINGS.md": 1, "docs/BENCHMARKS.md": 3, "docs/PEERS.md": 2, "docs/RELIABILITY.md": 4, "assets/toy-turbo/README.md": 2,
}  # fmt: skip


class TestMarkers:
    def test_tables_and_numbers_are_written_anew(self):
        text = "A <!-- number: n -->old<!-- end -->.\n\n<!-- table: t -->\n| old |\n<!-- end -->\nEnd"
        once = filled(text, {"t": lambda: "| new |"}, {"n": "5"})
        assert once == "A <!-- number: n -->5<!-- end -->.\n\n<!-- table: t -->\n| new |\n<!-- end -->\nEnd"
        assert filled(once, {"t": lambda: "| new |"}, {"n": "5"}) == once

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("<!-- number: a.b -->1<!-- end -->", r"no number 'a\.b' in the results: there are a\.c\."),
            ("<!-- table: x -->\n<!-- end -->", "no table 'x' in the results"),
            ("<!-- number: a.c -->1", "not closed"),
            ("<!-- table: t -->\n| 1 |", "not closed"),
        ],
    )
    def test_what_cannot_be_filled_is_said(self, text, message):
        with pytest.raises(ValueError, match=message):
            filled(text, {"t": lambda: ""}, {"a.c": "1"})

    def test_a_table_by_hand(self):
        assert markdown(["", "b"], [["x", "1"], ["y", ""]]) == "| | b |\n|---|---|\n| x | 1 |\n| y | |"


class TestReport:
    def test_every_document_says_what_the_results_say(self):
        for path, text in documents(Results(ROOT)).items():
            assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `python -m reweight bench report`"

    def test_every_table_stands_between_markers(self):
        for path in documents(Results(ROOT)):
            text = re.sub(
                r"<!-- table: .+? -->.*?^<!-- end -->$", "", path.read_text(encoding="utf-8"), flags=re.S | re.M
            )
            loose = len(re.findall(r"^\|(?:---\|)+$", text, re.M))
            assert loose == STATIC.get(path.relative_to(ROOT).as_posix(), 0), path

    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_intervals_in_sentences_come_from_the_results(self, name):
        marked = r"<!-- (?:table|number): .+? -->.*?<!-- end -->"
        text = re.sub(marked, "", (ROOT / name).read_text(encoding="utf-8"), flags=re.S)
        loose = re.findall(r"[-+]?\d?\.\d+ \[[-+]?\d?\.\d+, [-+]?\d?\.\d+\]", text)
        assert len(loose) == BY_HAND[name], loose

    def test_every_table_is_used(self):
        text = "".join(path.read_text(encoding="utf-8") for path in documents(Results(ROOT)))
        assert set(re.findall("<!-- table: (.+?) -->", text)) == set(tables(Results(ROOT)))

    def test_the_command_mends_a_document_and_check_refuses_it(self, tmp_path):
        for name in DOCUMENTS:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("Nothing.\n", encoding="utf-8")
        (tmp_path / "docs" / "results").symlink_to(ROOT / "docs" / "results")
        number = "probe.toy-turbo.calibrated.samples"
        (tmp_path / "README.md").write_text(f"<!-- number: {number} -->?<!-- end -->", encoding="utf-8")
        refused = CliRunner().invoke(app, ["report", "--root", str(tmp_path), "--check"])
        assert isinstance(refused.exception, ValueError) and "README.md differ" in str(refused.exception)
        assert CliRunner().invoke(app, ["report", "--root", str(tmp_path)]).exit_code == 0
        assert (tmp_path / "README.md").read_text(encoding="utf-8") == f"<!-- number: {number} -->91<!-- end -->"
        assert CliRunner().invoke(app, ["report", "--root", str(tmp_path), "--check"]).exit_code == 0

    def test_without_results_there_is_a_sentence(self, tmp_path):
        result = CliRunner().invoke(app, ["report", "--root", str(tmp_path)])
        assert isinstance(result.exception, ValueError) and "There are no results in" in str(result.exception)


class TestClaims:
    """What the five sentences of FINDINGS.md rest on; where one fails, the sentence is wrong and not the test."""

    @pytest.mark.parametrize("name", ["agreement-toy-turbo", "agreement-toy"])
    def test_the_papers_ranking_is_reversed_and_calibrated_is_not(self, name):
        taus = Results(ROOT)[name]["tau"]
        middle, low, high = interval_of([row[0] for row in taus["paper-code"]])
        assert high < 0 and low <= middle <= high
        assert interval_of([row[0] for row in taus["calibrated"]])[1] > 0.9

    def test_on_toy_calibrated_is_above_its_flat_row_and_the_papers_ranking_below(self):
        found = effects_of("importance-toy")
        assert found["calibrated [0.95, 1.15]"]["minus_flat"][1] > 0 > found["paper [0.95, 1.15]"]["minus_flat"][2]
        assert found["flat [0.95, 1.15]"]["minus_vanilla"][1] > 0

    def test_on_toy_turbo_nothing_gains_and_a_random_order_is_flat(self):
        found = effects_of("importance-toy-turbo")
        assert all(effect["minus_vanilla"][1] <= 0 for effect in found.values())
        _, low, high = found["random [0.95, 1.15]"]["minus_flat"]
        assert low <= 0 <= high

    def test_tuned_weights_gain_and_dynamic_gains_no_more_or_at_the_judges_cost(self):
        for model, steps in (("toy", "10"), ("toy", "12"), ("toy", "20"), ("toy-turbo", "2"), ("toy-turbo", "4")):
            found = Results(ROOT)[f"tuned-{model}"]["steps"][steps]
            gain = {
                line["variant"]: line.get("score_over_vanilla") for line in found["effects"] if line["set"] == "all"
            }
            pair = {line["over"]: line for line in found["differences"] if line["set"] == "all"}
            assert gain["dynamic"][1] > 0 and pair["paper-code"]["score"][1] > 0 and pair["calibrated"]["score"][0] > 0
            assert (pair["calibrated"]["score"][1] > 0) == ((model, steps) != ("toy", "20"))
            more, judged = pair["static"]["score"], pair["static"]["obeyed"]
            assert more[1] <= 0 if model == "toy" else more[1] > 0 > judged[2]

    def test_beside_peers_inheritance_loses_nothing_and_gates_cost_adherence(self):
        def lines(model, method):
            found = Results(ROOT)[f"peers-{model}"]["lines"]
            return [line for line in found if line["variant"].split(",")[0] == method]

        twice = [line for line in lines("toy", "inherit") if line["variant"] == "inherit, every 2"]
        assert all(min(line["over_vanilla"][2], line["obeyed_over_vanilla"][2]) >= 0 for line in twice)
        losing = [line for line in lines("toy", "inherit") if line["obeyed_over_vanilla"][2] < 0]
        assert [(line["variant"], line["steps"]) for line in losing] == [("inherit, every 3", 50)]
        for method in ("tgate", "faster-diffusion"):
            assert all(line["obeyed_over_vanilla"][2] < 0 for line in lines("toy", method))
        assert {line["steps"]: line["over_vanilla"][1] > 0 for line in lines("toy", "deis")} == {
            10: True,
            20: True,
            50: False,
        }
        assert all(line["over_vanilla"][2] < 0 for line in lines("toy", "freeu"))
        assert all(line["obeyed_over_vanilla"][2] < 0 for line in lines("toy-turbo", "inherit"))

    def test_several_results_of_a_model_stand_in_one_table(self, tmp_path):
        folder = tmp_path / "docs" / "results"
        folder.mkdir(parents=True)
        first = Results(ROOT)["tuned-toy"]
        effect = first["steps"]["10"]["effects"][1] | {"variant": "dynamic, other seed"}
        more = first | {"steps": {"4": {"effects": [effect], "differences": []}}, "tables": []}
        for name, content in (("tuned-toy", first), ("tuned-toy-other", more), ("tuned-again", first)):
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        rows = tables(Results(tmp_path))["tuned study toy"]().splitlines()
        whole = [e for found in first["steps"].values() for e in found["effects"] if e["set"] == "all"]
        assert len(rows) == 2 + 1 + len(whole)
        assert rows[2].startswith("| 4 | dynamic, other seed | +0.0229") and rows[3].startswith("| 10 | vanilla")


def interval_of(values):
    return float(np.mean(values)), *bootstrap(np.mean, np.array(values))


def effects_of(name):
    return {effect["variant"]: effect for effect in Results(ROOT)[name]["effects"]}


class TestAll:
    def test_every_embedded_study_is_a_result_of_the_documents(self):
        names = {study.name for model in ("toy", "toy-turbo") for study in studies(model, REGISTRY[model])}
        assert names <= set(Results(ROOT).found)
        assert {study.name for study in studies("sd-turbo", REGISTRY["sd-turbo"])} >= {
            "agreement-sd-turbo", "table5-sd-turbo", "fig3-sd-turbo", "pruning-sd-turbo",
        }  # fmt: skip

    def test_what_is_there_for_the_revision_is_skipped(self, tmp_path):
        first, second, *_ = wanted = studies("toy", REGISTRY["toy"])
        path = tmp_path / f"{first.name}.json"
        path.write_text(json.dumps({"revision": "abc", "command": line(first), "seconds": 5400}), encoding="utf-8")
        assert is_there(path, first, "abc") and not is_there(path, first, "def")
        assert not is_there(path, second, "abc") and not is_there(tmp_path / "none.json", first, "abc")
        assert forecast(wanted, [], tmp_path) == f"All {len(wanted)} results are there for this revision."
        said = forecast(wanted, [first, second], tmp_path)
        assert f"2 of {len(wanted)} results are missing" in said and "about 1.5 hours" in said and second.name in said

    def test_a_whole_run_of_a_tiny_model_goes_on_and_writes_results(self, sd_folder, tmp_path, monkeypatch):
        from reweight.bench.published import whole_run

        asked = "surrogate", "--model", str(sd_folder), "--limit", "1", "--steps", "1", "--guidance", "0", "--runs", "1"
        study = whole_run._in_file("surrogate-tiny", (*asked, "--preset", "paper-code", "--device", "cpu"))
        monkeypatch.setattr(whole_run, "studies", lambda model, card: [study])
        arguments = [
            "all",
            "--model",
            str(sd_folder),
            "--out",
            str(tmp_path / "work"),
            "--results",
            str(tmp_path / "found"),
        ]
        planned = CliRunner().invoke(app, [*arguments, "--plan"])
        assert (
            planned.exit_code == 0
            and "1 of 1 results are missing" in planned.output
            and not (tmp_path / "work").exists()
        )
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        found = json.loads((tmp_path / "found" / "surrogate-tiny.json").read_text(encoding="utf-8"))
        assert found["command"] == line(study) and found["seconds"] >= 0 and found["prompts"][0]["gap"] == 0
        monkeypatch.setattr(whole_run, "run", None)
        again = CliRunner().invoke(app, arguments)
        assert again.exit_code == 0 and "All 1 results are there" in again.output
        wrong = CliRunner().invoke(app, [*arguments, "--only", "nothing"])
        assert "There is no result 'nothing'" in str(wrong.exception)


def test_results_are_written_atomically(tmp_path, monkeypatch):
    from reweight.bench.stats.result_file import write_json

    path = tmp_path / "new" / "result.json"
    write_json(path, {"numbers": [1.5, None, -2e-05], "text": "ü"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"numbers": [1.5, None, -2e-05], "text": "ü"}
    assert '"numbers": [1.5, null, -2e-05]' in path.read_text(encoding="utf-8")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"numbers": []})
    assert json.loads(path.read_text(encoding="utf-8"))["text"] == "ü"
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


def test_no_study_writes_a_result_in_place():
    for path in (ROOT / "reweight" / "bench").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\.write_(text|bytes)\(|\.savefig\(|open\(.*[\"'][wxa]", text) or path.name in (
            "result_file.py", "peak_memory.py",
        ), path  # fmt: skip
