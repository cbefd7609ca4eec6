"""The paper's tables: its numbers, the prompts, rows that survive, and whole runs of a tiny model."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from reweight.__main__ import app
from reweight.bench.overhead.time_estimates import Pace, duration, seconds_for
from reweight.bench.tables import cells, paired
from reweight.bench.tables.experiments import NAMES, Experiment, Variant, experiment, ranked
from reweight.bench.tables.paper import by_category, paper_tables, table_1, table_2
from reweight.bench.tables.prompts import CATEGORIES, STYLE_OF, embedded, read_prompts
from reweight.bench.tables.score_source import Ranking
from reweight.bench.tables.table2 import as_csv, tau
from reweight.bench.tables.table_commands import whole_numbers
from reweight.bench.tables.table_run import Bench, Share, share
from reweight.models.loading import load_model
from reweight.models.registry import REGISTRY
from reweight.schedule import ImportanceTable
from reweight.storage.rowfile import RowFile, key_of, read_rows
from reweight.toy.world.scenes import parse

SD, XL = tuple("0123456"), tuple("12345")
PROMPTS = {"anime": ["a red apple on table"], "photo": ["the blue cat in rain"]}


class Redness:
    """The mean of red: a scorer whose answer is known."""

    name, version = "redness", "1"

    def score(self, images, prompts):
        return np.array([np.asarray(image, float)[..., 0].mean() / 255 for image in images])

    def features(self, images):
        colours = np.array([np.asarray(image, float).mean((0, 1)) for image in images])
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def loaded(sd_folder):
    found = load_model(str(sd_folder), local=True, device="cpu")
    found.pipe.set_progress_bar_config(disable=True)
    return found


def bench(loaded, folder, name="table5", **options):
    settings = {"prompts": PROMPTS, "seeds": (42, 21), "steps": (2,), "scorer": Redness()} | options
    prompts = settings.pop("prompts")
    return Bench(name, loaded, prompts, folder, ranking=Ranking("empirical", folder / "probes"), **settings)


def untimed(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def alone(loaded, tmp_path_factory):
    """Table V by one process."""
    made = bench(loaded, tmp_path_factory.mktemp("alone"))
    made.draw()
    return made


class TestPaper:
    def test_numbers_as_printed(self):
        model, numbers = table_1("sd-turbo")
        assert model == "SD-Turbo" and numbers["blk-6", "2 steps"] == 0.3072 and len(numbers) == 8 * 3
        model, numbers = table_1("sdxl")
        assert model == "SDXL" and numbers["blk-5", "20 steps"] == 0.2910 and len(numbers) == 6 * 3
        assert table_1("toy")[0] == "SD v2.1"
        _, numbers = by_category("table_3_sd_turbo", "SD-Turbo")
        assert numbers["[1.02, 1.15]", "photo train"] == 0.2843 and numbers["vanilla", "avg test"] == 0.2811
        assert table_2("sd-turbo", 2)[1] == tuple("1054263") and table_2("sdxl", 2) == table_2("sd-turbo", 3) == ()
        assert "2504.03471" in paper_tables()["source"]

    @pytest.mark.parametrize("model", ["toy", "sd-turbo", "sd21", "sdxl-turbo", "sdxl"])
    @pytest.mark.parametrize("name", NAMES)
    def test_each_printed_row_and_number_of_steps_is_drawn(self, name, model):
        card, blocks = REGISTRY[model], XL if model.startswith("sdxl") else SD
        made = experiment(name, card, blocks)
        assert {row for row, _ in made.numbers} <= set(made.labels)
        drawn = {(variant.name, variant.steps) for variant in made.variants}
        assert len(drawn) == len(made.variants)
        if made.columns == "steps":
            assert {(row, int(column.split()[0])) for row, column in made.numbers} <= drawn
        scores = np.linspace(0.1, 1, 2 * len(blocks)).reshape(2, -1)
        for variant in made.variants:
            table = None if variant.table is None else variant.table(scores, 0)
            assert table is None or (table.shape == scores.shape and np.isfinite(table).all())

    def test_weights_of_the_rows(self):
        scores = np.array([[1.0, 0.5, 0.25]])
        rows = {v.label: v for v in experiment("table6", REGISTRY["sdxl-turbo"], "123").variants if v.table}
        found = {label: row.table(scores, 0)[0] for label, row in rows.items()}
        np.testing.assert_allclose(found["[0.95, 1.15] importance"], [1.15, 1.05, 1.0])
        np.testing.assert_allclose(found["[0.95, 1.15] inverted"], [0.95, 1.05, 1.1])
        flats = found["[0.95, 1.15] flat"], found["[0.95, 1.15] flat at inverted's mean"]
        for flat, ranking in zip(flats, ("importance", "inverted"), strict=True):
            np.testing.assert_allclose(flat, found[f"[0.95, 1.15] {ranking}"].mean())
        blocks = {v.label: v for v in experiment("table1", REGISTRY["sdxl-turbo"], "123").variants if v.steps == 1}
        np.testing.assert_allclose(blocks["blk-2"].table(scores, 0), [[1, 1.1, 1]])

    def test_skipping_goes_by_rank_step_by_step(self):
        scores = np.array([[0.3, 0.1, 0.2], [0.1, 0.2, 0.3]])
        assert ranked(scores, [(0,), (0, 2)]).tolist() == [[False, True, False], [True, False, True]]
        labels = experiment("fig3", REGISTRY["sd-turbo"], SD).labels
        assert len(labels) == 1 + 7 + 3 + 2**2 + 3**2 and "symmetric 1+5" in labels
        with pytest.raises(ValueError, match=r"4 steps at most, not 12\.$"):
            experiment("fig3", REGISTRY["toy"], SD, (12,))

    def test_another_name_is_refused(self):
        with pytest.raises(ValueError, match=r"no table or figure 'table9'.*\.$"):
            experiment("table9", REGISTRY["toy"], SD)

    def test_table_2_agrees_with_itself(self):
        printed = table_2("sd-turbo", 2)
        scores = np.array([[(row.index(block) + 1) / 7 for block in SD] for row in printed])
        table = ImportanceTable(scores=scores, runs=1, blocks=SD, model="x", method="probe:paper-code")
        assert tau(table, printed) == pytest.approx(1) and tau(table, ()) is None
        assert as_csv(table, printed).splitlines()[1] == "1,0 1 2 4 6 5 3,0 1 2 4 6 5 3"


class TestPrompts:
    def test_the_embedded_set_says_its_category_in_the_models_words(self):
        found = embedded()
        assert tuple(found) == CATEGORIES and found == embedded()
        for category, prompts in found.items():
            assert len(prompts) == len(set(prompts)) == 200
            assert {parse(prompt).style for prompt in prompts} == {STYLE_OF[category]}

    def test_a_larger_limit_keeps_the_smallers_prompts(self):
        few, more = read_prompts("embedded", 3), read_prompts("embedded", 50)
        assert all(more[category][:3] == few[category] and len(few[category]) == 3 for category in CATEGORIES)

    def test_files(self, tmp_path, monkeypatch):
        for category in CATEGORIES:
            (tmp_path / f"{category}.json").write_text(
                json.dumps([f"{category} {i}" for i in range(9)]), encoding="utf-8"
            )
        found = read_prompts(str(tmp_path), 9)
        assert {category: sorted(prompts) for category, prompts in found.items()} == {
            category: [f"{category} {i}" for i in range(9)] for category in CATEGORIES
        }
        own = tmp_path / "mine.txt"
        own.write_text("a fox\n\n a cat \na fox\n", "utf-8")
        assert sorted(read_prompts(str(own), 2)["mine"]) == ["a cat", "a fox"]
        package = tmp_path / "root" / "datasets" / "benchmark"
        package.mkdir(parents=True)
        for category in CATEGORIES:
            (package / f"{category}.json").write_text('["one"]', encoding="utf-8")
        monkeypatch.setenv("HPS_ROOT", str(tmp_path / "root"))
        assert read_prompts("hpd", 1) == {category: ["one"] for category in CATEGORIES}

    @pytest.mark.parametrize("content", [b"\xff\xfe", b"{}", b"[1]", b"[", b'["a"]'])
    def test_a_bad_file_is_one_sentence(self, tmp_path, content):
        path = tmp_path / "bad.json"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^[^\n]*(bad\.json|prompts in bad)[^\n]*\.$"):
            read_prompts(str(path), 2)

    def test_what_cannot_be_had_is_one_sentence(self, tmp_path, monkeypatch):
        with pytest.raises(ValueError, match=r"200 prompts in anime: .*\.$"):
            read_prompts("embedded", 201)
        with pytest.raises(ValueError, match=r"at least 1, not 0\.$"):
            read_prompts("embedded", 0)
        with pytest.raises(ValueError, match=r"no prompts in .*gone.*\.$"):
            read_prompts(str(tmp_path / "gone"), 1)
        monkeypatch.setenv("HPS_ROOT", str(tmp_path))
        with pytest.raises(ValueError, match=r"cannot be downloaded.*\.$"):
            read_prompts("hpd", 1)


def row(variant="vanilla", category="anime", seed=42, steps=2, prompt="p", **measures):
    values = {"score": None, "ssim": 1.0, "mean_difference": 0.0, "cosine": None, "seconds": 1.0} | measures
    return {"category": category, "prompt": prompt, "seed": seed, "steps": steps, "variant": variant} | values


class TestRows:
    def test_all_processes_rows_are_read_in_one_order(self, tmp_path):
        rows = [row(prompt=p, seed=s) for p in "cab" for s in (42, 21)]
        for i, one in enumerate(rows):
            RowFile(tmp_path, i % 2).append(one)
        RowFile(tmp_path, 7).append(rows[0] | {"ssim": 0.5})
        found = read_rows(tmp_path)
        assert list(found.values()) == sorted(rows, key=key_of) and found[key_of(rows[0])]["ssim"] == 1

    def test_a_line_cut_off_is_passed_over_and_does_not_spoil_the_next(self, tmp_path):
        RowFile(tmp_path).append(row(prompt="one"))
        path = tmp_path / "rows-0.jsonl"
        whole = path.read_bytes()
        path.write_bytes(whole + whole[:-20])
        assert len(read_rows(tmp_path)) == 1
        RowFile(tmp_path).append(row(prompt="two"))
        assert [key[1] for key in read_rows(tmp_path)] == ["one", "two"]

    def test_a_full_disk_leaves_the_rows_before(self, tmp_path):
        if not os.path.exists("/dev/full"):
            pytest.skip("needs /dev/full")
        file = RowFile(tmp_path)
        file.append(row(prompt="one"))
        file.path = tmp_path / "rows-1.jsonl"
        file.path.symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space"):
            file.append(row(prompt="two"))
        file.path.unlink()
        assert len(read_rows(tmp_path)) == 1

    def test_a_disk_that_takes_half_a_row_gets_a_sentence(self, tmp_path, monkeypatch):
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:5]))
        with pytest.raises(OSError) as caught:
            RowFile(tmp_path).append(row(prompt="one"))
        assert caught.value.filename.endswith("rows-0.jsonl") and "the disk is full" in caught.value.strerror
        assert not read_rows(tmp_path)


class TestReport:
    made = Experiment("table3", "T", (Variant("vanilla", 2), Variant("[1, 2]", 2)), "category", "SD-Turbo",
                      {("vanilla", "avg train"): 0.25})  # fmt: skip

    def test_cells_are_means_with_intervals_over_the_prompts(self):
        rows = [
            row(score=s, prompt=p, category=c) for s, p, c in ((1, "a", "anime"), (3, "b", "anime"), (8, "c", "photo"))
        ]
        found = cells.cells(self.made, [*rows, row("[1, 2]", seed=21, score=5), row("[1, 2]", seed=3)])
        assert list(found) == [
            ("vanilla", "anime train"), ("vanilla", "photo train"), ("vanilla", "avg train"),
            ("[1, 2]", "anime test"), ("[1, 2]", "anime seed-3"), ("[1, 2]", "avg test"), ("[1, 2]", "avg seed-3"),
        ]  # fmt: skip
        assert (
            found["vanilla", "anime train"].values["score"] == 2 and found["vanilla", "avg train"].values["score"] == 4
        )
        assert found["vanilla", "anime train"].intervals["score"] == (1, 3)
        assert "score" not in found["[1, 2]", "anime seed-3"].values

    def test_a_median_has_the_interval_of_a_median(self):
        seconds = [1.0, 1.01, 1.02, 1.03, 60.0]
        found = cells.cells(self.made, [row(prompt=str(i), seconds=s) for i, s in enumerate(seconds)])
        cell = found["vanilla", "avg train"]
        low, high = cell.intervals["seconds"]
        assert cell.values["seconds"] == 1.02 and 1.0 <= low <= 1.02 <= high <= 60
        assert cell.intervals["ssim"] == (1, 1), "the same for every picture"
        quick = cells.cells(self.made, [row(prompt=str(i), seconds=s) for i, s in enumerate(seconds[:4] * 5 + [60.0])])
        assert quick["vanilla", "avg train"].intervals["seconds"][1] < 1.04, "one slow picture moves no median"

    def test_the_draws_of_a_random_order_count_as_one(self):
        made = Experiment(
            "table5", "T", (Variant("vanilla", 2), *(Variant("r", 2, draw=k) for k in range(2))), "category"
        )
        drawn = {("a", 0): 1.0, ("a", 1): 3.0, ("b", 0): 8.0, ("b", 1): 8.0}
        rows = [row(f"r, draw {k + 1}", prompt=p, score=score) for (p, k), score in drawn.items()]
        rows += [row(prompt=p, score=0.0) for p in "ab"]
        found = cells.cells(made, rows)
        assert list(found)[-1] == ("r", "avg train") and made.labels == ("vanilla", "r")
        cell = found["r", "avg train"]
        assert (cell.n, cell.values["score"], cell.intervals["score"]) == (4, 5, (2, 8))
        (only,) = paired.differences(made, rows)
        assert (only.variant, only.prompts, only.minus_vanilla, only.low, only.high) == ("r", 2, 5, 2, 8)

    def test_pairs_are_of_the_same_noise_and_intervals_over_the_prompts(self):
        rows = [
            row(prompt=p, seed=s, score=v) for p, s, v in (("a", 1, 1.0), ("a", 2, 5.0), ("b", 1, 2.0), ("c", 1, None))
        ]
        rows += [
            row("[1, 2]", prompt=p, seed=s, score=v, ssim=0.5)
            for p, s, v in (("a", 1, 2.0), ("a", 2, 8.0), ("b", 1, 1.0))
        ]
        rows += [row("[1, 2]", prompt="c", seed=1, score=9.0), row("[1, 2]", prompt="d", seed=1, score=9.0)]
        (found,) = paired.differences(self.made, rows)
        assert (found.variant, found.steps, found.prompts, found.ssim) == ("[1, 2]", 2, 2, 0.5)
        assert found.minus_vanilla == pytest.approx(((1 + 3) / 2 - 1) / 2) and (found.low, found.high) == (-1, 2)
        assert paired.differences(self.made, rows[:1] + rows[4:5]) == []
        line = next(csv.DictReader(paired.as_csv([found]).splitlines()))
        assert line["minus_vanilla"] == "0.5" and line["prompts"] == "2"
        assert "+0.5000" in "".join(paired.screen([found], "redness 1").columns[3].cells)

    def test_csv_has_ours_and_the_papers(self):
        found = cells.cells(self.made, [row(score=0.5, ssim=0.75)])
        lines = list(csv.DictReader(cells.as_csv(self.made, found).splitlines()))
        assert [line["column"] for line in lines] == ["anime train", "avg train"]
        assert lines[1]["score"] == "0.5" and lines[1]["ssim"] == "0.75" and lines[1]["paper"] == "0.25"
        assert lines[0]["paper"] == "" and lines[0]["pictures"] == "1"

    def test_without_scores_the_distance_is_shown(self):
        found = cells.cells(self.made, [row(ssim=0.75)])
        assert cells.measure_of(self.made, found) == "ssim"
        shown = cells.screen(self.made, found, "none")
        assert "SSIM with vanilla; score: none" in shown.title and "(0.2500)" in "".join(shown.columns[2].cells)


class TestRuns:
    def test_rows_and_files(self, alone):
        rows = alone.rows()
        assert len(rows) == 2 * 2 * 10 == len(alone.keys)
        vanilla = [one for one in rows if one["variant"] == "vanilla"]
        assert all(one["ssim"] == pytest.approx(1) and one["mean_difference"] == 0 for one in vanilla)
        others = [one for one in rows if one["variant"] != "vanilla"]
        assert all(one["mean_difference"] > 0 and 0 < one["score"] < 1 for one in others)
        assert all(one["cosine"] == pytest.approx(1) for one in vanilla) and any(one["cosine"] < 1 for one in others)
        alone.write()
        lines = list(csv.DictReader((alone.folder / "table.csv").read_text(encoding="utf-8").splitlines()))
        assert {line["row"] for line in lines} == set(alone.experiment.labels) and len(lines) == 7 * 6
        lines = list(csv.DictReader((alone.folder / "paired.csv").read_text(encoding="utf-8").splitlines()))
        assert [line["variant"] for line in lines] == [label for label in alone.experiment.labels if label != "vanilla"]
        assert all(float(line["low"]) <= float(line["minus_vanilla"]) <= float(line["high"]) for line in lines)
        assert Image.open(alone.folder / "table.png").width > 500
        about = json.loads((alone.folder / "results.json").read_text(encoding="utf-8"))
        assert about["score"] == "redness 1" and about["revision"] == alone.loaded.revision
        assert about["pictures"] == about["wanted"] == 40 and about["paper_model"] == "SD-Turbo"
        assert [pair["variant"] for pair in about["paired"]] == list(alone.experiment.labels[1:])
        assert about["cells"][0]["row"] == "vanilla" and about["cells"][0]["ssim"] == pytest.approx([1, 1, 1])

    @pytest.mark.slow
    def test_two_processes_make_the_rows_of_one(self, alone, loaded, tmp_path):
        parts = [bench(loaded, tmp_path, place=Share(i, 2)) for i in range(2)]
        parts[1].draw()
        assert 0 < len(parts[0].rows()) < len(parts[0].keys)
        parts[0].draw()
        assert untimed(parts[0].rows()) == untimed(alone.rows())
        assert {path.name for path in tmp_path.glob("rows-*")} == {"rows-0.jsonl", "rows-1.jsonl"}

    def test_it_goes_on_with_another_number_of_processes_and_draws_nothing_twice(self, alone, loaded, tmp_path):
        def stop(done, total):
            if done == 7:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            bench(loaded, tmp_path).draw(stop)
        assert len(read_rows(tmp_path)) == 7
        for i in range(3):
            bench(loaded, tmp_path, place=Share(i, 3)).draw()
        assert untimed(bench(loaded, tmp_path).rows()) == untimed(alone.rows())
        assert sum(path.read_text(encoding="utf-8").count("\n") for path in tmp_path.glob("rows-*")) == 40

    def test_a_batch_gives_the_pictures_of_one_at_a_time(self, alone, loaded, tmp_path):
        together = bench(loaded, tmp_path, batch_size=4, seeds=(42,))
        together.draw()
        one_by_one = {key_of(one): one for one in alone.rows()}
        for one in together.rows():
            assert one["score"] == pytest.approx(one_by_one[key_of(one)]["score"], abs=1 / 255)
            assert one["mean_difference"] == pytest.approx(one_by_one[key_of(one)]["mean_difference"], abs=0.2)

    def test_a_larger_limit_adds_and_other_settings_are_refused(self, loaded, tmp_path):
        small = {"anime": PROMPTS["anime"]}
        bench(loaded, tmp_path, "table4", prompts=small, seeds=(42,), scorer=None).draw()
        grown = bench(loaded, tmp_path, "table4", seeds=(42,), scorer=None)
        calls = []
        grown.draw(lambda done, total: calls.append((done, total)))
        assert calls[0] == (4, 8) and calls[-1] == (8, 8)
        with pytest.raises(ValueError, match=r"rows made with scorer 'none.*', not 'redness 1': .*\.$"):
            bench(loaded, tmp_path, "table4")

    @pytest.mark.parametrize(
        "options", [{"seeds": ()}, {"batch_size": 0}, {"prompts": {"a": ["x" * 3000]}}, {"steps": (99,)}]
    )
    def test_what_cannot_be_drawn_is_said_before_anything_is(self, loaded, tmp_path, options):
        with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
            bench(loaded, tmp_path, **options)
        assert not list(tmp_path.iterdir())

    def test_pictures_are_kept_for_the_sheet(self, loaded, tmp_path):
        made = bench(loaded, tmp_path, "fig1", prompts={"anime": ["a cat"]}, seeds=(42,), steps=(1, 2))
        made.draw()
        assert len(list((tmp_path / "pictures").glob("*.png"))) == len(made.keys)
        made.write()
        assert Image.open(tmp_path / "table.png").height > 500

    @pytest.mark.parametrize(
        "name", ["fig3", "efficiency", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("fig4", "table1"))]
    )
    def test_the_others_run(self, loaded, tmp_path, name):
        steps = (1,) if name != "table1" else (1, 2)
        made = bench(loaded, tmp_path, name, prompts={"anime": ["a cat"]}, seeds=(42,), steps=steps)
        made.draw()
        found, _ = made.write()
        assert len(made.rows()) == len(made.keys) and (tmp_path / "table.png").stat().st_size > 5000
        if name == "fig3":
            whole, static = (found[label, "1 steps"].values["ssim"] for label in ("vanilla", "static 3"))
            assert whole == pytest.approx(1) and static < 1

    def test_a_probe_is_made_once_for_a_prompt(self, loaded, tmp_path):
        ranking = Ranking("probe", tmp_path, runs=1)
        made = bench(loaded, tmp_path / "x", seeds=(42,))
        first = ranking.scores(loaded, made.sampler.request("a cat", 42, 1))
        (path,) = tmp_path.glob("*.json")
        changed = path.stat().st_mtime_ns
        assert (ranking.scores(loaded, made.sampler.request("a cat", 21, 1)) == first).all()
        assert [path.stat().st_mtime_ns] == [changed] and len(list(tmp_path.glob("*.json"))) == 1
        with pytest.raises(ValueError, match=r"choose one of probe, shipped, empirical\.$"):
            Ranking("guess", tmp_path)


class TestCommands:
    def test_a_table_from_the_command_line_and_again(self, sd_folder, tmp_path):
        arguments = [
            "bench", "table1", "--model", str(sd_folder), "--limit", "1", "--seeds", "42", "--steps", "1",
            "--importance", "empirical", "--device", "cpu", "--out", str(tmp_path),
        ]  # fmt: skip
        first = CliRunner().invoke(app, arguments)
        assert first.exit_code == 0, first.exception
        assert "blk-6" in first.stdout and "score: none" in first.stdout and "SSIM" in first.stdout
        rows = (tmp_path / "table1" / "rows-0.jsonl").read_text(encoding="utf-8")
        assert rows.count("\n") == 4 * 8
        again = CliRunner().invoke(app, arguments)
        assert (
            again.stdout == first.stdout and (tmp_path / "table1" / "rows-0.jsonl").read_text(encoding="utf-8") == rows
        )
        assert {path.name for path in (tmp_path / "table1").iterdir()} == {
            "rows-0.jsonl", "settings.json", "table.csv", "table.png", "results.json",
        }  # fmt: skip

    def test_every_command_is_there(self):
        said = CliRunner().invoke(app, ["bench", "--help"]).stdout
        assert all(name in said for name in (*NAMES, "table2", "plan"))

    def test_processes_are_told_by_the_launcher(self, monkeypatch):
        assert share() == Share(0, 1)
        monkeypatch.setenv("RANK", "3")
        monkeypatch.setenv("WORLD_SIZE", "8")
        assert share() == Share(3, 8)

    def test_lists_of_numbers(self):
        assert whole_numbers("42, 21,42", "seeds") == (42, 21) and whole_numbers("", "steps") == ()
        with pytest.raises(ValueError, match=r"The seeds are whole numbers such as 1,2,3, not 'a'\.$"):
            whole_numbers("a", "seeds")


class TestPlan:
    def test_time_is_pictures_and_probes(self, loaded):
        pace = Pace(fixed=1.0, step=0.5, memory=0)
        drawing, probing = seconds_for("table4", loaded, pace, items=10, prompts=5, steps=(2,), runs=3)
        assert drawing == 10 * 4 * 2.0 and probing == 5 * 3 * 20 * 2 * 0.5
        assert seconds_for("table1", loaded, pace, 10, 5, (2,))[1] == 0

    def test_durations(self):
        assert [duration(s) for s in (5, 90, 5400, 200000)] == ["5 seconds", "1.5 minutes", "1.5 hours", "2.3 days"]
