"""Checks of the self-test on the harness: seeds, intervals, the rule of judgement, and verdicts of tiny experiments.

The experiments run end to end in this process, from planned cells over the runner and a store in a temporary folder to
the verdict, so that a fault anywhere on the way shows where a reader would look.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.cells.record import Record
from bench.cells.store import Store
from bench.cells.unit import Cell
from bench.experiments import find
from bench.experiments.theory.graphs import plan_cell
from bench.experiments.theory.layernorm import VIEWS
from bench.judge.bars import Outcome
from bench.judge.claims import Finding, Gate, Judgement, Verdict, judge, read_register
from bench.judge.intervals import Interval, clopper_pearson, t_interval
from bench.plan.presets import PRESETS
from bench.plan.results import collect
from bench.plan.setup import Setup
from bench.runners import structure
from bench.selftest.checks import Check, Measured
from causalrec.methods.streams import generator, torch_generator

NODES, FEATURES = 5, 256
SMALL = replace(
    PRESETS["smoke"].structure, draws=40, families=(("er", 2),), nodes=(NODES,), samples=(10, 1000),
    placement_nodes=(NODES,), features=(FEATURES,),
)  # fmt: skip
SETUP = Setup(replace(PRESETS["smoke"], structure=SMALL), root=0, device="cpu")


def _judge(experiment: str, setup: Setup, cells: list[Cell], claim: str) -> Verdict:
    """Run the cells of the structure runner and judge one claim by what the experiment finds in their records."""
    register = read_register()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for cell in cells:
            outcome = structure.run(cell)
            store.put(Record(cell.key, cell.fields, "ok", dict(outcome.metrics)), outcome.arrays)
        found = find(experiment).findings(setup, collect(cells, store), register)
    judged = {verdict.claim.id: verdict for verdict in judge(register, found, {})}
    return judged[claim]


def _said(verdict: Verdict) -> str:
    return f"{verdict.judgement}: " + "; ".join(f"{f.title} {f.outcome}" for f in verdict.findings)


def equal_variances_are_judged_as_claimed() -> Measured:
    """`recovery` of EqVar on 40 graphs of 5 nodes: exact on the exact covariance and at the largest n."""
    cells = [plan_cell(SETUP, "eqvar", "er", 2, NODES, samples) for samples in SMALL.samples]
    cells.append(plan_cell(SETUP, "eqvar", "er", 2, NODES, None, draws=80))
    verdict = _judge("recovery", SETUP, cells, "equal-variance-identifies")
    return Measured(verdict.judgement == "as claimed", _said(verdict))


def layernorm_is_judged_by_its_place() -> Measured:
    """`layernorm` on 24 graphs of 5 nodes: both views with LayerNorm on V are as claimed, the one on Z is not."""
    setup = replace(SETUP, preset=replace(SETUP.preset, structure=replace(SMALL, draws=24)))
    cells = [
        plan_cell(
            setup, "eqvar", "er", 2, NODES, FEATURES, violation={"kind": "layernorm", "placement": place}, ratio=ratio,
            profile="equal" if ratio == 1 else "random",
        )
        for _, place, ratio in VIEWS[:-1]
    ]  # fmt: skip
    verdict = _judge("layernorm", setup, cells, "layernorm-identifies")
    outcomes = [finding.outcome for finding in verdict.findings]
    expected = ["as claimed", "as claimed", "not above the bar"]
    return Measured((verdict.judgement, outcomes) == ("as claimed", expected), _said(verdict))


def every_outcome_has_its_interval() -> Measured:
    """Made-up intervals of two effects: each of the six outcomes is told, and the worse of two is the verdict."""
    made: dict[Outcome, tuple[float, float]] = {
        "as claimed": (5, 9), "smaller than claimed": (2, 4), "no effect": (-0.5, 0.5), "not above the bar": (-4, 0),
        "opposite": (-9, -5), "undecided": (-4, 4),
    }  # fmt: skip
    found = [_judged("beats-rivals", {"hr10": ends, "ndcg10": ends}) for ends in made.values()]
    both = _judged("beats-rivals", {"hr10": made["as claimed"], "ndcg10": made["no effect"]})
    return Measured([*found, both] == [*made, "no effect"], f"{', '.join(found)}; of the first and third {both}")


def a_gate_that_did_not_pass_blocks_the_verdict() -> Measured:
    """A large made-up gain of a claim behind the positive control, which passed, failed, or was not part of the run."""
    passed, failed = ({"positive_control": Gate(seen, "")} for seen in (True, False))
    found = [_judged("booster-matters", {"gain": (5, 9)}, gates) for gates in (passed, failed, {})]
    return Measured(found == ["as claimed", "not testable here", "not testable here"], ", ".join(found))


def _judged(claim: str, ends: dict[str, tuple[float, float]], gates: dict[str, Gate] | None = None) -> Judgement:
    """The verdict on a claim of whose parts these are the intervals."""
    found = [Finding(claim, part, Interval((low + high) / 2, low, high, 9)) for part, (low, high) in ends.items()]
    return {verdict.claim.id: verdict.judgement for verdict in judge(read_register(), found, {}, None, gates)}[claim]


def intervals_of_known_data() -> Measured:
    """The t interval of 1 to 5 is 3 ± 1.963 at 95 % and 3 ± 3.256 at 99 %; the upper bound of 0 in 10 is 0.308."""
    found = [t_interval([1, 2, 3, 4, 5], level).half_width for level in (0.95, 0.99)]
    found.append(clopper_pearson(0, 10).high)
    known = [1.963, 3.256, 0.308]
    said = ", ".join(f"{value:.3f}" for value in found)
    return Measured(bool(np.allclose(found, known, atol=5e-4)), f"{said} for {', '.join(map(str, known))}")


def every_axis_is_a_stream_of_its_own() -> Measured:
    """A change of the root, or of any one axis that runners name, gives other numbers, and no change the same."""
    axes = dict.fromkeys(("stream", "seed", "draw", "samples", "dataset", "part", "nodes"), 0)
    named = [{"root": 0, **axes}, {"root": 1, **axes}, *({"root": 0, **axes, name: 1} for name in axes)]
    numpy_draws = [float(generator(**asked).random()) for asked in (*named, named[0])]
    torch_seeds = [torch_generator(**asked).initial_seed() for asked in (*named, named[0])]
    different = [len(set(drawn)) for drawn in (numpy_draws, torch_seeds)]
    same = numpy_draws[0] == numpy_draws[-1] and torch_seeds[0] == torch_seeds[-1]
    words = f"{different[0]} streams of numpy and {different[1]} of torch for {len(named)} names"
    return Measured(same and different == [len(named)] * 2, words)


CHECKS: tuple[Check, ...] = (
    equal_variances_are_judged_as_claimed, layernorm_is_judged_by_its_place, every_outcome_has_its_interval,
    a_gate_that_did_not_pass_blocks_the_verdict, intervals_of_known_data, every_axis_is_a_stream_of_its_own,
)  # fmt: skip
