"""Sizes far beyond the suite's own, each in a process of its own: python -m bench.dev.scale [NAME ...] [--scale S]

Every measure has a bound. Another process has made before what it is given (a file, a model, records), so that its peak
memory is its own. --scale multiplies the sizes and the bounds of time, not the bounds of memory.
"""

import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.apply.saved import recommend
from bench.cells.provenance import provenance
from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.datasets.load import load_own
from bench.dev.timing import command_line
from bench.engine.memory import peak_mb
from bench.engine.progress import Progress
from bench.engine.run import run_cells
from bench.judge.intervals import Value
from bench.plan.presets import find_preset
from bench.plan.setup import Setup
from bench.plan.table import plan_table
from bench.report import records
from bench.runners import execute
from bench.show.console import print_message, print_table
from bench.show.tables import Table, to_text
from causalrec.interactions import Targets, from_rows
from causalrec.methods.canonical import Json
from causalrec.methods.saved import DataOptions, Trained, save
from causalrec.methods.streams import generator, torch_generator
from causalrec.model import SASRec, SASRecOptions
from causalrec.ranking import rank_targets

# MovieLens-25M.
RATINGS, USERS, ITEMS = 25_000_095, 162_541, 59_047
LENGTH = 50
CATALOGUE, WIDTH, RANKED = 1_000_000, 64, 256
CELLS = 100_000
LINES = 1 << 18  # of the file of ratings, written at a time


def sized(scale: float, full: int, least: int = 1) -> int:
    """A full size, scaled.

    Args:
        scale: times the full sizes.
        full: the size at scale 1.
        least: the least that makes sense.
    """
    return max(least, round(full * scale))


@dataclass(frozen=True)
class Measure:
    """Something done at size, and what it may take.

    Args:
        what: it, in words.
        do: does it, given the scale and a folder, and says in words how large it was.
        cpu_s: the most CPU-seconds at full size.
        peak_mib: the most MiB at any size.
        make: fills the folder before, given the scale and the folder; measures with the same `make` share it.
    """

    what: str
    do: Callable[[float, Path], str]
    cpu_s: float
    peak_mib: float
    make: Callable[[float, Path], None] | None = None


class Taken(NamedTuple):
    """What a measure took.

    Args:
        size: how large it was, in words.
        wall_s: wall seconds.
        cpu_s: CPU-seconds.
        peak_mib: highest resident size in MiB; NaN where the system does not tell.
    """

    size: str
    wall_s: float
    cpu_s: float
    peak_mib: float


# What is measured: functions of the scale (times the full sizes) and of a folder


