"""From the command to verdicts and files, end to end; nothing but times may depend on workers or interruption."""

import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

import cli
from bench import reproduce
from bench.cells.files import StoreError
from bench.cells.fingerprint import ROOT
from bench.cells.store import Store
from bench.experiments import EXPERIMENTS
from bench.judge.claims import REGISTER, read_register
from bench.plan.presets import PRESETS
from bench.plan.setup import make_setup
from bench.plan.sizes import World
from bench.report.write import document as document_of
from bench.report.write import write
from bench.runners import execute
from bench.show.figures import Curves
from bench.show.tables import Table
from causalrec.methods.fit import SPLITS
from tests.bench import faulty_runner
from tests.bench.faulty_runner import WHY

IDS = tuple(read_register().claims)
TIMES = ("CPU s", "CPU ms a graph", "CPU s of one", "CPU s of the other")
COMMAND = [sys.executable, str(ROOT / "cli.py"), "reproduce", "--preset", "smoke"]


def numbers(document: dict) -> dict:
    """A run's document without what may differ: times and what rests on them, when and where it was made."""
    tables = {}
    for table in document["tables"]:
        timed = table["name"] == "cost"  # all of it but the names of the forms
        kept = [at for at, column in enumerate(table["columns"]) if column not in TIMES and not (timed and at)]
        tables[table["title"]] = [[row[at] for at in kept] for row in table["rows"]]
    rest = {name: value for name, value in document.items() if name not in ("tables", "made", "environment")}
    return rest | {"tables": tables}


def unmade(document: dict) -> dict:
    """A run's document without when and for how long it was made, and by which command."""
    return {name: value for name, value in document.items() if name != "made"}


# The smoke preset, as a user runs it


def call(out: Path, *more: str) -> subprocess.CompletedProcess:
    where = os.environ | {"CAUSALREC_DATA": str(out / "no data")}
    return subprocess.run([*COMMAND, "--out", out, *more], capture_output=True, timeout=600, check=False, env=where)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    out = tmp_path_factory.mktemp("smoke")
    done = call(out)
    assert done.returncode == 0, done.stderr.decode()
    return out, done


def test_stdout_is_a_row_per_claim_and_stderr_progress(smoke):
    out, done = smoke
    shown, told = done.stdout.decode(), done.stderr.decode()
    document = json.loads((out / "smoke-seed0" / "run.json").read_text())
    assert all(f"\n{name}  " in shown for name in IDS)
    assert len(shown.splitlines()) <= 60
    assert str(out / "smoke-seed0" / "report.html") in shown
    count = document["cells"]
    assert told.splitlines()[-1] == f"{count} cells, 0 failed; report: {out / 'smoke-seed0' / 'report.html'}"
    stages = re.findall(r"^(\d+)/\1 cells, \1 done$", told, re.MULTILINE)
    assert sum(map(int, stages)) == count
    assert "cells," not in shown
    assert "\x1b" not in shown + told


def test_files_exist_and_parse(smoke):
    out, _ = smoke
    folder = out / "smoke-seed0"
    document = json.loads((folder / "run.json").read_text())
    assert (document["preset"], document["seed"], document["device"], document["failed"]) == ("smoke", 0, "cpu", 0)
    assert [verdict["claim"] for verdict in document["verdicts"]] == list(IDS)
    assert {verdict["verdict"] for verdict in document["verdicts"]} > {"not run"}
    assert document["headline"].startswith("Of 12 tests: ")
    assert document["environment"]["torch"]
    assert document["register"]["sha256"] == hashlib.sha256(REGISTER.read_bytes()).hexdigest()
    made = document["made"]
    assert made["command"].startswith(f"python cli.py reproduce --preset smoke --out {out}")
    assert datetime.fromisoformat(made["started"]).tzinfo is not None
    assert made["duration_s"] > 0
    names = [table["name"] for table in document["tables"]]
    assert names[-1] == "verdicts"
    assert len(set(names)) == len(names)
    found = {path.stem for path in (folder / "tables").glob("*.csv")}
    filed = ("recovery", "sizes", "recommend", "limits", "attribution", "mixing", "phone_cable", "multiverse")
    assert found - {"misses_all"} == {*names, *(f"{name}_all" for name in filed)}  # there is one only where one missed
    for path in (folder / "tables").glob("*.csv"):
        rows = list(csv.reader(path.read_text().splitlines()))
        assert len(rows) >= 2
        assert len({len(row) for row in rows}) == 1
    readable = (folder / "tables.md").read_text()
    assert readable.startswith("**Verdicts on CausalRec")
    drawn = sorted(folder.glob("figures/*"))
    assert {path.stem for path in drawn} >= {"recovery_rate_by_n", "recovery_shd_by_n"}
    for stem in {path.stem for path in drawn}:
        assert {path.suffix for path in drawn if path.stem == stem} == {".svg", ".png", ".csv"}
        assert f"](figures/{stem}.svg)" in readable
    assert set(re.findall(r"\]\((.*?)\)", readable)) == {str(path.relative_to(folder)) for path in drawn}
    rates = list(csv.DictReader((folder / "figures" / "recovery_rate_by_n.csv").read_text().splitlines()))
    table = (folder / "tables" / "recovery_rate.csv").read_text().splitlines()
    for row in csv.DictReader(table):
        shown = [r for r in rates if r["series"] == "EqVar" and r["samples n"] == f"{row['n']}.0"]
        assert [r["share of graphs"] for r in shown] == ([row["EqVar"]] if row["n"] != "exact" else [])
    assert not list(folder.rglob("*.tmp"))
    assert len(list(Store(out).records())) == document["cells"]
    assert all(record.ok and record.provenance["python"] for record in Store(out).records())


