"""The command line: what to run and what to show; all logic is in `bench`."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Test the claims of CausalRec (arXiv 2510.21333) on worlds whose truth is known and on real data.",
)
data_app = typer.Typer(no_args_is_help=True, help="Which real datasets are there; check them, fetch them.")
app.add_typer(data_app, name="data")
results_app = typer.Typer(no_args_is_help=True, help="The records of a results folder: list, show, verify, export.")
app.add_typer(results_app, name="results")

PresetOption = Annotated[str, typer.Option("--preset", help="smoke, quick, standard or paper.")]
DataOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of real datasets [default: $CAUSALREC_DATA, else data/].")
]
OutOption = Annotated[Path, typer.Option("--out", help="Results folder.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Root of every random stream.")]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Worker processes [default: one a core; on a GPU, 1].")
]
MemoryOption = Annotated[
    float | None, typer.Option("--memory", help="MiB that a worker may hold before its cell is stopped [default: all].")
]
EngineOption = Annotated[
    str, typer.Option("--engine", help="Where cells run: local, or ray, see docs/run-on-a-cluster.md.")
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Of a Ray cluster: HOST:PORT or auto [default: a Ray started here].")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
RepeatsOption = Annotated[
    str | None, typer.Option("--repeats", help="Repeated actions kept or dropped [default: the dataset's own].")
]
UserCoreOption = Annotated[
    int | None, typer.Option("--user-core", help="Fewest actions of a user [default: the dataset's own].")
]
ItemCoreOption = Annotated[
    int | None, typer.Option("--item-core", help="Fewest actions of an item [default: the dataset's own].")
]
SplitOption = Annotated[str, typer.Option("--split", help="leave_one_out or temporal, for real data.")]
DatasetOption = Annotated[
    list[str] | None, typer.Option("--dataset", help="A real dataset, instead of the preset's; repeatable.")
]
RivalOption = Annotated[
    list[str] | None, typer.Option("--rival", help="A trained rival, instead of the preset's; repeatable.")
]
FileOption = Annotated[Path | None, typer.Option("--data", help="A file of your own: CSV, TSV or RecBole .inter.")]
UserOption = Annotated[str, typer.Option("--user", help="Column of users in --data.")]
ItemOption = Annotated[str, typer.Option("--item", help="Column of items in --data.")]
TimeOption = Annotated[str | None, typer.Option("--time", help="Column of times; without it, file order is time.")]
LearnerOption = Annotated[
    list[str] | None,
    typer.Option("--learner", help="A further learner, or your own as package.module:function; repeat for more."),
]
RecommenderOption = Annotated[
    list[str] | None,
    typer.Option("--recommender", help="A recommender of your own as package.module:Class; repeat for more."),
]
AS_TRAINED = "Column of {} in --data [default: as trained]."
TrainedUserOption = Annotated[str | None, typer.Option("--user", help=AS_TRAINED.format("users"))]
TrainedItemOption = Annotated[str | None, typer.Option("--item", help=AS_TRAINED.format("items"))]
TrainedTimeOption = Annotated[str | None, typer.Option("--time", help=AS_TRAINED.format("times"))]
TrainedSplitOption = Annotated[
    str | None, typer.Option("--split", help="leave_one_out or temporal [default: as trained].")
]
TrainedDataOption = Annotated[str, typer.Option("--data", help="A named dataset, or a file of your own.")]
ModelFolder = Annotated[Path, typer.Argument(help="The folder that `train` wrote.")]
SkipOption = Annotated[bool, typer.Option("--skip-unknown", help="Leave actions on unknown items out, and say so.")]
ExpectOption = Annotated[
    Path | None, typer.Option("--expect", help="A run's folder: exit code 1 where a verdict is not as there.")
]
DemandOption = Annotated[
    bool, typer.Option("--require-data", help="Exit code 3 where a dataset of the preset is missing.")
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", help="i/n: run this share of the cells only, and write no tables.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
RESULTS = Path("results/runs")
UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]


def _setup(
    preset: str,
    seed: int,
    data_dir: Path | None,
    device: str = "auto",
    preparation: Any = None,
    own: dict[str, Any] | None = None,
    learners: list[str] | None = None,
    recommenders: list[str] | None = None,
    datasets: list[str] | None = None,
    rivals: list[str] | None = None,
) -> Any:
    from bench.plan.presets import find_preset, narrow
    from bench.plan.setup import make_setup

    models = (tuple(learners or ()), tuple(recommenders or ()))
    wanted = narrow(find_preset(preset), tuple(datasets or ()), tuple(rivals or ()))
    return make_setup(wanted, seed, data_dir, device, preparation, own, *models)


def _preparation(repeats: str | None, user_core: int | None, item_core: int | None, split: str) -> Any:
    from bench.plan.setup import Preparation

    return Preparation(repeats, user_core, item_core, split)


def _own(data: Path | None, user: str, item: str, time: str | None) -> dict[str, Any] | None:
    return None if data is None else {"path": str(data), "user": user, "item": item, "time": time}


def _asked(prepared: Any, user: str | None, item: str | None, time: str | None) -> dict[str, Any]:
    return {"user": user, "item": item, "time": time, "split": prepared.split, **prepared.of_readers}


def _report(found: Any, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found.document(), ensure_ascii=False, allow_nan=False))
    else:
        _show([found.table()], as_json)


def _expected(folder: Path | None) -> Any:
    """What --expect names, read before anything runs."""
    from bench.report.run_files import read_run

    return None if folder is None else read_run(folder)


def _walk(
    setup: Any, names: tuple[str, ...], out: Path, jobs: int | None, as_json: bool, expected: Any, demand: bool,
    shard: str | None, memory: float | None, engine: str, address: str | None,
) -> None:  # fmt: skip
    """Run, write, print; exit code 3 where cells failed or demanded data is missing, else 1 where a verdict differs."""
    from bench.cells.store import Store
    from bench.engine.run import make_pool
    from bench.engine.shards import read_shard
    from bench.experiments import check_used
    from bench.report.compare import compare
    from bench.report.run_files import read_run
    from bench.report.write import document, write
    from bench.reproduce import walk, walk_shard
    from bench.show.console import print_message, print_table

    check_used(setup, names)
    part = None if shard is None else read_shard(shard)
    opened = make_pool(engine, address)
    store = Store(out, on_quarantine=print_message)
    with opened as pool:
        workers = jobs or pool.default_jobs(setup.device)
        if part is not None:
            told, failed = walk_shard(setup, names, store, workers, part, memory, pool)
            print_message(told)
            if failed:
                raise typer.Exit(3)
            return
        run = walk(setup, names, store, workers, memory, pool)
    whole = "" if len(names) > 1 else f"-{names[0]}"
    folder = out / f"{setup.preset.name}-seed{setup.root}{whole}"
    write(run, folder)
    if as_json:
        typer.echo(json.dumps(document(run), ensure_ascii=False, allow_nan=False))
    else:
        for table in run.tables:
            print_table(table)
    print_message(f"{run.cells} cells, {len(run.failures)} failed; tables and run.json in {folder}")
    missing = setup.missing if demand else {}
    for name, why in missing.items():
        print_message(f"--require-data: {name}: {why}")
    differing = () if expected is None else compare(read_run(folder), expected).differing
    for sentence in differing:
        print_message(f"--expect: {sentence}")
    if run.failures or missing or differing:
        raise typer.Exit(3 if run.failures or missing else 1)


@app.command()
def reproduce(
    preset: PresetOption = "quick",
    data_dir: DataOption = None,
    out: OutOption = RESULTS,
    seed: SeedOption = 0,
    jobs: JobsOption = None,
    device: DeviceOption = "auto",
    repeats: RepeatsOption = None,
    user_core: UserCoreOption = None,
    item_core: ItemCoreOption = None,
    split: SplitOption = "leave_one_out",
    learner: LearnerOption = None,
    recommender: RecommenderOption = None,
    dataset: DatasetOption = None,
    rival: RivalOption = None,
    expect: ExpectOption = None,
    require_data: DemandOption = False,
    shard: ShardOption = None,
    memory: MemoryOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run every experiment and print a verdict on each claim. What has run already is not run again.

    Exit code: 0 all ran, 1 a verdict is not as in --expect, 2 wrong input, 3 some cells failed or, with --require-data,
    data is missing (3 goes before 1), 130 interrupted (finished cells are kept).
    """
    from bench.experiments import EXPERIMENTS

    expected = _expected(expect)
    prepared = _preparation(repeats, user_core, item_core, split)
    setup = _setup(preset, seed, data_dir, device, prepared, None, learner, recommender, dataset, rival)
    _walk(setup, tuple(EXPERIMENTS), out, jobs, as_json, expected, require_data, shard, memory, engine, address)


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="recovery, variance, layernorm, acyclicity, discovery, ...")],
    preset: PresetOption = "quick",
    data_dir: DataOption = None,
    out: OutOption = RESULTS,
    seed: SeedOption = 0,
    jobs: JobsOption = None,
    device: DeviceOption = "auto",
    repeats: RepeatsOption = None,
    user_core: UserCoreOption = None,
    item_core: ItemCoreOption = None,
    split: SplitOption = "leave_one_out",
    data: FileOption = None,
    user: UserOption = "user",
    item: ItemOption = "item",
    time: TimeOption = None,
    learner: LearnerOption = None,
    recommender: RecommenderOption = None,
    dataset: DatasetOption = None,
    rival: RivalOption = None,
    expect: ExpectOption = None,
    require_data: DemandOption = False,
    shard: ShardOption = None,
    memory: MemoryOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one experiment; with --data on a file of your own, with --learner or --recommender a model of your own.

    Exit codes are those of `reproduce`; --expect looks at the claims that this experiment tests.
    """
    from bench.experiments import find

    find(experiment)
    expected = _expected(expect)
    prepared = _preparation(repeats, user_core, item_core, split)
    own = _own(data, user, item, time)
    setup = _setup(preset, seed, data_dir, device, prepared, own, learner, recommender, dataset, rival)
    _walk(setup, (experiment,), out, jobs, as_json, expected, require_data, shard, memory, engine, address)


@app.command()
def plan(
    preset: PresetOption = "quick",
    data_dir: DataOption = None,
    out: OutOption = RESULTS,
    seed: SeedOption = 0,
    jobs: JobsOption = None,
    device: DeviceOption = "auto",
    repeats: RepeatsOption = None,
    user_core: UserCoreOption = None,
    item_core: ItemCoreOption = None,
    split: SplitOption = "leave_one_out",
    learner: LearnerOption = None,
    recommender: RecommenderOption = None,
    dataset: DatasetOption = None,
    rival: RivalOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what `reproduce` would run, what is there already, and about how long the rest takes."""
    from bench.gpu_time import gpu_words, read_card

    from bench.cells.store import Store
    from bench.engine.local import default_jobs
    from bench.experiments import EXPERIMENTS, check_used
    from bench.plan.table import plan_table
    from bench.reproduce import plan_cells

    prepared = _preparation(repeats, user_core, item_core, split)
    setup = _setup(preset, seed, data_dir, device, prepared, None, learner, recommender, dataset, rival)
    check_used(setup, EXPERIMENTS)
    store = Store(out) if (out / "records").is_dir() else None
    workers, planned, more = jobs or default_jobs(setup.device), plan_cells(setup, EXPERIMENTS), ""
    if setup.device != "cpu" or preset == "paper":
        real = setup.preset.real
        more = gpu_words((c for cells in planned.values() for c in cells), real.seeds, real.trials, read_card())
    _show([plan_table(setup, planned, store, workers, more)], as_json)


