"""Does CausalRec recover the item graph of behaviour? W against attention, lift, one-hot regression and chance."""

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, more_worlds, table
from bench.judge.claims import Finding, Register
from bench.judge.intervals import paired_difference, sequence_interval
from bench.plan.recommender_cells import world_cells, world_sizes
from bench.plan.results import mean_share, select, values
from bench.plan.setup import Setup
from bench.show.tables import Table

SCORES = {
    "w": "W of CausalRec",
    "attention": "attention weights (control)",
    "implied": "effects that attention implies (control)",
    "lift": "lift (control)",
    "regression": "one-hot regression (control, knows horizon and decay)",
    "random": "random (control)",
}
MEASURES = {"auprc": "AUPRC", "parent": "true parent is the row's maximum", "orientation": "orientation"}
CLAIM = "discovery-recovers"


def plan(setup: Setup) -> list[Cell]:
    """CausalRec in every behaviour world."""
    return _cells(setup, setup.preset.world_seeds)


def _cells(setup: Setup, worlds: int) -> list[Cell]:
    return world_cells(setup, setup.preset.world, worlds, "causalrec")


def refine(setup: Setup, results: Results) -> list[Cell]:
    """More worlds for what is undecided."""
    return more_worlds(setup, results, lambda worlds: _cells(setup, worlds), findings)


def tables(setup: Setup, results: Results) -> list[Table]:
    """Every score under every measure, mean over worlds."""
    done = select(results)
    rows = [(title, *(mean_share(done, f"{name}_{score}") for name in MEASURES)) for score, title in SCORES.items()]
    means = {name: mean_share(done, name) for name in ("precision", "recall", "empty_rows")}
    read = ", ".join(f"{name.replace('_', ' ')} {mean.estimate:.2f}" for name, mean in means.items() if mean)
    note = (
        f"{len(done)} worlds, {world_sizes(setup.preset.world)}; every score sees the training steps alone. "
        f"Mean [95 % t interval over worlds]. Edges read off W at tau = 0.3: {read}."
    )
    return [table("discovery", "The item graph of behaviour", ("score", *MEASURES.values()), rows, note)]


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:  # noqa: ARG001
    """`discovery-recovers`: the AUPRC of W on the way from chance to the informed regression, and over each control."""
    done = select(results)
    if not done:
        return []
    auprc = {name: values(done, f"auprc_{name}") for name in SCORES}
    whole = float((auprc["regression"] - auprc["random"]).mean())
    reached = sequence_interval((auprc["w"] - auprc["random"]) / whole) if whole > 0 else None
    blocked = "" if reached else "the informed regression finds no more than chance does"
    means = ", ".join(f"{title} {auprc[name].mean():.2f}" for name, title in SCORES.items())
    detail = f"{len(done)} worlds of {setup.preset.most_worlds} at most; mean AUPRC: {means}"
    made = [Finding(CLAIM, "recovered", reached, detail=detail, blocked=blocked)]
    for control in ("attention", "lift", "regression"):
        difference = paired_difference(auprc["w"], auprc[control])
        made.append(Finding(CLAIM, f"over_{control}", difference, detail=f"{len(done)} worlds"))
    return made


EXPERIMENT = Experiment(
    "discovery", "Does CausalRec recover the item graph of behaviour?", plan, tables, refine, findings=findings,
    later=5.0,
)  # fmt: skip
