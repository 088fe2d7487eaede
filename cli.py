"""The command line: commands, their options, and the functions of `bench` that answer them, imported when called."""

from pathlib import Path
from typing import Annotated

import typer

from bench.plan import request
from bench.show.terminal import Answer, command, output, print_version, run_application

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,  # a shell completes the name of a program, which `python cli.py` is not
    pretty_exceptions_enable=False,
    help="Test the claims of CausalRec (arXiv 2510.21333) on worlds whose truth is known and on real data.",
)
data_app = typer.Typer(name="data", no_args_is_help=True, help="List, check, show and download real datasets.")
results_app = typer.Typer(name="results", no_args_is_help=True, help="List, show, verify and export stored records.")
app.add_typer(data_app)
app.add_typer(results_app)

Data = Annotated[str, request.data("Name of a dataset, or a file of your own.")]
Option = Annotated[request.Words, request.method("Option of the model or learner as key=value; may be repeated.")]
SkipUnknown = Annotated[bool, request.data("Leave out actions on items unknown to the model.", "--skip-unknown")]
ModelFolder = Annotated[Path, typer.Argument(help="Folder that `train` wrote.")]
Evidence = Annotated[Path, typer.Argument(help="Folder of a run and its records or archives, or of several such.")]
RunFolder = Annotated[Path, typer.Argument(help="Folder that `reproduce` or `run` wrote.")]
Reference = Annotated[Path | None, typer.Argument(help="Another run.", show_default="that in results/reference")]
Key = Annotated[str, typer.Argument(help="First digits of a record's key.")]
VERSION = typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)


@app.callback()
def of_all_commands(version: Annotated[bool, VERSION] = False) -> None:
    """Print the version where it is asked for; any other option belongs to a command."""


@command(app, "reproduce", "--preset smoke")
def reproduce(plan: request.PlanOptions, reading: request.DataOptions, running: request.RunOptions) -> Answer:
    """Run the experiments of a preset and print a verdict on each claim. Cells that have run are not run again.

    Exit code: 0 all cells ran, 1 a verdict differs from --expect beyond noise, 2 wrong input, 3 cells failed, had no
    time (--hours) or, with --require-data, no data (3 comes before 1), 130 interrupted (finished cells are kept).
    """
    from bench.experiments import of_preset
    from bench.report.run import run_and_write

    return run_and_write(of_preset(plan.preset), plan, reading, running)


@command(app, "run", "recommend --data clicks.csv --user visitor --item product")
def run(
    experiment: Annotated[str, typer.Argument(help="recovery, variance, layernorm, acyclicity, discovery, ...")],
    plan: request.PlanOptions,
    reading: request.DataOptions,
    columns: request.Columns,
    running: request.RunOptions,
    data: Annotated[Path | None, request.data("File of your own: a table, pairs or lists of users and items.")] = None,
) -> Answer:
    """Run one experiment; --data takes a file of your own alone, --learner and --recommender add models of your own.

    Exit codes are those of `reproduce`; --expect compares the claims that this experiment tests.
    """
    from bench.report.run import run_and_write

    own = None if data is None else {"path": str(data), **vars(columns)}
    return run_and_write((experiment,), plan, reading, running, own)


@command(app, "plan", "--preset paper")
def plan(
    plan: request.PlanOptions,
    reading: request.DataOptions,
    keys: Annotated[bool, output("Print only key, tab, label of each cell; --json has no effect.", "--keys")] = False,
) -> Answer:
    """Show what `reproduce` would run, which cells have run already, and about how long the rest takes."""
    from bench.experiments import of_preset
    from bench.report.run import show_plan

    return show_plan(of_preset(plan.preset), plan, reading, keys)


