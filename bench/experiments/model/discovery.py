"""Does CausalRec recover the item graph of behaviour? W against attention, lift, one-hot regression and chance."""

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, table
from bench.judge.bars import Bar
from bench.judge.claims import Finding, Margins, held
from bench.judge.intervals import paired_difference
from bench.plan.recommender_cells import world_cells, world_sizes
from bench.plan.results import mean_share, select, values
from bench.plan.setup import Setup
from bench.show.tables import Table

SCORES = {
    "w": "W of CausalRec",
    "attention": "attention weights (control)",
    "lift": "lift (control)",
    "regression": "one-hot regression (control)",
    "random": "random (control)",
}
MEASURES = {"auprc": "AUPRC", "parent": "true parent is the row's maximum", "orientation": "orientation"}
CLAIM = "discovery-recovers"


def plan(setup: Setup) -> list[Cell]:
    """CausalRec in every behaviour world."""
    return world_cells(setup, setup.preset.world, setup.preset.world_seeds, "causalrec")


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


def findings(setup: Setup, results: Results, margins: Margins) -> list[Finding]:  # noqa: ARG001
    """`discovery-recovers`: the AUPRC of W less that of each control, paired over worlds."""
    done, found = select(results), []
    for control in list(SCORES)[1:] if done else ():
        difference = paired_difference(values(done, "auprc_w"), values(done, f"auprc_{control}"))
        detail, bar = f"AUPRC difference, {difference.n} worlds", Bar(holds=0.0, fails=0.0)
        found.append(held(CLAIM, f"better than {SCORES[control]}", difference, bar, detail, "worlds"))
    return found


EXPERIMENT = Experiment(
    "discovery", "Does CausalRec recover the item graph of behaviour?", plan, tables, findings=findings
)