@app.command()
def learn(
    file: Annotated[Path, typer.Argument(help="Samples as rows, variables as columns: .csv, .tsv, .txt or .npy.")],
    out: Annotated[Path, typer.Option("--out", help="Where W goes, .csv or .npy: W[i, j] is the effect of j on i.")],
    method: Annotated[str, typer.Option("--method", help="A learner, or your own module:function.")] = "notears",
    option: Annotated[list[str] | None, typer.Option("--option", help="key=value of the learner; repeatable.")] = None,
    covariance: Annotated[bool, typer.Option("--covariance", help="The file holds a covariance.")] = False,
    samples: Annotated[int | None, typer.Option("--samples", help="What it was estimated from; none: exact.")] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Line 1 holds names [default: found out, and said].")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="comma, tab or semicolon [default: found out, and said].")
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Least |weight| of an edge.")] = 0.3,
    transpose: Annotated[bool, typer.Option("--transpose", help="Write W[i, j] as the effect of i on j.")] = False,
    graphml: Annotated[Path | None, typer.Option("--graphml", help="Write the graph as GraphML as well.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Learn a graph from a file of your own and say what to know before believing it."""
    from bench.apply import learn as learning
    from bench.apply.graphml import write_graphml
    from bench.apply.observed import read
    from bench.show.console import print_message

    learning.check_out(out, file, graphml)
    options = learning.parse_options(method, option or [])
    observed = read(file, covariance=covariance, samples=samples, header=header, delimiter=delimiter)
    learned = learning.learn(observed, method, options, threshold, seed)
    if graphml is not None:
        write_graphml(graphml, learned.graph, observed.names)
    learning.write_matrix(out, learned, transpose)
    if as_json:
        typer.echo(json.dumps(learning.document(learned), ensure_ascii=False, allow_nan=False))
    else:
        _show(learning.tables(learned), as_json)
    for warning in learned.warnings:
        print_message(f"warning: {warning}")
    print_message(f"W in {out}: W[i, j] is the effect of {'i on j' if transpose else 'j on i'}")


@app.command()
def train(
    data: TrainedDataOption,
    model: Annotated[str, typer.Option("--model", help="sasrec, causalrec, ...: a model that is trained.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the model's files.")],
    data_dir: DataOption = None,
    user: UserOption = "user",
    item: ItemOption = "item",
    time: TimeOption = None,
    repeats: RepeatsOption = None,
    user_core: UserCoreOption = None,
    item_core: ItemCoreOption = None,
    split: SplitOption = "leave_one_out",
    option: Annotated[list[str] | None, typer.Option("--option", help="key=value of the model; repeatable.")] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="At most.")] = 100,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of Adam.")] = 1e-3,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Users a step.")] = 128,
    patience: Annotated[int, typer.Option("--patience", min=0, help="Epochs without a gain; 0: train them all.")] = 10,
    precision: Annotated[str, typer.Option("--precision", help="float32, or bf16 in the full softmax.")] = "float32",
    windows: Annotated[str, typer.Option("--windows", help="Train on each user's last actions, or all.")] = "last",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was begun in --out.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a recommender on data of your own, stopping early on validation; say what it is worth, and save it."""
    from bench.apply import train as training
    from bench.show.console import print_message

    prepared = _preparation(repeats, user_core, item_core, split)
    how = {"epochs": epochs, "learning_rate": learning_rate, "batch": batch, "precision": precision}
    how["windows"] = windows
    how["patience"] = patience or None
    report = training.train(
        data, model, out, _asked(prepared, user, item, time), words=option or [], training=how, seed=seed,
        device=device, data_dir=data_dir, resume=resume,
        on_epoch=lambda progress: print_message(training.epoch_words(progress)),
    )  # fmt: skip
    _report(report, as_json)
    print_message(f"{model} in {out}; `evaluate {out} --data ...` ranks with it, `recommend {out} ...` asks it")


@app.command()
def evaluate(
    folder: ModelFolder,
    data: TrainedDataOption,
    data_dir: DataOption = None,
    user: TrainedUserOption = None,
    item: TrainedItemOption = None,
    time: TrainedTimeOption = None,
    repeats: RepeatsOption = None,
    user_core: UserCoreOption = None,
    item_core: ItemCoreOption = None,
    split: TrainedSplitOption = None,
    skip_unknown: SkipOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Rank with a saved model what data, the same or new, holds out; what is not given is as it was trained."""
    from bench.apply import saved

    prepared = _preparation(repeats, user_core, item_core, split or "leave_one_out")
    asked = _asked(prepared, user, item, time) | {"split": split}
    _report(
        saved.evaluate(folder, data, asked, skip_unknown=skip_unknown, device=device, data_dir=data_dir), as_json
    )


