"""Does CausalRec recover the item graph of behaviour? W against attention, lift, one-hot regression and chance."""

from bench.cells.unit import Cell
from bench.judge.bars import Bar
from bench.judge.claims import Finding, Margins, held
from bench.judge.intervals import Interval, Value, paired_difference, share_interval
from bench.plan import trials
from bench.plan.results import Result
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
    return trials.world_cells(setup, setup.preset.world, setup.preset.world_seeds, "causalrec")


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """Every score under every measure, mean over worlds."""
    done = [r for r in results if r.ok]
    rows: list[tuple[Value, ...]] = [
        (title, *(_mean(done, f"{measure}_{score}") for measure in MEASURES)) for score, title in SCORES.items()
    ]
    means = {name: _mean(done, name) for name in ("precision", "recall", "empty_rows")}
    read = ", ".join(f"{name.replace('_', ' ')} {mean.estimate:.2f}" for name, mean in means.items() if mean)
    note = (
        f"{len(done)} worlds, {trials.world_sizes(setup.preset.world)}; every score sees the training steps alone. "
        f"Mean [95 % t interval over worlds]. Edges read off W at tau = 0.3: {read}."
    )
    return [Table("discovery", "The item graph of behaviour", ("score", *MEASURES.values()), tuple(rows), note)]


def _mean(done: list[Result], metric: str) -> Interval | None:
    values = [r.metrics[metric] for r in done if r.metrics[metric] is not None]
    return share_interval(values) if values else None


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:  # noqa: ARG001
    """`discovery-recovers`: the AUPRC of W less that of each control, paired over worlds."""
    done, found = [r for r in results if r.ok], []
    if not done:
        return []
    ours = [r.metrics["auprc_w"] for r in done]
    for control in list(SCORES)[1:]:
        difference = paired_difference(ours, [r.metrics[f"auprc_{control}"] for r in done])
        detail, bar = f"AUPRC difference, {difference.n} worlds", Bar(holds=0.0, fails=0.0)
        found.append(held(CLAIM, f"better than {SCORES[control]}", difference, bar, detail, "worlds"))
    return found
