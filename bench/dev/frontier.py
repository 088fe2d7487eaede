"""Quality over CPU time, ours beside RecTools': python -m bench.dev.frontier --data ml-1m

Every run is a row of a CSV and is skipped once it stands there. Ours end their schedule within a budget of CPU time;
RecTools' SASRec, if $CAUSALREC_RECTOOLS is set, trains for a number of epochs. Beside the CSV stands the figure of test
NDCG@10 over CPU-seconds, with the published figures as levels. `--draw` draws it and runs nothing.
"""

import csv
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from threadpoolctl import threadpool_limits

from bench.datasets.load import data_folder, load
from bench.dev.speed_quality import measure, quality, recipe_options
from bench.dev.timing import command_line
from bench.errors import InputError
from bench.experiments.model.published import PUBLISHED
from bench.methods import rectools
from bench.methods.recommenders import ENTRIES, NEURAL
from bench.show.drawing import write_figure
from bench.show.figures import Curves, Panel, Series
from causalrec.interactions import Split, train_on_validation
from causalrec.methods.fit import SPLITS, make_split
from causalrec.methods.recipes import TRAINING

EVIDENCE = Path("results/evidence/training")
COLUMNS = (
    "data", "model", "by", "budget", "seed", "epochs", "cpu_s", "hr10_filtered", "ndcg10_filtered", "hr10_kept",
    "ndcg10_kept",
)  # fmt: skip
OURS, THEIRS = "ours", "RecTools"
THEIR_RATE = 1e-3  # RecTools' default, which it keeps throughout
NOTE = (
    "Leave-one-out, full catalogue, seen items filtered; a point is a run of one seed. CPU-seconds of one thread: ours "
    "of training, RecTools' of its process. Levels are published figures, whatever they took."
)


class Run(NamedTuple):
    """What names a run among the rows; the values are text, as a CSV has them.

    Args:
        data: the dataset.
        model: a name of `NEURAL`.
        by: `OURS` or `THEIRS`.
        budget: CPU-seconds for ours, epochs for theirs.
        seed: of initial weights, batches and dropout.
    """

    data: str
    model: str
    by: str
    budget: str
    seed: str


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV, none if it is missing.

    Args:
        path: the file.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a CSV, which is made if missing.

    Args:
        path: the file.
        row: a value by column, in the order of the columns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def do(run: Run, split: Split) -> dict[str, Any]:
    """Train and test once.

    Args:
        run: what to train, and for how long.
        split: what to train and test on.

    Returns:
        A row by `COLUMNS`.
    """
    options, seed = recipe_options(run.data, run.model, split.num_items), int(run.seed)
    if run.by == OURS:
        found = quality(split, run.model, options, {}, float(run.budget), seed, quiet=True)
    else:
        before, epochs = resource.getrusage(resource.RUSAGE_CHILDREN), int(run.budget)
        defaults = ENTRIES[run.model].options_of(split.num_items)
        sizes = {name: getattr(defaults, name) for name in ("length", "width", "layers", "heads")}
        how = {"epochs": epochs, "batch": TRAINING["batch"], "learning_rate": THEIR_RATE}
        sizes |= {"dropout": options["dropout"]}
        peer = rectools.RecTools(f"rectools_{run.model}", train_on_validation(split), sizes, how, seed)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = {**measure(peer, split.test), "epochs": epochs, "cpu_s": seconds}
    row = run._asdict() | {"epochs": found["epochs"]} | figures(found)
    return {name: row[name] for name in COLUMNS}


def figures(found: Mapping[str, Any]) -> dict[str, str]:
    """What a run took and reached, as columns of a CSV.

    Args:
        found: as `quality` returns it.
    """
    told = {"cpu_s": found["cpu_s"]}
    told |= {f"{name}_{seen}": value for seen in ("filtered", "kept") for name, value in found[seen].items()}
    return {name: f"{value:.5g}" for name, value in told.items()}


def do_missing(runs: Iterable[Run], split: Split, path: Path) -> None:
    """Do the runs that have no row yet, and add each to the CSV when it ends.

    Args:
        runs: what there should be.
        split: what to train and test on.
        path: the CSV.
    """
    known = {tuple(row[name] for name in Run._fields) for row in read(path)}
    for run in runs:
        if run not in known:
            append(path, row := do(run, split))
            print(", ".join(f"{name} {row[name]}" for name in (*Run._fields, "cpu_s", "ndcg10_filtered")), flush=True)


def draw(name: str, data: str, rows: list[dict[str, str]]) -> Curves:
    """NDCG@10 over CPU-seconds, a curve for each model and who trains it.

    Args:
        name: of the figure's files, without an ending.
        data: the dataset.
        rows: of its runs.
    """
    curves, shown = [], list(dict.fromkeys((row["model"], row["by"]) for row in rows))
    for which in shown:
        of = [row for row in rows if (row["model"], row["by"]) == which]
        points = sorted((float(row["cpu_s"]), float(row["ndcg10_filtered"])) for row in of)
        curves.append(Series(f"{ENTRIES[which[0]].title}: {which[1]}", *zip(*points, strict=True)))
    models = {model for model, _ in shown}
    known = [p for p in PUBLISHED if (p.dataset, p.split) == (data, SPLITS[0]) and p.model in models]
    levels = sorted(((p.ndcg10, f"{p.title}, {p.source}") for p in known), reverse=True)
    panel = Panel(data, tuple(curves), levels=tuple(levels))
    return Curves(name, "Quality over CPU time", "CPU-seconds", "test NDCG@10", (panel,), log_x=True, note=NOTE)


def main() -> None:
    """Do the runs that are missing, then draw."""
    torch.set_num_threads(1)
    parser = command_line(__doc__)
    parser.add_argument("--data", default="ml-1m", help="a dataset's name")
    parser.add_argument("--data-dir", type=Path, help="where it lies")
    parser.add_argument("--model", nargs="+", default=["sasrec"], choices=NEURAL, help="of ours")
    parser.add_argument("--budget", nargs="+", type=int, default=[75, 150, 300, 600, 1200], help="CPU-seconds of ours")
    parser.add_argument("--epochs", nargs="*", type=int, default=[5, 10, 20, 40, 80], help="of RecTools' SASRec")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help=f"a CSV; {EVIDENCE}/frontier-DATA.csv by default")
    parser.add_argument("--draw", action="store_true", help="run nothing")
    asked = parser.parse_args()
    path = asked.out or EVIDENCE / f"frontier-{asked.data}.csv"
    try:
        if not asked.draw:
            runs = [Run(asked.data, model, OURS, str(budget), str(seed)) for seed in range(asked.seeds)
                    for model in asked.model for budget in asked.budget]  # fmt: skip
            if rectools.PEER.version():
                runs += [Run(asked.data, "sasrec", THEIRS, str(epochs), str(seed)) for seed in range(asked.seeds)
                         for epochs in asked.epochs]  # fmt: skip
            split = make_split(load(asked.data, data_folder(asked.data_dir)).sequences, SPLITS[0])
            with threadpool_limits(1):
                do_missing(runs, split, path)
    except InputError as error:
        parser.error(str(error))
    rows = [row for row in read(path) if row["data"] == asked.data]
    if not rows:
        parser.error(f"{path} has no run on {asked.data}; leave out --draw")
    for file in write_figure(draw(path.stem, asked.data, rows), path.parent):
        print(file)


if __name__ == "__main__":
    main()