@command(app, "learn", "samples.csv --out W.csv --method notears")
def learn(
    file: Annotated[
        Path | None, typer.Argument(help="Samples as rows, variables as columns: text or .npy, also packed.")
    ] = None,
    out: Annotated[Path | None, output("File for the matrix W, .csv or .npy: W[i, j] is the effect of j on i.")] = None,
    method: Annotated[
        str, request.method("Learner, or your own as package.module:function, or a class with fit.")
    ] = "notears",
    option: Option = None,
    listing: Annotated[bool, request.method("List the learners with their options, and end.", "--list")] = False,
    threshold: Annotated[float, request.method("Smallest |weight| of an edge.")] = 0.3,
    covariance: Annotated[bool, request.data("The file holds a covariance, not samples.", "--covariance")] = False,
    samples: Annotated[int | None, request.data("Samples behind the covariance.", default="none: it is exact")] = None,
    header: Annotated[bool | None, request.data("Whether line 1 holds names.", default="detected, and told")] = None,
    delimiter: Annotated[str | None, request.data("comma, tab, semicolon or blank.", default="detected")] = None,
    columns: Annotated[
        request.Words, request.data("Columns to read, by name; may be repeated, or separated by commas.", default="all")
    ] = None,
    drop: Annotated[request.Words, request.data("Columns to leave out, likewise.", default="none")] = None,
    standardize: Annotated[bool, request.data("Bring each variable to mean 0, variance 1.", "--standardize")] = False,
    transpose: Annotated[bool, output("Write W[i, j] as the effect of i on j.", "--transpose")] = False,
    graphml: Annotated[Path | None, output("File for the graph as GraphML as well.")] = None,
    plot: Annotated[Path | None, output("File for a picture of the graph as well: .svg, .png or .pdf.")] = None,
    bootstrap: Annotated[
        int | None, request.method("Resamples of the rows, to say how sure each edge is.", default="none")
    ] = None,
    resample: Annotated[str, request.method("How they are drawn: bootstrap or halves.")] = "bootstrap",
    calibrate: Annotated[
        int, request.method("Simulated worlds on which their frequencies are turned into probabilities.")
    ] = 0,
    seed: request.Seed = 0,
    time_limit: Annotated[float | None, request.where("Seconds to learn for at most.", default="none")] = None,
) -> Answer:
    """Learn a graph from a file of your own and say what to know before believing it."""
    from bench.apply import learn as learning
    from bench.apply.confidence import asked_for
    from bench.apply.graphml import write_graphml
    from bench.apply.observed import read
    from bench.errors import InputError
    from bench.show.console import print_message

    if listing:
        return Answer([learning.list_methods()])
    if file is None or out is None:
        raise InputError("give a file of samples and --out FILE for W, or --list for the learners")
    learning.check_out(out, file, graphml, plot)
    options = learning.parse_options(method, option or [])
    resampling = asked_for(bootstrap, resample, calibrate)
    observed = read(
        file, covariance=covariance, samples=samples, header=header, delimiter=delimiter, columns=columns or (),
        drop=drop or (), standardize=standardize,
    )  # fmt: skip
    learned = learning.learn(observed, method, options, threshold, seed, time_limit, print_message, resampling)
    if graphml is not None:
        write_graphml(graphml, learned.graph, observed.names)
    if plot is not None:
        from bench.apply.plot import write_plot

        write_plot(plot, learned)
    learning.write_matrix(out, learned, transpose)
    messages = [f"warning: {warning}" for warning in learned.warnings]
    messages += [f"W in {out}: W[i, j] is the effect of {'i on j' if transpose else 'j on i'}"]
    return Answer(learning.tables(learned), learning.document(learned), messages)


@command(app, "train", "--data ml-100k --model sasrec --out sasrec --option width=64")
def train(
    data: Data,
    model: Annotated[str, request.method("Model to train: sasrec, causalrec, fpmc, ease, popularity, ...")],
    out: Annotated[Path, output("Folder for the model's files.")],
    reading: request.DataOptions,
    columns: request.Columns,
    fitting: request.FitOptions,
    split: request.Split = "leave_one_out",
    option: Option = None,
    seed: request.Seed = 0,
    device: request.Device = "auto",
    resume: Annotated[bool, request.where("Continue what was begun in --out.", "--resume")] = False,
) -> Answer:
    """Train a recommender on data of your own, tell how well it ranks, and save it."""
    from bench.apply import train as training
    from bench.show.console import print_message

    report = training.train(
        data, model, out, reading.asked(vars(columns), split), words=option or [], training=fitting.given(),
        seed=seed, device=device, data_dir=reading.data_dir, resume=resume,
        on_epoch=lambda progress: print_message(training.epoch_words(progress)),
    )  # fmt: skip
    said = f"{model} in {out}; `evaluate {out} --data ...` ranks with it, `recommend {out} ...` asks it"
    return Answer(report.tables(), report.document(), [said])


