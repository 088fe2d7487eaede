"""Judge records anew, without running a cell; and how often each rule would come out right."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench.cells.archives import archives_in, unpack
from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.datasets.load import Provenance, data_folder
from bench.errors import InputError
from bench.experiments import left_out
from bench.judge.bars import TRUTHS
from bench.judge.claims import Register, Verdict, headline, read_register
from bench.judge.severity import severity
from bench.plan.presets import find_preset
from bench.plan.setup import DATA_VARIABLE, Setup
from bench.plan.sizes import Preset, Real
from bench.report.page import REPORT
from bench.report.run_files import NAME, REFERENCE, RunFile, read_run
from bench.report.write import Made, document, write
from bench.reproduce import rejudge
from bench.show.tables import Table
from bench.show.terminal import Answer
from bench.show.verdicts import severity_table, summary_table
from causalrec.methods.canonical import digest


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What a run was asked for beside seed, device and data.

    Args:
        split: as `Setup` names it.
        learners: as `Setup` names them.
        recommenders: as `Setup` names them.
        rectools: as `Setup` names it.
        seq2cause: as `Setup` names it.
        perturb: as `Setup` names it.
        about: the preset in words, as it was narrowed. Default "", the preset's own.
    """

    split: str
    learners: tuple[str, ...]
    recommenders: tuple[str, ...]
    rectools: str | None
    seq2cause: str | None
    perturb: float
    about: str = ""


class Evidence(Store):
    """A store that also gives the record of a cell that other code made, the newest one.

    A record says what came out of its cell, whatever became of the code since; it is judged as that.

    Args:
        folder: as for `Store`.
        on_quarantine: as for `Store`.
    """

    def __init__(self, folder: Path | str, on_quarantine: Callable[[str], None] | None = None) -> None:
        super().__init__(folder, on_quarantine)
        self._named: dict[str, str] | None = None
        self.older = set[str]()

    def get(self, cell: Cell) -> Record | None:
        """The verified record of a cell, by today's code or else the newest by other code.

        Args:
            cell: what was to run.
        """
        if (found := super().get(cell)) is not None:
            return found
        if self._named is None:
            made = (record for record in self.records() if record.ok)
            records = sorted(made, key=lambda record: self._path(record.key).stat().st_mtime_ns)
            self._named = {_apart_from_code(record.cell): record.key for record in records}
        key = self._named.get(_apart_from_code(cell.fields))
        if key is not None:
            self.older.add(key)
        return None if key is None else self.load(key)


def _apart_from_code(fields: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in fields.items() if name != "code"})


def judge_folder(
    folder: Path,
    out: Path | None = None,
    data_dir: Path | None = None,
    register: Register | None = None,
    paper: bool = False,
) -> Answer:
    """Judge the records behind a run, or behind each of several, by the register of today.

    Shown are the verdicts on the claims that a run tests; every table is in the document and in the files.

    Args:
        folder: of a run, with its records in `records` there or beside it, or in archives; or a folder of such folders.
        out: folder for the files of the run as it is judged now; of several, for a folder of each. Default none:
            nothing is written.
        data_dir: where the datasets are, whose titles some claims are judged by; None for the usual place.
        register: what to judge by. Default the suite's own.
        paper: write the figures for a paper to `out` as well. Default False.

    Raises:
        InputError: no run or no records there; or figures are asked for without `out`.
    """
    if paper and out is None:
        raise InputError("--paper writes into the folder of --out; name one")
    tables, documents, messages = list[Table](), dict[str, Mapping[str, object]](), list[str]()
    with opened(folder, data_dir) as runs:
        for run, store in runs:
            found = rejudge(restored(run), run.experiments, store, register)
            made = Made(run.made.command, run.made.started, run.made.duration_s, run.environment)
            name, place = run.path.parent.name, out if out is None or len(runs) == 1 else out / run.path.parent.name
            if place is not None:
                write(found, place, made, paper)
            if tested := [verdict for verdict in found.verdicts if verdict.claim.experiment in run.experiments]:
                tables.append(summary_table(tested, headline(tested)))
            documents[name] = document(found, made)
            missing = sum(result.record is None for result in found.failures)
            told = f"judged {found.cells} cells of {run.path}, {missing} without a record"
            told += f"; {len(store.older)} records were made by other code than today's" if store.older else ""
            messages += [told, *_changed(run, found.verdicts), *([f"report: {place / REPORT}"] if place else [])]
    return Answer(tables, documents if len(documents) > 1 else next(iter(documents.values())), messages)