def write_ratings(scale: float, folder: Path) -> None:
    """Write a file in the form of MovieLens-25M's ratings.csv, users in order, films in order within a user.

    Args:
        scale: times the full sizes.
        folder: what its `make` has filled, or is to fill.
    """
    rng = generator(root=0, stream="scale ratings")
    users, items = sized(scale, USERS, 50), sized(scale, ITEMS, 100)
    extra = rng.lognormal(0, 1.2, users)
    count = max(sized(scale, RATINGS), 20 * users)
    lengths = 20 + np.floor(extra / extra.sum() * (count - 20 * users)).astype(np.int64)
    lengths[: count - lengths.sum()] += 1
    films = np.sort(rng.choice(4 * items, items, replace=False)) + 1
    law = np.cumsum(1 / (rng.permutation(items) + 1.0))
    with (folder / "ratings.csv").open("w", encoding="ascii") as file:
        file.write("userId,movieId,rating,timestamp\n")
        for some in np.array_split(np.arange(users), -(-int(lengths.sum()) // LINES)):
            user = np.repeat(some + 1, lengths[some])
            film = films[np.minimum(np.searchsorted(law, rng.random(len(user)) * law[-1]), items - 1)]
            film = film[np.lexsort((film, user))]
            stars, times = rng.integers(1, 11, len(user)) / 2, rng.integers(789_652_009, 1_574_327_704, len(user))
            rows = zip(user.tolist(), film.tolist(), stars.tolist(), times.tolist(), strict=True)
            file.writelines(f"{u},{i},{s},{t}\n" for u, i, s, t in rows)


def read(_: float, folder: Path) -> str:
    """Read the ratings as `--data ratings.csv --user userId --item movieId --time timestamp` does.

    Args:
        folder: what its `make` has filled, or is to fill.
    """
    path = folder / "ratings.csv"
    told = load_own(path, user="userId", item="movieId", time="timestamp").provenance.statistics
    size = f"{path.stat().st_size / 2**20:,.0f} MiB"
    return f"{told['actions']:,} actions of {told['users']:,} users on {told['items']:,} items, {size}"


def rank(scale: float, _: Path) -> str:
    """Rank targets among all items by the product of states and items, as a trained model does.

    Args:
        scale: times the full sizes.
    """
    rng = torch_generator(root=0, stream="scale rank")
    items = sized(scale, CATALOGUE, 10)
    embedded, states = (torch.randn(rows, WIDTH, generator=rng) for rows in (items, RANKED))
    drawn = generator(root=0, stream="scale histories").integers(1, items + 1, (RANKED, LENGTH + 1))
    targets = Targets(from_rows(list(drawn[:, :-1]), items), drawn[:, -1].copy(), np.arange(RANKED), None)
    ranks = rank_targets(lambda _, rows: states[rows] @ embedded.T, targets)
    return f"{len(ranks.kept)} users among {items:,} items, kept and filtered"


def make_model(scale: float, folder: Path) -> None:
    """Write an untrained SASRec as `train` writes its models.

    Args:
        scale: times the full sizes.
        folder: what its `make` has filled, or is to fill.
    """
    items = sized(scale, CATALOGUE, 10)
    model = SASRec(SASRecOptions(items, LENGTH, width=WIDTH), torch_generator(root=0, stream="scale model"))
    prepared = vars(DataOptions("user", "item", None, "kept", 1, 1, "leave_one_out"))
    about = {"preparation": prepared, "seen": "filtered", "content_hash": "", "dataset": "own file", "file": ""}
    nobody = Trained(*np.zeros((3, 0), dtype=np.int64))
    save(folder, "sasrec", model, tuple(str(item) for item in range(1, items + 1)), nobody, about)


def infer(scale: float, folder: Path) -> str:
    """Load the model and list ten items after a history, as `recommend FOLDER --history 1,2,3` does.

    Args:
        scale: times the full sizes.
        folder: what its `make` has filled, or is to fill.
    """
    found = recommend(folder, history=["1,2,3"], device="cpu")
    return f"{len(found.items)} of {sized(scale, CATALOGUE, 10):,} items"


def cells(scale: float) -> list[Cell]:
    """Cells with the parameters of a recommender's cell, which differ in the seed only.

    Args:
        scale: times the full number of cells.
    """
    shared = {
        "dataset": {"name": "ml-100k", "repeats": "kept", "user_core": 5, "item_core": 5, "split": "leave_one_out"},
        "model": "causalrec",
        "options": {"length": 50, "width": 64, "layers": 2, "heads": 1, "dropout": 0.2, "alpha": 1.0, "beta": 0.1},
        "training": {"epochs": 100, "batch": 128, "learning_rate": 0.001, "patience": 10},
    }
    data = "0" * 64
    seeds = range(sized(scale, CELLS))
    return [Cell("scale", {**shared, "seed": seed}, ("bench.cells.store",), data) for seed in seeds]


def fill_store(scale: float, folder: Path) -> None:
    """Write a record of every cell: sixteen metrics and the ranks of 943 users, as many as MovieLens-100K has.

    Args:
        scale: times the full sizes.
        folder: what its `make` has filled, or is to fill.
    """
    os.fsync = lambda _: None  # type: ignore[assignment]  # the records are thrown away: no power cut matters
    store, rng, made_with = Store(folder), generator(root=0, stream="scale records"), provenance()
    for cell in cells(scale):
        metrics: dict[str, Json] = {f"metric_{k}": float(value) for k, value in enumerate(rng.random(16))}
        record = Record(cell.key, cell.fields, "ok", metrics, 1.0, 1.0, 300.0, provenance=made_with)
        store.put(record, {"ranks": rng.random(943)})


def plan(scale: float, folder: Path) -> str:
    """Make the cells and list them against the store, as `plan` does.

    Args:
        scale: times the full sizes.
        folder: what its `make` has filled, or is to fill.
    """
    setup = Setup(find_preset("quick"), 0, "cpu")
    table = plan_table(setup, {"scale": cells(scale)}, Store(folder), jobs=1)
    return f"{table.rows[0][3]:,} cells, records there"


def resume(scale: float, folder: Path) -> str:
    """Walk the cells with their records there, as a run that is started again does.

    Args:
        scale: times the full sizes.
        folder: what its `make` has filled, or is to fill.
    """
    every = cells(scale)
    with Progress(every, 1) as progress:
        run = run_cells(every, Store(folder), execute, on_event=progress)
    return f"{len(run.cached):,} cells, none left to run"


def list_records(_: float, folder: Path) -> str:
    """Count records by runner, as `results ls` does.

    Args:
        folder: what `fill_store` has filled.
    """
    return f"{records.list_table(records.open_store(folder)).rows[0][2]:,} records"


def list_runner(_: float, folder: Path) -> str:
    """List one row per record, as `results ls --runner scale` does.

    Args:
        folder: what `fill_store` has filled.
    """
    return f"{len(to_text(records.list_table(records.open_store(folder), 'scale')).splitlines()) - 4:,} records"


def show(scale: float, folder: Path) -> str:
    """Show one record, as `results show KEY` does.

    Args:
        scale: times the full sizes.
        folder: what its `make` has filled, or is to fill.
    """
    store, (cell,) = records.open_store(folder), cells(1 / CELLS)
    records.show_tables(store, records.find(store, cell.key[: records.SHORT]))
    return f"1 of {sized(scale, CELLS):,} records"


def verify(_: float, folder: Path) -> str:
    """Read every record and take its arrays apart, as `results verify` does.

    Args:
        folder: what its `make` has filled, or is to fill.
    """
    table, _sound = records.verify(records.open_store(folder))
    return table.note.split(";")[0]


def export(_: float, folder: Path) -> str:
    """Write one row per record to CSV, as `results export` does.

    Args:
        folder: what its `make` has filled, or is to fill.
    """
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "all.csv"
        count = records.export(records.open_store(folder), path)
        return f"{count:,} records, {path.stat().st_size / 2**20:,.0f} MiB"


MEASURES = {
    "read": Measure("a file of MovieLens-25M's size, read and prepared", read, 300, 4096, write_ratings),
    "rank": Measure("ranking a full catalogue", rank, 60, 4096),
    "infer": Measure("a saved model, loaded and asked", infer, 30, 4096, make_model),
    "plan": Measure("a plan against its store", plan, 60, 2048, fill_store),
    "resume": Measure("a run whose records are there", resume, 60, 2048, fill_store),
    "ls": Measure("results ls", list_records, 60, 1024, fill_store),
    "ls-runner": Measure("results ls --runner", list_runner, 60, 2048, fill_store),
    "show": Measure("results show", show, 2, 1024, fill_store),
    "verify": Measure("results verify", verify, 120, 1024, fill_store),
    "export": Measure("results export", export, 120, 4096, fill_store),
}
LEAST_S = 10.0  # the least bound of time; a small --scale would put it below what starting takes


# How


def take(name: str, scale: float, folder: Path) -> Taken:
    """Do a measure in this process.

    Args:
        name: which of `MEASURES`.
        scale: times the full sizes.
        folder: what its `make` has filled.
    """
    torch.set_num_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    size = MEASURES[name].do(scale, folder)
    return Taken(size, time.perf_counter() - wall, time.process_time() - cpu, peak_mb() or math.nan)


def apart(call: Callable[..., Any], *given: object) -> Any:
    """The result of a call in a fresh process.

    Args:
        call: a function of a module.
        given: its arguments.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(call, *given).result()


def run(names: Iterable[str], scale: float, place: Path) -> Iterator[tuple[Measure, Taken]]:
    """Do each measure in a process of its own.

    Args:
        names: which of `MEASURES`.
        scale: times the full sizes.
        place: folder for what measures are given, made once for all that share it.
    """
    for name in names:
        make = MEASURES[name].make
        folder = place / (make.__name__ if make is not None else name)
        if make is not None and not folder.exists():
            folder.mkdir()
            apart(make, scale, folder)
        yield MEASURES[name], apart(take, name, scale, folder)


def scale_table(taken: list[tuple[Measure, Taken]], scale: float) -> Table:
    """One row per measure, with its bounds and whether it keeps them.

    Args:
        taken: measures and what they took.
        scale: times the full sizes.
    """
    rows: list[tuple[Value, ...]] = []
    for measure, took in taken:
        seconds = max(LEAST_S, measure.cpu_s * scale)
        met = took.cpu_s <= seconds and not took.peak_mib > measure.peak_mib
        bound = f"{seconds:g} s, {measure.peak_mib:g} MiB"
        peak = None if math.isnan(took.peak_mib) else round(took.peak_mib)
        rows.append((measure.what, took.size, took.wall_s, took.cpu_s, peak, bound, "yes" if met else "NO"))
    columns = ("what", "size", "wall s", "CPU s", "peak MiB", "bound: CPU, peak", "kept")
    note = "Each in a process of its own, on one thread; what it reads was made before. Peaks are of the whole process."
    return Table("scale", f"What the suite takes at size, scale {scale:g}", columns, tuple(rows), note)


def main() -> int:
    """Do the measures that the command line names, all by default; exit code 1 if a bound is not kept."""
    parser = command_line(__doc__)
    parser.add_argument("names", nargs="*", help=f"among {', '.join(MEASURES)} [default: all]")
    parser.add_argument("--scale", type=float, default=1.0, help="times the full sizes")
    parser.add_argument("--place", type=Path, help="where files are made [default: a temporary folder]")
    asked = parser.parse_args()
    for name in set(asked.names) - set(MEASURES):
        parser.error(f"{name!r} is unknown; choose among {', '.join(MEASURES)}")
    if not asked.scale > 0:
        parser.error(f"--scale is {asked.scale:g}; give a number above 0")
    taken = []
    with tempfile.TemporaryDirectory(dir=asked.place) as place:
        for measure, took in run(asked.names or MEASURES, asked.scale, Path(place)):
            print_message(f"{measure.what}: {took.size}, {took.cpu_s:.1f} CPU-seconds, {took.peak_mib:.0f} MiB")
            taken.append((measure, took))
    table = scale_table(taken, asked.scale)
    print_table(table)
    return int(any(row[-1] != "yes" for row in table.rows))


if __name__ == "__main__":
    sys.exit(main())