def test_a_second_run_finds_every_cell_and_prints_the_same_bytes(smoke):
    out, done = smoke
    before = json.loads((out / "smoke-seed0" / "run.json").read_text())
    drawn = {path: path.read_bytes() for path in out.glob("smoke-seed0/figures/*")}
    again = call(out)
    assert again.stdout == done.stdout
    assert unmade(json.loads((out / "smoke-seed0" / "run.json").read_text())) == unmade(before)
    assert drawn == {path: path.read_bytes() for path in out.glob("smoke-seed0/figures/*")} != {}
    stages = re.findall(r"^(\d+)/\1 cells, \1 cached$", again.stderr.decode(), re.MULTILINE)
    assert sum(map(int, stages)) == before["cells"]


def test_json_is_one_document_and_nothing_else(smoke):
    out, _ = smoke
    done = call(out, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((out / "smoke-seed0" / "run.json").read_text())
    assert done.stdout.count(b"\n") == 1


def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(smoke, tmp_path):
    """Killed on one worker, ended on two."""
    command = [*COMMAND, "--out", tmp_path, "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("records/??/*.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = len(list(tmp_path.glob("records/??/*.json")))
    assert not (tmp_path / "smoke-seed0").exists()
    done = call(tmp_path, "--jobs", "2")
    assert done.returncode == 0
    first, second = (json.loads((out / "smoke-seed0" / "run.json").read_text()) for out in (smoke[0], tmp_path))
    assert 5 <= kept < first["cells"]
    assert f"{kept} cached" in done.stderr.decode() or f"{kept + 1} cached" in done.stderr.decode()
    assert numbers(second) == numbers(first)


# A smaller preset with data, in this process

TINY = replace(
    PRESETS["smoke"],
    structure=replace(
        PRESETS["smoke"].structure, draws=5, nodes=(6,), samples=(20, 200), stress_nodes=6, placement_nodes=(6,),
        features=(32,),
    ),
    world=World(items=15, users=60, length=8, width=8, epochs=1),
    sweep=World(items=15, users=60, length=8, width=8, epochs=1),
    real=replace(PRESETS["smoke"].real, datasets=("ml-100k", "beauty"), length=8, width=8, epochs=1, splits=SPLITS),
)  # fmt: skip
NAMES = ("recovery", "recommend")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Iterator[Path]:
    """An ml-100k of 40 users, and no beauty."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "ml-100k").mkdir()
    acts = [(user, step) for user in range(40) for step in range(9)]
    rows = [f"{user}\t{1 + (user * 5 + step * step) % 18}\t3\t{40 * step + user}\n" for user, step in acts]
    (folder / "ml-100k" / "u.data").write_text("".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAUSALREC_DATA", str(folder))
        yield folder


def walk(folder: Path, data: Path, jobs: int = 2, root: int = 0, names=NAMES) -> reproduce.Run:
    return reproduce.walk(make_setup(TINY, root, data), names, Store(folder), jobs)


@pytest.fixture(scope="module")
def tiny(data, tmp_path_factory) -> reproduce.Run:
    return walk(tmp_path_factory.mktemp("tiny"), data)


def test_real_data_are_tuned_on_every_seed_under_every_split(tiny):
    document = document_of(tiny)
    assert list(document["datasets"]) == ["ml-100k"]
    (table,) = [table for table in document["tables"] if table["name"] == "recommend"]
    seeds = {tuple(row[:2]): row[table["columns"].index("seeds")] for row in table["rows"]}
    for data in ("ml-100k", "ml-100k, temporal split"):
        assert {seeds[data, model] for model in ("SASRec", "CausalRec", "CausalRec, alpha = 0 (twin)")} == {"2"}
    assert {name for _, name in seeds} == {
        "popularity (control)", "item-kNN (control)", "Markov chain (control)", "EASE (control)", "TALE (control)",
        "SASRec", "SASRec, uniform attention (control)", "CausalRec", "CausalRec, alpha = 0 (twin)", "best possible",
    }  # fmt: skip
    found = [f for v in document["verdicts"] if v["claim"] == "beats-each-rival" for f in v["findings"]]
    told = r"; SASRec's loss in NDCG@10: shuffled histories .* %, uniform attention .* %; .*temporal split"
    assert [f["where"] for f in found] == ["SASRec, ml-100k"]  # controls gate, and judge nothing
    assert all(re.search(told, f["rests_on"]) for f in found)


def test_every_table_and_figure_names_its_experiment(tiny):
    document = document_of(tiny)
    parts = [part for kind in ("tables", "details", "figures") for part in document[kind]]
    made = {(part["name"], part["experiment"]) for part in parts}
    assert made >= {("recovery_shd", "recovery"), ("recovery_all", "recovery"), ("recommend", "recommend")}
    assert {name for name, experiment in made if experiment not in NAMES} == {"verdicts", "claims"}
    drawn = [figure["experiment"] for figure in document["figures"][:-1]]
    assert drawn == [name for name in NAMES for experiment in drawn if experiment == name]
    assert set(drawn) == set(NAMES)
    assert len(drawn) + 1 == len(tiny.figures)


def test_a_missing_dataset_is_said_and_is_no_failure(tiny):
    assert tiny.failures == ()
    document = document_of(tiny)
    assert "Amazon Beauty is not there" in document["missing"]["beauty"]
    (verdict,) = [v for v in document["verdicts"] if v["claim"] == "beats-rivals"]
    assert "Amazon Beauty is not there: sought" in verdict["note"]


def test_one_worker_or_two_the_numbers_are_equal(tiny, data, tmp_path):
    alone = walk(tmp_path, data, jobs=1)
    assert numbers(document_of(alone)) == numbers(document_of(tiny))
    assert alone.figures == tiny.figures != ()


def test_another_seed_gives_other_numbers(tiny, data, tmp_path):
    """In every table of recovery, and in what its verdict rests on; one seed again gives the same."""
    mine, other = (document_of(walk(tmp_path, data, jobs=1, root=root, names=NAMES[:1])) for root in (0, 1))
    first, second = numbers(mine)["tables"], numbers(other)["tables"]
    assert first.keys() == second.keys()
    assert all(rows != second[title] for title, rows in first.items())
    whole = numbers(document_of(tiny))["tables"]
    assert all(rows == whole[title] for title, rows in first.items() if not title.startswith("Verdicts"))


def test_a_folder_that_cannot_be_written_is_an_input_error(tiny, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match=r"taken/run\.json: .*; choose another place, free space"):
        write(tiny, tmp_path / "taken")


def test_a_figures_title_is_text_in_markdown(tiny, tmp_path):
    title = "a](x) <b> *c* `d` [e] \\"
    figure = Curves("odd", title, "x", "y", ())
    write(replace(tiny, figures=(figure,)), tmp_path)
    readable = (tmp_path / "tables.md").read_text()
    escaped = r"a\](x) \<b\> \*c\* \`d\` \[e\] \\"
    assert f"\n**{escaped}**\n\n![{escaped}](figures/odd.svg)\n\n" in readable
    assert readable.endswith("\n[PNG](figures/odd.png), [CSV](figures/odd.csv)\n")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["odd.csv", "odd.png", "odd.svg"]


def test_a_text_that_is_no_unicode_is_escaped_in_every_file(tiny, tmp_path):
    """Such as the name of a file, or what an error told of it."""
    odd = os.fsdecode(b"a\xff.csv")
    table = Table("odd", odd, ("what", odd), ((odd, 1),), odd)
    setup = replace(tiny.setup, missing={odd: f"{odd} is bad"})
    run = replace(tiny, setup=setup, tables=(table,), details=(table,), figures=(Curves("odd", odd, odd, odd, ()),))
    for path in write(run, tmp_path):
        assert path.suffix == ".png" or path.read_bytes().decode()
    document = json.loads((tmp_path / "run.json").read_text())
    assert document == document_of(run)
    assert document["missing"] == {r"a\udcff.csv": r"a\udcff.csv is bad"}
    assert document["tables"][0]["rows"] == [[r"a\udcff.csv", 1]]
    for name in ("tables.md", "tables/odd.csv", "report.html"):
        assert r"\udcff.csv" in (tmp_path / name).read_text()


# Cells that fail


def command(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["cli.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err


def test_failed_cells_are_listed_and_verdicts_say_so(monkeypatch, capsys, data, tmp_path):
    monkeypatch.setitem(PRESETS, "smoke", TINY)
    monkeypatch.setattr(reproduce, "execute", faulty_runner.execute)
    arguments = ("run", "variance", "--preset", "smoke", "--out", tmp_path, "--jobs", "1")
    code, out, err = command(monkeypatch, capsys, *arguments)
    document = json.loads((tmp_path / "smoke-seed0-variance" / "run.json").read_text())
    assert code == 3
    assert "Traceback" not in out + err
    assert err.splitlines()[-1].startswith(f"{document['cells']} cells, 2 failed; report: ")
    (table,) = [table for table in document["tables"] if table["name"] == "failures"]
    cells = [f"notears on er2, 6 nodes, n = 1000, profile {profile}, ratio 16.0" for profile in ("rising", "falling")]
    assert table["rows"] == [[cell, "failed", f"ValueError: {WHY}"] for cell in cells]
    assert all(f"failed: {cell}: ValueError: {WHY}" in err for cell in cells)
    assert "Cells that failed" in out

    (verdict,) = [v for v in document["verdicts"] if v["claim"] == "unequal-variance-breaks"]
    assert verdict["note"] == f"2 of the {document['cells']} cells of variance failed"
    judged = {finding["where"] for finding in verdict["findings"]}
    assert judged == {"EqVar, random", "EqVar, rising", "EqVar, falling", "NOTEARS, random"}

    monkeypatch.setattr(reproduce, "execute", execute)
    code, out, err = command(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "2 done" in err
    assert "Cells that failed" not in out
    assert "cells of variance failed" not in out


def test_cells_out_of_time_are_failures(monkeypatch, capsys, data, tmp_path):
    monkeypatch.setitem(PRESETS, "smoke", replace(TINY, timeout=1e-3))
    code, out, _ = command(monkeypatch, capsys, "run", "discovery", "--preset", "smoke", "--out", tmp_path, "--json")
    document = json.loads(out)
    assert (code, document["failed"], document["cells"]) == (3, 2, 2)
    (table,) = [table for table in document["tables"] if table["name"] == "failures"]
    assert {row[1] for row in table["rows"]} == {"timed_out"}
    (verdict,) = [v for v in document["verdicts"] if v["claim"] == "discovery-recovers"]
    assert (verdict["verdict"], verdict["note"]) == ("not run", "2 of the 2 cells of discovery failed")
    assert (tmp_path / "smoke-seed0-discovery" / "run.json").exists()


def test_every_experiment_runs_by_name_alone(smoke, monkeypatch, capsys):
    """From the records of the whole run, so that nothing is computed."""
    monkeypatch.setenv("CAUSALREC_DATA", "none")
    whole = json.loads((smoke[0] / "smoke-seed0" / "run.json").read_text())
    verdicts = {verdict["claim"]: verdict for verdict in whole["verdicts"]}
    for name in EXPERIMENTS:
        code, out, err = command(monkeypatch, capsys, "run", name, "--preset", "smoke", "--out", smoke[0], "--json")
        assert code == 0
        assert "done" not in err
        for verdict in json.loads(out)["verdicts"]:
            if verdict["verdict"] != "not run":  # why it came so may be another experiment's
                shut = ("note",) if verdict["verdict"] == "not testable here" else ()  # whose gate is another's
                assert verdict == verdicts[verdict["claim"]] | {of: verdict[of] for of in ("why", *shut)}
                assert verdict["why"] in ("", verdicts[verdict["claim"]]["why"])
