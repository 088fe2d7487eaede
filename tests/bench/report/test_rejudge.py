"""Records judged again as by the run that wrote them, without running a cell; and what rules say under three truths."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from bench import reproduce
from bench.cells.store import Store
from bench.datasets.load import Provenance
from bench.errors import InputError
from bench.judge.bars import TRUTHS
from bench.judge.claims import REGISTER, read_register
from bench.plan.presets import PRESETS, find_preset, narrow
from bench.plan.setup import Setup
from bench.report.compare import compare
from bench.report.rejudge import judge_folder, relative_sizes, restored, show_severity
from bench.report.run_files import read_run
from bench.report.write import Made, write
from tests.strategies import damages

NAMES = ("variance", "positive_control")  # the last plans further cells on results
SMOKE = PRESETS["smoke"]
SMALL = replace(
    SMOKE,
    structure=replace(SMOKE.structure, draws=6, nodes=(6,), samples=(20, 200), stress_nodes=6),
    control=replace(SMOKE.control, items=12, users=20, length=6, width=8, epochs=1, fresh=20), control_worlds=(1, 2),
)
FILMS = Provenance(
    "ml-100k", "ml-100k/u.data", "0" * 64, "found here", "a reader", "by time", "kept", 5, 5, {"users": 9}, "1" * 64
)
ASKED = Setup(
    narrow(SMALL, seeds=3), 3, "cpu", {"ml-100k": FILMS}, {"beauty": "it is not there"}, split="temporal",
    learners=("golem_ev",), recommenders=("mine:Last",), rectools="0.1", perturb=1e-6,
)  # fmt: skip


def draw(path: Path) -> Path:
    """In the place of a picture, which would take most of the time."""
    path.write_text('<svg viewBox="0 0 9 9"/>')
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Iterator[tuple[Path, Path]]:
    """A results folder that holds records, and the folder of the run that wrote them."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "smoke", SMALL)
        patch.setattr("bench.report.write.write_figure", lambda figure, to: [draw(to / f"{figure.name}.svg")])
        setup = Setup(narrow(SMALL, seeds=3), 3, "cpu", missing={"beauty": "it is not there"})
        run = reproduce.walk(setup, NAMES, Store(out), jobs=1)
        assert run.failures == ()
        write(run, out / "smoke-seed3", Made("as it was called", "then", 9.0, {"cpu": "of another machine"}))
        yield out, out / "smoke-seed3"


@pytest.fixture(autouse=True)
def no_cell_runs(ran, monkeypatch) -> None:
    def refuse(*_, **__):
        raise AssertionError("a cell runs")

    for name in ("execute", "run_cells"):
        monkeypatch.setattr(reproduce, name, refuse)
    monkeypatch.setenv("CAUSALREC_DATA", "nowhere")


def document(folder: Path) -> dict:
    """What a run's file tells, without how it was made."""
    told = json.loads((folder / "run.json").read_text())
    del told["made"]
    return told


def verdicts(told: dict) -> dict[str, str]:
    return {verdict["claim"]: verdict["verdict"] for verdict in told["verdicts"]}


# Judged again


def test_records_are_judged_as_by_the_run_that_wrote_them(ran, tmp_path, call):
    out, folder = ran
    mine = document(folder)
    assert verdicts(mine)["unequal-variance-breaks"] not in ("not run", "no effect")
    for place in ran:
        assert list(judge_folder(place).messages) == [
            f"judged {mine['cells']} cells of {folder / 'run.json'}, 0 without a record"
        ]  # fmt: skip
        code, told, _ = call("judge", place, "--out", tmp_path / "again", "--json")
        written = json.loads((tmp_path / "again" / "run.json").read_text())
        assert (code, json.loads(told)) == (0, written)
        assert written.pop("made")["command"] == "as it was called"
        assert written == mine
    for name in ("tables/verdicts.csv", "tables.md", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert list(out.glob("*/run.json")) == [folder / "run.json"]


def test_an_edited_register_gives_another_verdict_which_is_not_compared_unasked(ran, tmp_path):
    _, folder = ran
    text = REGISTER.read_text()
    edited = tmp_path / "claims.toml"
    sesoi = 'sesoi = 1.0\nreason = "one edge of forty'
    assert text.count(sesoi) == 1
    edited.write_text(text.replace(sesoi, sesoi.replace("1.0", "1e6")))
    judge_folder(folder, tmp_path / "edited", register=read_register(edited))
    before, after = document(folder), document(tmp_path / "edited")
    changed = {claim for claim, verdict in verdicts(after).items() if verdict != verdicts(before)[claim]}
    assert changed == {"unequal-variance-breaks"}
    assert verdicts(after)["unequal-variance-breaks"] == "no effect"
    assert after["register"]["sha256"] != before["register"]["sha256"]
    runs = read_run(tmp_path / "edited"), read_run(folder)
    with pytest.raises(InputError, match="was judged by register"):
        compare(*runs)
    found = compare(*runs, across_registers=True)
    assert len(found.differing) + len(found.within_noise) == 1


def test_what_has_no_record_is_told_and_judged_as_not_run(ran, tmp_path):
    _, folder = ran
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "records").mkdir()
    answer = judge_folder(tmp_path)
    assert set(verdicts(answer.document).values()) == {"not run"}
    count = answer.document["cells"]
    told, changed = answer.messages
    assert told == f"judged {count} cells of {tmp_path / 'run.json'}, {count} without a record"
    before = {claim: said for claim, said in verdicts(document(folder)).items() if said != "not run"}
    assert changed.startswith(f"{len(before)} verdicts are others than when {tmp_path / 'run.json'} was written: ")
    assert all(f"{claim} ({said}, now not run)" in changed for claim, said in before.items())


