"""One claim on a page: how it is tested and judged, what remakes it, what the last run said of it."""

from dataclasses import replace
from pathlib import Path

from bench.engine.local import default_jobs
from bench.errors import InputError
from bench.experiments import LARGER, find, left_out, of_preset
from bench.judge.claims import Claim, read_register
from bench.judge.intervals import Value
from bench.plan.presets import find_preset
from bench.plan.setup import Setup, make_setup
from bench.report.run_files import NAME, REFERENCE, RunFile, read_run
from bench.reproduce import plan_cells
from bench.show.console import duration
from bench.show.tables import Table
from bench.show.verdicts import estimate_words

GRAPHS = "drawn graphs"


def claim_card(name: str, preset: str, out: Path, data_dir: Path | None = None) -> tuple[list[Table], list[str]]:
    """The claim, and the findings of the last run that judged it.

    Args:
        name: the claim's id.
        preset: data, time and what would be left out are told for this preset.
        out: the last run is the newest of this preset below this folder that has a verdict on the claim, or if there
            is none, the one in results/reference.
        data_dir: where the datasets are; None for the usual place.

    Returns:
        The tables, and one line per run that could not be read.

    Raises:
        InputError: the claim or the preset is unknown, or a dataset or the reference is damaged.
    """
    register = read_register()
    if name not in register.claims:
        raise InputError(f"claim {name!r} is unknown; choose one of {', '.join(register.claims)}")
    claim, sizes = register.claims[name], find_preset(preset)
    planned = _planned(claim, make_setup(sizes, 0, data_dir))
    judged, unread = last_judged(name, preset, out)
    rows: list[tuple[Value, ...]] = [
        ("claim", claim.statement),
        ("kind", claim.kind),
        ("source", claim.source),
        ("how near the paper's test", claim.tier),
        ("experiment", claim.experiment),
        *planned,
        ("the paper is right if", claim.right_if),
        ("rule", claim.rule),
        ("gates", ", ".join(claim.gates) or None),
        ("decided by", "every essential part" if claim.combine == "all" else "any one essential part"),
        *((f"{'part' if part.essential else 'beside'}: {part.measure}", f"{part.asked}: {part.reason}")
          for part in claim.parts.values()),
        ("other figures", ", ".join(f"{key} {figure:g}" for key, figure in claim.figures.items()) or None),
        ("why more runs do not settle it", claim.cap or None),
    ]  # fmt: skip
    if judged is None:
        return [_card(name, [*rows, ("last verdict", f"none: no run of {preset} in {out} or {REFERENCE}")])], unread
    said = judged.by_claim[name]
    rows += [("last verdict", said.judgement), ("of the run", str(judged.path))]
    rows += [("note", said.note or None), ("why", said.why or None)]
    found = tuple(
        (f.title, f.outcome, estimate_words(f.estimate, said.claim.parts[f.part]),
         "; ".join(filter(None, (f.blocked, f.detail))))
        for f in said.findings
    )  # fmt: skip
    columns = ("part", "outcome", "estimate [interval]", "rests on")
    note = f"From {judged.path}: preset {judged.preset}, seed {judged.seed}, {judged.device}."
    return [_card(name, rows), Table("findings", f"Findings on {name}", columns, found, note)], unread


def _card(name: str, rows: list[tuple[Value, ...]]) -> Table:
    return Table("claim", f"The claim {name}", ("what", "told"), tuple(rows))


def _planned(claim: Claim, setup: Setup) -> list[tuple[Value, ...]]:
    """What judging the claim takes at this preset: data, command, time. A gate is passed by another experiment.

    Where `reproduce` leaves the experiment of a claim with gates out, the command and time of the preset that has it.
    """
    experiment, asked = find(claim.experiment), "reproduce" if claim.gates else f"run {claim.experiment}"
    gaps, why = experiment.gaps(setup), left_out(setup.preset, claim.experiment)
    if why and claim.gates:
        setup = replace(setup, preset=find_preset(LARGER))
    planned = plan_cells(setup, of_preset(setup.preset.name) if claim.gates else (claim.experiment,))
    cells = list(dict.fromkeys(cell for part in planned.values() for cell in part))
    data = dict.fromkeys(cell.params.get("dataset", {}).get("name", GRAPHS) for cell in planned[claim.experiment])
    jobs = default_jobs(setup.device)
    seconds = sum(cell.cost for cell in cells) / jobs
    later = ", and then what follows from their results" if any(find(name).refines for name in planned) else ""
    time = f"about {duration(seconds)} on {jobs} workers for {len(cells)} cells{later}"
    return [
        ("data here", ", ".join(data) or "none"),
        ("left out here", why or gaps.get(claim.id) or None),
        ("command", f"python cli.py {asked} --preset {setup.preset.name}"),
        ("time", time if cells else "nothing can run with the data here"),
    ]


def last_judged(claim: str, preset: str, out: Path) -> tuple[RunFile | None, list[str]]:
    """The newest run that judged a claim.

    Args:
        claim: its id.
        preset: only runs of this preset count.
        out: the folder below which runs lie.

    Returns:
        The run, which is the reference's if `out` has none, or None; and why each run.json that was passed over could
        not be read.

    Raises:
        InputError: the reference cannot be read.
    """
    unread = []
    for path in sorted(filter(Path.is_file, out.glob(f"*/{NAME}")), key=lambda p: p.stat().st_mtime_ns, reverse=True):
        try:
            run = read_run(path)
        except InputError as error:
            unread.append(f"passed over: {error}")
            continue
        if run.preset == preset and _judges(run, claim):
            return run, unread
    reference = REFERENCE / preset / NAME
    committed = read_run(reference) if reference.is_file() else None
    return (committed if committed is not None and _judges(committed, claim) else None), unread


def _judges(run: RunFile, claim: str) -> bool:
    return claim in run.by_claim and run.by_claim[claim].judgement != "not run"
