"""A run for others to cite and load: an RO-Crate of its files, a Croissant description of its records and datasets.

The libraries that write these formats are imported only here, when asked for.
"""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from bench.cells.files import read_file, typed, write_file, write_json
from bench.cells.store import LARGEST, Store
from bench.datasets.catalogue import DATASETS
from bench.errors import InputError
from bench.report import records
from bench.report.page import REPORT
from bench.report.run_files import NAME, RunFile, read_run
from bench.text import short

SUITE = "causalrec-repro"
LICENCE = "https://spdx.org/licenses/MIT"
PAPER = "https://arxiv.org/abs/2510.21333"
PAPER_TITLE = "CausalRec: A CausalBoost Attention Model for Sequential Recommendation"
MISSING = '{} is not installed; pip install -c constraints.txt -e ".[export]"'
FORMATS = {
    ".json": "application/json", ".md": "text/markdown", ".html": "text/html", ".csv": "text/csv",
    ".tex": "application/x-tex", ".svg": "image/svg+xml", ".png": "image/png", ".pdf": "application/pdf",
}  # fmt: skip
TABLES, PICTURES = ("tables/{}.csv", "tables/{}.tex"), ("{}.svg", "{}.png", "{}.csv", "paper/{}.pdf")


def export_run(folder: Path | None, form: str | None, out: Path) -> str:
    """Write a run in a form for others.

    Args:
        folder: of the run.
        form: "ro-crate" or "croissant".
        out: folder to write.

    Returns:
        What was written, in words.

    Raises:
        InputError: no run or no such form was named; or as `write_crate` and `write_croissant`.
    """
    if folder is None or form not in ("ro-crate", "croissant"):
        said = f"--as {short(form or '')} --run {folder or ''}"
        raise InputError(f"{said}: give --as ro-crate or croissant, and with --run the folder of a run")
    if form == "ro-crate":
        return f"RO-Crate with {write_crate(folder, out)} files of the run in {out}"
    return f"Croissant description of {write_croissant(folder, out)} records in {out}"


def write_crate(run_folder: Path, out: Path) -> int:
    """Write a run as an RO-Crate: its files, the records beside it, and what each of them is.

    Args:
        run_folder: of the run; records are taken from `records` there or beside it, where there are any.
        out: folder of the crate, which must not exist or be empty.

    Returns:
        How many files it describes.

    Raises:
        InputError: no such run, `out` holds something or cannot be written, or rocrate is missing.
    """
    try:
        from rocrate.model import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        raise InputError(MISSING.format("rocrate")) from error
    run = read_run(run_folder)
    _empty(out)
    crate = ROCrate()
    made = run.made.started or datetime.fromtimestamp(int(run.path.stat().st_mtime), UTC).isoformat()
    licence = crate.add(ContextEntity(crate, LICENCE, {"@type": "CreativeWork", "name": "MIT License"}))
    paper = {"@type": "ScholarlyArticle", "name": PAPER_TITLE, "identifier": "arXiv:2510.21333", "url": PAPER}
    suite = {"@type": "SoftwareApplication", "name": SUITE, "version": run.made.version or "unknown"}
    article = crate.add(ContextEntity(crate, PAPER, paper))
    software = crate.add(ContextEntity(crate, f"#{SUITE}", suite | {"license": licence}))
    data = [crate.add(ContextEntity(crate, f"#{row['name'].replace(' ', '-')}", {"@type": "Dataset"} | _known(row)))
            for row in _datasets(run)]  # fmt: skip
    action = {
        "@type": "CreateAction", "name": _title(run), "description": run.made.command or "command line not known",
        "startTime": made, "instrument": software, "object": data, "result": crate.root_dataset,
    }  # fmt: skip
    crate.root_dataset["mentions"] = [crate.add(ContextEntity(crate, "#run", action)), *data]
    crate.root_dataset["citation"] = article
    crate.name, crate.description, crate.license, crate.datePublished = _title(run), run.headline, licence, made
    found = _files(run)
    for name, told in found.items():
        content = read_file(run.path.parent / name, LARGEST)
        crate.add_file(run.path.parent / name, name, properties=_about(content, name) | {"description": told})
    store = _records(run)
    if store is not None:
        told = "One JSON record per cell, with its arrays, of all runs in this results folder"
        crate.add_dataset(dest_path="records", properties={"name": "Records", "description": told})
    with typed(out, "cannot be written"):
        crate.write(out)
    for path in _record_files(store) if store is not None else ():
        write_file(out / path.relative_to(store.folder), read_file(path, LARGEST))  # type: ignore[union-attr]
    return len(found)


