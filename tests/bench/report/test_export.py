"""A run as RO-Crate and Croissant: read back by the libraries that define them, the same bytes each time."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from bench.cells.store import Store
from bench.errors import InputError
from bench.report.export import export_run
from bench.report.run_files import REFERENCE
from tests.bench.report.test_records import put


@pytest.fixture
def run(tmp_path) -> Path:
    """A results folder with the reference run and records beside it."""
    folder = tmp_path / "runs" / "quick-seed0"
    shutil.copytree(REFERENCE / "hour", folder, ignore=shutil.ignore_patterns("*.png", "*.svg"))
    store = Store(folder.parent)
    put(store, 0, mean=0.5, told="=SUM(A1)")
    put(store, 1, mean=1e-300)
    put(store, 2, "failed")
    (folder / "figures" / "secret.csv").write_text("not of the run")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_crate_says_what_every_file_is_and_is_the_same_each_time(run, tmp_path):
    crates = pytest.importorskip("rocrate.rocrate", reason="rocrate is not installed")
    for name in ("a", "b"):
        export_run(run, "ro-crate", tmp_path / name)
    held = contents(tmp_path / "a")
    assert held == contents(tmp_path / "b")
    crate = crates.ROCrate(tmp_path / "a")
    listed = {entity.id for entity in crate.data_entities if entity.type == "File"}
    assert listed | {"ro-crate-metadata.json"} == {name for name in held if not name.startswith("records/")}
    assert {"run.json", "tables.md", "tables/verdicts.csv"} <= listed
    assert "figures/secret.csv" not in held
    assert all(entity["description"] for entity in crate.data_entities)
    assert {n: held[n] for n in held if n.startswith("records/")} == {
        f"records/{name}": text for name, text in contents(run.parent / "records").items()
    }
    told = json.loads((run / "run.json").read_text())
    assert crate.license.id == "https://spdx.org/licenses/MIT"
    assert crate.root_dataset["citation"]["identifier"] == "arXiv:2510.21333"
    films = crate.dereference("#ml-100k")
    assert films["sha256"] == told["datasets"]["ml-100k"]["file_sha256"]
    assert films["url"].startswith("https://grouplens.org/")


@pytest.mark.filterwarnings("ignore")
def test_croissant_validates_what_is_written_and_reads_records_and_datasets(run, tmp_path):
    mlc = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    for name in ("a", "b"):
        assert export_run(run, "croissant", tmp_path / name).startswith("Croissant description of 3 records")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    data = mlc.Dataset(tmp_path / "a" / "croissant.json")
    assert not data.metadata.ctx.issues.errors
    means = [row["records/metrics.mean"] for row in data.records("records")]
    assert {0.5, 1e-300} < set(means)
    assert len(means) == 3
    assert "ml-100k" in {row["datasets/name"] for row in data.records("datasets")}


def test_what_cannot_be_exported_is_one_line(run, tmp_path, monkeypatch):
    for folder, form, told in ((None, "ro-crate", "give --as"), (run, None, "give --as"), (run, "zip", "give --as"),
                               (tmp_path / "no", "ro-crate", "no such file|not installed")):  # fmt: skip
        with pytest.raises(InputError, match=told):
            export_run(folder, form, tmp_path / "out")
    for name in ("rocrate.rocrate", "mlcroissant"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "rocrate.model", None)
    for form in ("ro-crate", "croissant"):
        with pytest.raises(InputError, match=r"is not installed; pip install -c constraints\.txt -e \"\.\[export\]\""):
            export_run(run, form, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(run, tmp_path):
    pytest.importorskip("rocrate", reason="rocrate is not installed")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        export_run(run, "ro-crate", tmp_path / "out")