def _changed(run: RunFile, verdicts: Sequence[Verdict]) -> list[str]:
    """What came out otherwise than when the run was written, in a line; none if nothing did."""
    before = {verdict.claim.id: verdict.judgement for verdict in run.verdicts}
    now = {verdict.claim.id: verdict.judgement for verdict in verdicts}
    moved = [f"{claim} ({before.get(claim)}, now {now[claim]})" for claim in now if now[claim] != before.get(claim)]
    return [f"{len(moved)} verdicts are others than when {run.path} was written: {', '.join(moved)}"] if moved else []


@contextmanager
def opened(folder: Path, data_dir: Path | None = None) -> Iterator[list[tuple[RunFile, Evidence]]]:
    """Give each run in a folder with its records, and let the readers of datasets find them.

    Args:
        folder: as for `judge_folder`.
        data_dir: likewise.

    Raises:
        InputError: no run or no records there.
    """
    paths = [folder / NAME] if (folder / NAME).is_file() else sorted(folder.glob(f"*/{NAME}"))
    if not paths:
        raise InputError(f"{folder}: holds no run; name a folder that `reproduce` or `run` wrote, or one of several")
    os.environ[DATA_VARIABLE] = str(data_folder(data_dir).resolve())
    with TemporaryDirectory() as room:
        runs = [read_run(path) for path in paths]
        yield [(run, Evidence(_records_of(run, Path(room) / str(k)))) for k, run in enumerate(runs)]


def _records_of(run: RunFile, room: Path) -> Path:
    """The folder that holds the records of a run; that of archives is made in `room`."""
    home = run.path.parent
    if archives_in(home):
        unpack(home, room)
        return room
    if run.beside is None:
        raise InputError(f"{home} has neither records nor archives; name the folder that `reproduce` wrote")
    return run.beside


def restored(run: RunFile) -> Setup:
    """The setup that a run was planned from.

    Args:
        run: as it was read back.

    Raises:
        InputError: an unknown preset, or facts of another version.
    """
    preset = find_preset(run.preset)
    try:
        real = msgspec.convert(msgspec.to_builtins(preset.real) | run.asked["real"], Real)
        found = msgspec.convert(run.provenance, dict[str, Provenance])
        rest = {name: of for name, of in run.asked.items() if name != "real"}
        asked = msgspec.structs.asdict(msgspec.convert(rest, Asked))
        preset = replace(preset, real=real, about=asked.pop("about") or preset.about)
        return Setup(preset, run.seed, run.device, found, run.missing, **asked)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise InputError(f"{run.path}: its setup cannot be restored ({error}); run it anew") from error


def show_severity(preset: str, run: Path | None = None) -> Answer:
    """How often each rule would come out right under three truths.

    Args:
        preset: whose numbers of draws, worlds and seeds are taken.
        run: the run whose spread is taken. Default the committed one of the preset, or of hour.

    Raises:
        InputError: an unknown preset, or no such run.
    """
    sizes, register = find_preset(preset), read_register()
    place = run or (REFERENCE / preset if (REFERENCE / preset / NAME).is_file() else REFERENCE / "hour")
    met = read_run(place)
    found = [finding for verdict in met.verdicts for finding in verdict.findings]
    relative = relative_sizes(sizes, find_preset(met.preset))
    every = severity(register, found, relative, sizes.sweep_seeds, sizes.most_worlds)
    chances = [c for c in every if not left_out(sizes, register.claims[c.claim].experiment)]
    others = {c.claim for c in every} - {c.claim for c in chances}
    note = (
        f"1,000 simulated runs per claim and truth, at the sizes of {preset} and the spread of {met.path.parent}. "
        "Right: as claimed if true as stated; no effect, or not above the bar, if there is nothing; opposite, or not "
        "above the bar, if the opposite is true. Gates are taken to have passed; of seeds and users crossed the width "
        "stays. Two runs agree: the chance that two runs like that one have the same verdict."
        + (f" Not run at this preset: {', '.join(sorted(others))}." if others else "")
    )
    told = [
        {"claim": c.claim, "truth": c.truth, "outcomes": dict(c.outcomes), "right": c.right}
        for c in chances if c.truth in TRUTHS
    ]  # fmt: skip
    return Answer([severity_table(register, chances, note)], told)


def relative_sizes(preset: Preset, met: Preset) -> Mapping[str, float]:
    """By what a part's units are, how many times as many a preset has as another.

    Args:
        preset: the one asked for.
        met: the one whose spread is known.
    """
    def sizes(of: Preset) -> dict[str, float]:
        seeds = max(1, of.real.seeds)
        return {"draws": of.structure.draws, "worlds": of.world_seeds, "sweep worlds": of.sweep_seeds,
                "repeats": of.cost.repeats, "seeds": seeds, "runs": min(of.world_seeds, seeds)}  # fmt: skip

    ours, theirs = sizes(preset), sizes(met)
    return {name: ours[name] / theirs[name] for name in ours}