# What a setup is restored from


def test_a_setup_comes_back_whole_from_its_run(ran, tmp_path):
    out, _ = ran
    run = reproduce.rejudge(replace(ASKED, recommenders=()), (), Store(out))
    write(replace(run, setup=ASKED), tmp_path)
    assert restored(read_run(tmp_path)) == ASKED


def put(folder: Path, told: dict) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda told: told.update(preset="huge"), "preset 'huge' is unknown"),
        (lambda told: told["asked"].pop("real"), "its setup cannot be restored .*'real'.*; run it anew"),
        (lambda told: told["asked"].update(real=3), "its setup cannot be restored"),
        (lambda told: told["asked"]["real"].update(seeds="x"), "its setup cannot be restored .*seeds"),
        (lambda told: told["asked"].pop("split"), "its setup cannot be restored .*split"),
        (lambda told: told["asked"].update(of_another_version=1), "its setup cannot be restored .*of_another_version"),
        (lambda told: told.update(datasets={"ml-100k": {"name": "ml-100k"}}), "its setup cannot be restored"),
        (lambda told: told.update(experiments=["proof"]), "experiment 'proof' is unknown"),
    ],
)
def test_a_run_whose_setup_cannot_be_restored_is_refused(ran, tmp_path, edit, why):
    told = json.loads((ran[1] / "run.json").read_text())
    edit(told)
    (put(tmp_path, told) / "records").mkdir()
    with pytest.raises(InputError, match=why):
        judge_folder(tmp_path)


@given(damages(json.dumps(ASKED.asked)))
def test_a_damaged_setup_is_refused_in_one_line_or_restored(ran, text):
    whole = document(ran[1]) | {"asked": "here", "tables": [], "details": [], "figures": []}
    with TemporaryDirectory() as place:
        (Path(place) / "run.json").write_text(json.dumps(whole).replace('"here"', text))
        try:
            assert restored(read_run(Path(place))).root == 3
        except InputError as error:
            told = str(error)
            assert told.startswith(f"{place}/run.json: ")
            assert told.isprintable()


def test_a_folder_without_a_run_or_its_records_is_refused(ran, tmp_path, call):
    told = document(ran[1])
    with pytest.raises(InputError, match="holds no run; name a folder that"):
        judge_folder(tmp_path)
    put(tmp_path / "one", told)
    code, out, err = call("judge", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path}/one has neither records nor archives; name the folder that")


def test_every_run_of_a_folder_is_judged(ran, tmp_path, call):
    shutil.copytree(ran[0] / "records", tmp_path / "records")
    mine = document(ran[1])
    for name in ("one", "two"):
        put(tmp_path / name, mine)
    code, out, err = call("judge", tmp_path, "--out", tmp_path / "again", "--json")
    told = json.loads(out)
    assert (code, list(told)) == (0, ["one", "two"])
    for name in told:
        assert verdicts(told[name]) == verdicts(mine)
        assert json.loads((tmp_path / "again" / name / "run.json").read_text()) == told[name]
        assert f"judged {mine['cells']} cells of {tmp_path / name / 'run.json'}, 0 without a record" in err


# Could it have come out otherwise?


def test_severity_tells_what_comes_out_for_every_claim_but_checks_under_every_truth(ran, call):
    code, out, err = call("severity", "--preset", "standard", "--run", ran[1], "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    claims = [claim.id for claim in read_register().claims.values() if claim.kind in ("test", "theory")]
    assert [(chance["claim"], chance["truth"]) for chance in told] == [(c, truth) for c in claims for truth in TRUTHS]
    for chance in told:
        assert set(chance) == {"claim", "truth", "outcomes", "right"}
        assert sum(chance["outcomes"].values()) == pytest.approx(1)
        assert 0 <= chance["right"] <= 1
    (table,) = show_severity("standard", ran[1]).tables
    assert [row[0] for row in table.rows] == claims
    assert table.rows[0][2:5] == tuple(chance["right"] for chance in told[:3])


@pytest.mark.parametrize(("preset", "least"), [("quick", 0.5), ("hour", 0.5), ("standard", 0.8)])
def test_a_rule_comes_out_right_often_enough_or_the_register_says_why_it_cannot(preset, least):
    answer, claims = show_severity(preset), read_register().claims
    assert f"reference/{'quick' if preset == 'quick' else 'hour'}" in answer.tables[0].note
    left = {"alpha-window", "boost-beats-filter", "false-edges-hurt", "lambda-saturates"}
    missing = left if preset == "quick" else set()
    assert {told["claim"] for told in answer.document} == {n for n, c in claims.items() if c.kind != "check"} - missing
    assert all(name in answer.tables[0].note for name in missing)
    weak = {told["claim"] for told in answer.document if told["right"] < least}
    assert weak <= {name for name, claim in claims.items() if claim.cap}
    assert all(told["right"] > 0 for told in answer.document)


def test_a_preset_has_as_many_times_the_units_of_a_smaller_one():
    quick = find_preset("quick")
    assert set(relative_sizes(quick, quick).values()) == {1.0}
    twice = replace(quick, structure=replace(quick.structure, draws=2 * quick.structure.draws))
    assert {name: times for name, times in relative_sizes(twice, quick).items() if times != 1} == {"draws": 2.0}