@app.command()
def recommend(
    folder: ModelFolder,
    data: Annotated[str | None, typer.Option("--data", help="A named dataset, or a file of your own.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Id of a user in --data.")] = None,
    history: Annotated[str | None, typer.Option("--history", help="Item ids, oldest first, commas between.")] = None,
    count: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 10,
    seen: Annotated[str | None, typer.Option("--seen", help="kept or filtered [default: as validated].")] = None,
    data_dir: DataOption = None,
    user_column: Annotated[str | None, typer.Option("--user-column", help=AS_TRAINED.format("users"))] = None,
    item_column: Annotated[str | None, typer.Option("--item-column", help=AS_TRAINED.format("items"))] = None,
    time_column: Annotated[str | None, typer.Option("--time-column", help=AS_TRAINED.format("times"))] = None,
    repeats: RepeatsOption = None,
    user_core: UserCoreOption = None,
    item_core: ItemCoreOption = None,
    skip_unknown: SkipOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """List the items that a saved model puts first after a user's actions, or after a history that you give."""
    from bench.apply import saved

    prepared = _preparation(repeats, user_core, item_core, "leave_one_out")
    asked = _asked(prepared, user_column, item_column, time_column)
    found = saved.recommend(
        folder, data=data, user=user, history=history, asked=asked, k=count, seen=seen, skip_unknown=skip_unknown,
        device=device, data_dir=data_dir,
    )  # fmt: skip
    _report(found, as_json)


@app.command()
def claims(
    rules: Annotated[bool, typer.Option("--rules", help="Show how each claim is judged, with its margin.")] = False,
    show: Annotated[
        str | None, typer.Option("--show", help="One claim whole: data, rule, command, time, last verdict.")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="Of --show: whose data, time and last verdict.")] = "quick",
    out: Annotated[Path, typer.Option("--out", help="Of --show: results folder of your runs.")] = RESULTS,
    data_dir: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the register: every claim, its source, the experiment that tests it; or with --show one claim whole."""
    from bench.judge.claims import read_register
    from bench.show.verdicts import register_table

    if show is not None:
        from bench.report.claim_card import claim_card
        from bench.show.console import print_message

        tables, unread = claim_card(show, preset, out, data_dir)
        _show(tables, as_json)
        for line in unread:
            print_message(line)
        return
    _show([register_table(read_register(), rules)], as_json)


@app.command()
def compare(
    run: Annotated[Path, typer.Argument(help="A folder that `reproduce` or `run` wrote, or its run.json.")],
    reference: Annotated[
        Path | None, typer.Argument(help="Another [default: the run of the same preset in results/reference].")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a run against another: verdicts, findings, numbers, what they were made with.

    Exit code: 0 verdicts equal, 1 a verdict differs, 2 wrong input.
    """
    from bench.report import compare as comparing
    from bench.report.run_files import read_run, reference_of
    from bench.show.console import print_message

    told = read_run(run)
    found = comparing.compare(told, read_run(reference or reference_of(told.preset)))
    _show(list(found.tables), as_json)
    for sentence in found.differing:
        print_message(sentence)
    if found.differing:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a run, which `reproduce` or `run` wrote.")],
) -> None:
    """Make the report of a run, one HTML page that needs no network, anew from what lies in its folder."""
    from bench.report.page import write_report
    from bench.show.console import print_message

    print_message(f"report in {write_report(folder)}")