@command(app, "evaluate", "sasrec --data ml-100k")
def evaluate(
    folder: ModelFolder,
    data: Data,
    reading: request.DataOptions,
    columns: request.TrainedColumns,
    split: Annotated[str | None, request.as_trained("leave_one_out or temporal.")] = None,
    skip_unknown: SkipUnknown = False,
    device: request.Device = "auto",
) -> Answer:
    """Rank the actions that data, the same or new, hold out with a saved model; what is not given is as trained."""
    from bench.apply import saved

    asked, data_dir = reading.asked(vars(columns), split), reading.data_dir
    report = saved.evaluate(folder, data, asked, skip_unknown=skip_unknown, device=device, data_dir=data_dir)
    return Answer(report.tables(), report.document())


@command(app, "recommend", "sasrec --data ml-100k --user 42 -k 5")
def recommend(
    folder: ModelFolder,
    reading: request.DataOptions,
    columns: request.NamedColumns,
    data: Annotated[str | None, request.data("Name of a dataset, or a file of your own.")] = None,
    user: Annotated[request.Words, request.scope("Id of a user in --data; may be repeated.")] = None,
    users: Annotated[str | None, request.scope("all, or a file of ids of users in --data, one per line.")] = None,
    history: Annotated[
        request.Words, request.scope("Item id; may be repeated, oldest first. Or ids separated by commas.")
    ] = None,
    history_file: Annotated[Path | None, request.scope("File of item ids, oldest first, one per line.")] = None,
    count: Annotated[int, request.scope("Number of items to list.", "-k", least=1)] = 10,
    seen: Annotated[str | None, request.scope("Seen items: kept or filtered.", default="as validated")] = None,
    skip_unknown: SkipUnknown = False,
    out: Annotated[
        Path | None, output("File for user, rank, item, score of --user or --users: .csv or .parquet.")
    ] = None,
    device: request.Device = "auto",
) -> Answer:
    """List the items that a saved model ranks first after users' actions, or after a history that you give."""
    from bench.apply import saved
    from bench.cells.files import write_frame
    from bench.errors import InputError

    if out is not None or users is not None or len(user or ()) > 1:
        if data is None or not (user or users) or history or history_file or (users and out is None):
            raise InputError("say whose: --data FILE, and --user ID or, with --out FILE, --users all or --users FILE")
        if out is not None:
            saved.check_out(out, data)
        many = saved.recommend_users(
            folder, data, saved.read_users(user or (), users), k=count, seen=seen, skip_unknown=skip_unknown,
            device=device, asked=reading.asked(columns.file), data_dir=reading.data_dir,
        )  # fmt: skip
        if out is not None:
            write_frame(out, many.rows)
        return Answer([many.table(out)], many.document(out))
    found = saved.recommend(
        folder, data=data, user=user[0] if user else None, history=history, history_file=history_file, k=count,
        seen=seen, skip_unknown=skip_unknown, device=device, asked=reading.asked(columns.file),
        data_dir=reading.data_dir,
    )  # fmt: skip
    return Answer([found.table()], found.document())


@command(app, "claims", "--show attention-is-scm")
def claims(
    rules: Annotated[bool, output("Show how each claim is judged, with its margin.", "--rules")] = False,
    show: Annotated[str | None, output("One claim in full: data, rule, command, time, last verdict.")] = None,
    preset: Annotated[str, request.scope("With --show: preset of its data, time and last verdict.")] = "quick",
    out: Annotated[Path, output("With --show: results folder of your runs.")] = request.RESULTS,
    data_dir: request.DataDir = None,
) -> Answer:
    """List every claim with its source and the experiment that tests it; --show shows one claim in full."""
    if show is not None:
        from bench.report.claim_card import claim_card

        tables, unread = claim_card(show, preset, out, data_dir)
        return Answer(tables, messages=unread)
    from bench.judge.claims import read_register
    from bench.show.verdicts import register_table

    return Answer([register_table(read_register(), rules)])