def write_croissant(run_folder: Path, out: Path) -> int:
    """Write the records of a run as records.csv, and croissant.json, which describes them and the datasets of the run.

    Args:
        run_folder: of the run, with its records in `records` there or beside it.
        out: folder for both files, which must not exist or be empty.

    Returns:
        How many records there are.

    Raises:
        InputError: no such run or no records, `out` holds something or cannot be written, or mlcroissant is missing.
    """
    try:
        import mlcroissant as mlc
    except ImportError as error:
        raise InputError(MISSING.format("mlcroissant")) from error
    run = read_run(run_folder)
    store = _records(run)
    if store is None:
        raise InputError(f"{run_folder}: there is no folder records in it or beside it, and so nothing to describe")
    _empty(out)
    table = out / "records.csv"
    with typed(out, "cannot be written"):
        out.mkdir(parents=True, exist_ok=True)
    count = records.export(store, table)
    content = read_file(table, LARGEST)
    file = mlc.FileObject(
        id=table.name, name=table.name, content_url=table.name, content_size=f"{len(content)} B",
        encoding_formats=[FORMATS[".csv"]], sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip
    told = "One row per record: its key, runner, status, costs, parameters and metrics, lists as JSON."
    sets = [mlc.RecordSet(id="records", name="records", description=told, fields=_fields(mlc, table))]
    rows = [{f"datasets/{name}": value for name, value in row.items()} for row in _datasets(run)]
    if rows:
        told = "The datasets used, by name; their owners have their content. SHA-256 of the file that was read."
        fields = [mlc.Field(id=name, name=name.partition("/")[2], data_types=mlc.DataType.TEXT) for name in rows[0]]
        sets.append(mlc.RecordSet(id="datasets", name="datasets", description=told, data=rows, fields=fields))
    try:
        metadata = mlc.Metadata(
            name=f"{SUITE}-{run.preset}-seed{run.seed}", license=[LICENCE], version=run.made.version or None,
            description=f"{_title(run)}: a test of {PAPER_TITLE} ({PAPER}). {run.headline} {run.made.command}".strip(),
            creators=[mlc.Organization(name=f"The {SUITE} authors")], date_published=run.made.started or None,
            distribution=[file], record_sets=sets,
        )  # fmt: skip
    except mlc.ValidationError as error:
        raise InputError(f"{run.path}: mlcroissant refuses its description: {error}") from error
    write_json(out / "croissant.json", metadata.to_json())
    return count


def _fields(mlc: Any, table: Path) -> list[Any]:
    import pandas as pd

    frame = pd.read_csv(table, low_memory=False)
    kinds = {"f": mlc.DataType.FLOAT, "i": mlc.DataType.FLOAT, "b": mlc.DataType.BOOL}
    return [
        mlc.Field(
            id=f"records/{name}", name=str(name), data_types=kinds.get(frame[name].dtype.kind, mlc.DataType.TEXT),
            source=mlc.Source(file_object=table.name, extract=mlc.Extract(column=str(name))),
        )
        for name in frame.columns
    ]  # fmt: skip


def _title(run: RunFile) -> str:
    return f"Run of {', '.join(run.experiments)} by {SUITE}, preset {run.preset}, seed {run.seed}"


def _datasets(run: RunFile) -> list[dict[str, str]]:
    """The datasets of a run, without their content; of a user's own file the name alone and no folder."""
    rows = []
    for name, facts in run.provenance.items():
        known = DATASETS.get(name)
        title, page, licence = (known.title, known.page, known.licence) if known else ("a file of the user's", "", "")
        file, digest = PurePosixPath(str(facts.get("file", ""))).name, str(facts.get("file_sha256", ""))
        rows.append({"name": name, "title": title, "page": page, "licence": licence, "file": file, "sha256": digest})
    return rows


def _known(row: Mapping[str, str]) -> dict[str, str]:
    names = {"name": "name", "title": "description", "page": "url", "licence": "usageInfo", "file": "alternateName",
             "sha256": "sha256"}  # fmt: skip
    return {names[name]: value for name, value in row.items() if value}


def _files(run: RunFile) -> dict[str, str]:
    """What each file of a run is, by its place in the run's folder; what is a link is left out."""
    told = {
        NAME: "Everything the run found: verdicts, tables, what it was made with",
        "tables.md": "All tables and figures for reading", REPORT: "The report: one page that needs no network",
    }  # fmt: skip
    for part in run.parts:
        for place in (f"figures/{name}" for name in PICTURES) if part.kind == "figure" else TABLES:
            told[place.format(part.name)] = f"{part.kind.capitalize()}: {part.title or part.name}"
    folder = run.path.parent
    return {name: what for name, what in told.items() if (folder / name).is_file() and not (folder / name).is_symlink()}


def _about(content: bytes, name: str) -> dict[str, str]:
    kind, size = FORMATS[PurePosixPath(name).suffix], str(len(content))
    return {"name": name, "encodingFormat": kind, "contentSize": size, "sha256": hashlib.sha256(content).hexdigest()}


def _records(run: RunFile) -> Store | None:
    return None if run.beside is None else records.open_store(run.beside)


def _record_files(store: Store) -> list[Path]:
    found = (store.folder / "records").glob("??/*")
    return sorted(p for p in found if p.is_file() and not p.is_symlink() and p.suffix in (".json", ".npz"))


def _empty(out: Path) -> None:
    with typed(out, "cannot be written"):
        if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out}: is there already; name a folder that does not exist or is empty")