@app.command()
def doctor(
    data_dir: DataOption = None,
    out: OutOption = RESULTS,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Break the suite on purpose, one fault at a time: is each one noticed?")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what this machine, these versions and this data are, and what is wrong with them; or test the suite itself.

    Exit code 3: no run could start; with --self-test, a check fails by itself or a fault goes unnoticed.
    """
    if self_test:
        from bench.selftest.suite import run
        from bench.show.console import print_message

        tables, healthy = run(on_step=print_message)
    else:
        from bench.doctor import examine

        tables, healthy = examine(data_dir, out)
    _show(tables, as_json)
    if not healthy:
        raise typer.Exit(3)


@data_app.command("list")
def data_list(data_dir: DataOption = None, as_json: JsonOption = False) -> None:
    """List the named datasets and which of them are there."""
    from bench.datasets import check, data_folder
    from bench.datasets.listing import status_table

    folder = data_folder(data_dir)
    _show([status_table(folder, check(folder, read=False))], as_json)


@data_app.command("check")
def data_check(data_dir: DataOption = None, as_json: JsonOption = False) -> None:
    """Read every dataset that is there and compare hashes and counts with the known ones."""
    from bench.datasets import check, data_folder
    from bench.datasets.listing import status_table

    folder = data_folder(data_dir)
    rows = check(folder)
    _show([status_table(folder, rows)], as_json)
    if any(not row.ok for row in rows if row.file is not None):
        raise typer.Exit(3)


@data_app.command("show")
def data_show(
    name: Annotated[str, typer.Argument(help="A named dataset, or a file of your own.")],
    data_dir: DataOption = None,
    user: UserOption = "user",
    item: ItemOption = "item",
    time: TimeOption = None,
    repeats: RepeatsOption = None,
    user_core: UserCoreOption = None,
    item_core: ItemCoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prepare one dataset, or a file of your own, and show what comes out."""
    from bench.datasets import DATASETS, data_folder, load, load_own
    from bench.datasets.listing import provenance_table

    asked = _preparation(repeats, user_core, item_core, "leave_one_out").of_readers
    if name in DATASETS or not Path(name).exists():
        loaded = load(name, data_folder(data_dir), **asked)
    else:
        loaded = load_own(Path(name), user=user, item=item, time=time, **asked)
    _show([provenance_table([loaded.provenance])], as_json)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A named dataset; see `data list`.")], data_dir: DataOption = None
) -> None:
    """Download a dataset from its owner, resuming what was begun, and check its hash."""
    from bench.datasets import data_folder
    from bench.datasets.download import get
    from bench.show.console import print_message, transfer

    with transfer(name) as progress:
        files = get(name, data_folder(data_dir), progress)
    for file in files:
        print_message(f"{name}: {file}")