@command(app, "compare", "results/runs/quick-seed0")
def compare(
    run: RunFolder,
    reference: Reference = None,
    across_registers: Annotated[
        bool, output("Compare runs that were judged by different rules.", "--across-registers")
    ] = False,
) -> Answer:
    """Compare a run with another: verdicts, findings, numbers, and what they were made with.

    Exit code: 0 no verdict differs beyond noise, 1 one does, 2 wrong input.
    """
    from bench.report import compare as comparing
    from bench.report.run_files import read_run, reference_of

    ours = read_run(run)
    found = comparing.compare(ours, read_run(reference or reference_of(ours.preset)), across_registers)
    messages = [*(f"within noise: {sentence}" for sentence in found.within_noise), *found.differing]
    return Answer(found.tables, messages=messages, exit_code=1 if found.differing else 0)


@command(app, "judge", "results/evidence")
def judge(
    folder: Evidence,
    out: Annotated[Path | None, output("Folder for the run as it is judged now.", default="nothing is written")] = None,
    data_dir: request.DataDir = None,
    paper: Annotated[bool, output("With --out: figures/paper/*.pdf as well, 3.3 inches wide.", "--paper")] = False,
) -> Answer:
    """Judge the records of runs again by the register of today, without running a cell."""
    from bench.report.rejudge import judge_folder

    return judge_folder(folder, out, data_dir, paper=paper)


@command(app, "spot-check", "results/evidence --cells 5 --seed 1")
def spot_check(
    folder: Evidence,
    cells: Annotated[int, request.scope("How many cells.", least=1)] = 5,
    seed: Annotated[int, request.scope("Root of the choice of cells.", least=0)] = 0,
    jobs: Annotated[int, request.where("Worker processes.", least=1)] = 1,
    data_dir: request.DataDir = None,
) -> Answer:
    """Run a few random cells of runs again and hold them against their records.

    Exit code: 0 all are as recorded, 1 one is not, 2 wrong input.
    """
    from bench.report.spot_check import spot_check as check

    return check(folder, cells, seed, data_dir, jobs)


@command(app, "severity", "--preset standard")
def severity(
    preset: Annotated[str, request.scope("Whose numbers of draws, worlds and seeds are taken.")] = "quick",
    run: Annotated[
        Path | None, request.scope("Folder of the run whose spread is taken.", default="that in results/reference")
    ] = None,
) -> Answer:
    """Show what each rule says if its claim is true, if there is nothing to it, and if the opposite is true."""
    from bench.report.rejudge import show_severity

    return show_severity(preset, run)


@command(app, "report", "results/runs/quick-seed0", as_json=False)
def report(folder: RunFolder) -> Answer:
    """Make the report of a run again from the files in its folder: one HTML page that needs no network."""
    from bench.report.page import write_report

    return Answer(messages=[f"report in {write_report(folder)}"])


@command(app, "doctor", "--self-test")
def doctor(
    data_dir: request.DataDir = None,
    out: request.Out = request.RESULTS,
    self_test: Annotated[bool, request.scope("Break the suite: is each fault noticed?", "--self-test")] = False,
) -> Answer:
    """Show what this machine, these versions and these data are, and what is wrong with them; or test the suite.

    Exit code 3: no run could start or, with --self-test, a check fails without a fault or a fault is not noticed.
    """
    if self_test:
        from bench.selftest import suite
        from bench.show.console import print_message

        tables, healthy = suite.run(on_step=print_message)
    else:
        from bench.doctor import examine

        tables, healthy = examine(data_dir, out)
    return Answer(tables, exit_code=0 if healthy else 3)


@command(data_app, "list", "--data-dir data")
def data_list(data_dir: request.DataDir = None) -> Answer:
    """List the named datasets and which of them are there."""
    from bench.datasets.listing import examine

    return Answer([examine(data_dir, read=False)[0]])


@command(data_app, "check", "--data-dir data")
def data_check(data_dir: request.DataDir = None) -> Answer:
    """Read every dataset that is there and compare hash and counts with the known ones; exit code 3 if any differs."""
    from bench.datasets.listing import examine

    table, sound = examine(data_dir, read=True)
    return Answer([table], exit_code=0 if sound else 3)