@results_app.command("ls")
def results_ls(
    out: OutOption = RESULTS,
    runner: Annotated[str | None, typer.Option("--runner", help="Every record of this runner.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count records by runner and status, or list those of one runner."""
    from bench.report.records import list_table, open_store

    _show([list_table(open_store(out), runner)], as_json)


@results_app.command("show")
def results_show(
    key: Annotated[str, typer.Argument(help="The first digits of a record's key.")],
    out: OutOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Show one record whole."""
    from bench.report.records import find, open_store, show_tables

    store = open_store(out)
    _show(show_tables(store, find(store, key)), as_json)


@results_app.command("verify")
def results_verify(out: OutOption = RESULTS, as_json: JsonOption = False) -> None:
    """Read every record and its arrays; exit code 3 where one is damaged and was set aside."""
    from bench.report.records import open_store, verify

    table, sound = verify(open_store(out))
    _show([table], as_json)
    if not sound:
        raise typer.Exit(3)


@results_app.command("gc")
def results_gc(
    out: OutOption = RESULTS,
    delete: Annotated[bool, typer.Option("--delete", help="Remove them, instead of listing them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what killed writers left behind; records, damaged ones too, are never removed."""
    from bench.report.records import open_store, tidy

    _show([tidy(open_store(out), delete)], as_json)


@results_app.command("export")
def results_export(
    file: Annotated[Path, typer.Argument(help="Where it goes: .csv, or .parquet, which needs pyarrow.")],
    out: OutOption = RESULTS,
) -> None:
    """Write one row a record, with its parameters and metrics, for pandas, DuckDB or a spreadsheet."""
    from bench.report.records import export, open_store
    from bench.show.console import print_message

    print_message(f"{export(open_store(out), file)} records in {file}")


def _show(tables: list[Any], as_json: bool) -> None:
    from bench.show.console import print_table
    from bench.show.tables import to_dict

    if as_json:
        typer.echo(json.dumps([to_dict(table) for table in tables], ensure_ascii=False))
        return
    for table in tables:
        print_table(table)


def main() -> None:
    """Run the command; an input error is one line on stderr and exit code 2, never a traceback."""
    from bench.errors import INPUT_ERRORS

    if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks is escaped, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except INPUT_ERRORS as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except UsageError as error:
        if message := error.format_message():  # empty where the help was shown
            sys.stderr.write(f"error: {message}\n")
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except OSError as error:
        if error.filename is not None:  # of stdout there is no name
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        sys.stderr.write(f"error: the output cannot be written: {error.strerror or error}\n")
        sys.exit(2)
    if code == 130:
        sys.stderr.write("interrupted; what has finished is kept, the same command goes on there (train: --resume)\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