@command(data_app, "show", "clicks.csv --user visitor --item product")
def data_show(
    name: Annotated[str, typer.Argument(help="Name of a dataset, or a file of your own.")],
    reading: request.DataOptions,
    columns: request.Columns,
) -> Answer:
    """Prepare one dataset, or a file of your own, and show what comes out."""
    from bench.apply.train import read_data
    from bench.datasets.listing import provenance_table

    loaded, _ = read_data(name, reading.data_dir, reading.asked(vars(columns)))
    return Answer([provenance_table([loaded.provenance])])


@command(data_app, "get", "ml-100k", as_json=False)
def data_get(
    name: Annotated[str, typer.Argument(help="Name of a dataset, see `data list`.")], data_dir: request.DataDir = None
) -> Answer:
    """Download a dataset from its owner, continuing what was begun, and check its hash."""
    from bench.datasets import download
    from bench.datasets.load import data_folder
    from bench.show.console import transfer

    with transfer(name) as progress:
        files = download.get(name, data_folder(data_dir), progress)
    return Answer(messages=[f"{name}: {file}" for file in files])


@command(results_app, "ls", "--runner recommender")
def results_ls(
    out: request.Out = request.RESULTS,
    runner: Annotated[str | None, request.scope("Runner whose records are listed.", default="count all")] = None,
) -> Answer:
    """Count records by runner and status, or list those of one runner."""
    from bench.report.records import list_table, open_store

    return Answer([list_table(open_store(out), runner)])


@command(results_app, "tables", "results/runs/quick-seed0 verdicts")
def results_tables(
    folder: RunFolder, name: Annotated[str | None, typer.Argument(help="Name of a table.", show_default="all")] = None
) -> Answer:
    """Print the tables of a run, or one of them."""
    from bench.report.run_files import read_run, tables_of

    return Answer(tables_of(read_run(folder), name))


@command(results_app, "show", "3f9a01")
def results_show(key: Key, out: request.Out = request.RESULTS) -> Answer:
    """Show one record in full."""
    from bench.report.records import find, open_store, show_tables

    store = open_store(out)
    return Answer(show_tables(store, find(store, key)))


@command(results_app, "verify", "--out results/runs")
def results_verify(out: request.Out = request.RESULTS) -> Answer:
    """Read every record and its arrays; exit code 3 if one is damaged and was set aside."""
    from bench.report.records import open_store, verify

    table, sound = verify(open_store(out))
    return Answer([table], exit_code=0 if sound else 3)


@command(results_app, "pack", "results/runs/quick-seed0 evidence/quick", as_json=False)
def results_pack(
    folder: RunFolder,
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    data_dir: request.DataDir = None,
) -> Answer:
    """Pack the records behind a run into a few archives, small enough for a repository, that `judge` reads."""
    from bench.report.evidence import pack_run

    return Answer(messages=[pack_run(folder, out, data_dir)])


@command(results_app, "gc", "--delete")
def results_gc(
    out: request.Out = request.RESULTS,
    delete: Annotated[bool, request.scope("Remove the files instead of listing them.", "--delete")] = False,
) -> Answer:
    """List files that killed writers left behind; records are never removed, not even damaged ones."""
    from bench.report.records import open_store, tidy

    return Answer([tidy(open_store(out), delete)])


@command(results_app, "export", "records.csv", as_json=False)
def results_export(
    file: Annotated[Path, typer.Argument(help="To write: .csv or, by pyarrow, .parquet; with --as, a folder.")],
    out: request.Out = request.RESULTS,
    form: Annotated[str | None, output("ro-crate or croissant: a run to publish, see --run.", "--as")] = None,
    run: Annotated[Path | None, request.scope("With --as: folder that `reproduce` or `run` wrote.")] = None,
) -> Answer:
    """Write one row per record, with its parameters and metrics, for pandas, DuckDB or a spreadsheet; or publish a run.

    An RO-Crate has the run's files and records and says what they are; croissant.json describes records and datasets.
    """
    if form is not None or run is not None:
        from bench.report.export import export_run

        return Answer(messages=[export_run(run, form, file)])
    from bench.report.records import export, open_store

    return Answer(messages=[f"{export(open_store(out), file)} records in {file}"])


def main() -> None:
    """Run the command that the process was started with."""
    run_application(app)


if __name__ == "__main__":
    main()
