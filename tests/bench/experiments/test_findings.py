"""On worlds whose truth is known: each finding comes out as its claim's rule says."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from bench.experiments import EXPERIMENTS
from bench.experiments.model import acyclicity, sensitivity
from bench.experiments.theory import variance
from bench.experiments.theory.graphs import plan_cell
from bench.judge.claims import BLOCKED, Finding
from bench.plan.setup import OWN, Setup
from bench.plan.tuning import chosen_runs
from causalrec.methods.canonical import digest
from tests.bench.made_up import (
    BELOW,
    CLAIMED,
    NOTHING,
    OPEN,
    OPPOSITE,
    bare,
    failed,
    find,
    graphs,
    judged,
    made_up,
    model,
    outcomes,
    plan_all,
    recovered,
    with_data,
)

# Recovery


@pytest.mark.parametrize(
    ("exact", "large", "expected", "verdict"),
    [
        (1.0, 1.0, (CLAIMED, CLAIMED, CLAIMED), CLAIMED),
        (0.8, 1.0, (BELOW, CLAIMED, CLAIMED), BELOW),
        (1.0, 0.5, (CLAIMED, BELOW, BELOW), BELOW),
        (1.0, 0.9, (CLAIMED, OPEN, OPEN), OPEN),
    ],
)
def test_equal_variance_identifies(exact, large, expected, verdict):
    """By the exact covariance and the largest n alone: at the others nothing is recovered."""
    setup = bare()
    most = setup.preset.structure.samples[-1]
    results = recovered(setup, lambda n: {None: exact, most: large}.get(n, 0.0))
    found = outcomes(find("recovery", setup, results), "equal-variance-identifies")
    assert found == dict(zip(("population", "rate", "notears"), expected, strict=True))
    assert judged("recovery", setup, results)["equal-variance-identifies"].judgement == verdict


def test_all_kinds_of_graph_count_and_the_worst_is_named():
    setup = bare()
    results = recovered(setup, lambda n: 1.0)
    at = [(r.params["learner"], r.params["family"], r.params["nodes"], r.params["samples"]) for r in results].index(
        ("eqvar", "chain", 10, setup.preset.structure.samples[-1])
    )
    draws = setup.preset.structure.draws
    results[at] = graphs(results[at].cell, shd=np.arange(draws) % 2)
    part = find("recovery", setup, results)[1]
    assert (part.estimate.estimate, part.estimate.n) == (7 / 8, 4 * draws)
    assert "4 kinds of graph; the worst, CHAIN1 of 10 nodes, 0.50" in part.detail


def test_the_lemma_is_judged_by_eqvar_alone():
    setup = bare()
    results = [r if r.params["learner"] == "eqvar" else graphs(r.cell, shd=9) for r in recovered(setup, lambda n: 1.0)]
    assert outcomes(find("recovery", setup, results), "equal-variance-identifies")["notears"] == BELOW
    assert judged("recovery", setup, results)["equal-variance-identifies"].judgement == CLAIMED


# Unequal variances


@pytest.mark.parametrize(
    ("slope", "scatter", "outcome"),
    [
        (3.0, 1.0, CLAIMED), (0.5, 0.0, NOTHING), (0.0, 0.0, NOTHING), (0.0, 1.0, NOTHING), (-3.0, 1.0, OPPOSITE),
        (-2.5, 10.0, BELOW), (0.0, 10.0, OPEN),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shared", [0.0, 3.0])
def test_unequal_variance_breaks(slope, scatter, outcome, shared):
    """SHD rises by `slope`, ± scatter by draw, a doubling of the ratio beyond what it rises for the oracle as well."""
    found = find("variance", bare(), risen(slope, scatter, shared))
    assert len(found) == 6
    assert set(outcomes(found, "unequal-variance-breaks").values()) == {outcome}
    assert all(f.estimate.estimate == pytest.approx(slope) for f in found)


def risen(slope, scatter=0.0, shared=0.0, among=lambda p: True):
    made = []
    for cell in EXPERIMENTS["variance"].plan(bare()):
        beyond = slope + scatter * (-1.0) ** np.arange(cell.params["draws"])
        rise = shared + beyond * (cell.params["learner"] != "oracle" and among(cell.params))
        made.append(graphs(cell, shd=200 + rise * np.log2(cell.params["ratio"])))
    return made


def test_one_learner_that_one_profile_breaks_is_enough():
    results = risen(3.0, among=lambda p: (p["learner"], p["profile"]) == ("notears", "falling"))
    found = outcomes(find("variance", bare(), results), "unequal-variance-breaks")
    assert {where for where, outcome in found.items() if outcome == CLAIMED} == {"breaks, NOTEARS, falling"}
    assert judged("variance", bare(), results)["unequal-variance-breaks"].judgement == CLAIMED


def test_the_ratio_at_which_recovery_breaks_is_reported():
    setup = bare()
    results = [
        graphs(cell, shd=np.arange(cell.params["draws"]) * (cell.params["ratio"] >= 16))
        for cell in EXPERIMENTS["variance"].plan(setup)
    ]
    drop = 0.5 / (1 - 1 / setup.preset.structure.draws)  # of the way from ratio 4 to 16
    found = find("variance", setup, results)
    assert all(f"exact recovery under 1/2 from ratio {4 * 4**drop:.3g} [" in f.detail for f in found)


def at_rates(rates, draws=60):
    """A curve whose exact-recovery rate at each ratio is given."""
    setup = bare()
    made = []
    for ratio, rate in rates.items():
        cell = plan_cell(setup, "eqvar", "er", 2, 20, 1000, ratio=float(ratio), draws=draws)
        made.append(graphs(cell, shd=np.arange(draws) >= round(rate * draws)))
    return made


def test_where_recovery_drops_under_one_half_by_hand():
    assert variance.half_crossing([]) is None
    # From 3/4 at 4 to 1/4 at 16: half way in log2.
    assert variance.half_crossing(at_rates({1: 1, 4: 0.75, 16: 0.25, 64: 0})).startswith("8 [")
    # From 1 at 1 to 0 at 4: at 2.
    assert variance.half_crossing(at_rates({1: 1, 4: 0, 16: 0})).startswith("2 [")
    assert variance.half_crossing(at_rates({1: 1, 4: 1, 256: 1})) == "above 256 (rate there 1.00 [0.94, 1.00])"
    assert variance.half_crossing(at_rates({1: 0.45, 4: 0.4})).startswith("under 1 (rate there 0.45 ")
    assert variance.half_crossing(at_rates({1: 0.1, 4: 0})) == "under 1 (rate there 0.10 [0.04, 0.21])"


def test_the_drops_interval_says_where_it_leaves_the_ratios_tried():
    assert variance.half_crossing(at_rates({1: 0.6, 4: 0.4})) == "2 [under 1, above 4]"
    drop = variance.half_crossing(at_rates({1: 1, 4: 0.55, 16: 0.4, 64: 0.0}))
    low, high = (float(bound) for bound in drop.split("[")[1].rstrip("]").split(", "))
    assert 1 < low < 4 < 16 < high < 64


@pytest.mark.parametrize("true_log_ratio", [2.0, 3.0, 4.5])
def test_the_drops_interval_holds_the_truth(true_log_ratio):
    """Draws fail with a chance that is linear in log2 of the ratio: the model of the interpolation."""
    rng, at, held = np.random.default_rng(0), np.arange(0, 9, 2), 0
    chance = np.clip(0.5 - 0.15 * (at - true_log_ratio), 0.02, 0.98)
    for _ in range(100):
        drop = variance.half_crossing(at_rates(dict(zip(2**at, rng.binomial(40, chance) / 40, strict=True)), 40))
        low, high = drop.split("[")[1].rstrip("]").split(", ")
        low, high = (0 if "under" in low else float(low)), (np.inf if "above" in high else float(high))
        held += low <= 2**true_log_ratio <= high
    assert held >= 90


def table(experiment, results, name, setup):
    return next(t for t in EXPERIMENTS[experiment].tables(setup, results) if t.name == name)


def test_profiles_drop_each_by_its_own_curve():
    setup = bare()
    drops = {"equal": 1.0, "random": 4.0, "rising": 64.0, "falling": 16.0}
    results = [
        graphs(cell, shd=int(cell.params["ratio"] >= drops[cell.params["profile"]] > 1))
        for cell in EXPERIMENTS["variance"].plan(setup)
    ]
    rows = table("variance", results, "variance_half", setup).rows
    assert len(rows) == 7
    assert {tuple(text.split(" [")[0] for text in row[1:]) for row in rows} == {("2", "32", "8")}


def test_each_break_shows_its_own_cells_and_none_tells_in_the_claim():
    setup = bare()
    cells = EXPERIMENTS["variance"].plan(setup)
    assert len(set(cells)) == len(cells)

    def score(cell):
        p = cell.params
        p = [p["violation"], p["signed"], p["noise"], p["weights"], p["learner"], p["samples"]]
        return int(digest(p)[:6], 16)

    plain = [graphs(cell, shd=1) for cell in cells]
    made = [graphs(cell, shd=score(cell)) for cell in cells]
    shds = [
        entry.estimate for row in table("variance", made, "breaks", setup).rows for entry in row[2:-2] if entry
    ]
    assert len(shds) == len(set(shds))
    weakest = sum(what == after for (what, *_), (after, *_) in pairwise(variance.BREAKS))
    assert len(shds) == 7 * len(variance.BREAKS) - weakest  # NOTEARS at strong knobs
    differ = [
        graphs(cell, shd=1 if {name: cell.params[name] for name in variance.PLAIN} == variance.PLAIN else 9)
        for cell in cells
    ]
    assert find("variance", setup, differ) == find("variance", setup, plain)


def test_a_learner_asked_for_stands_beside_ours():
    setup = replace(bare(), learners=("exact", "eqvar_bottom_up"))
    results = [made_up(cell) for cell in EXPERIMENTS["variance"].plan(setup)]
    asked = {r.params["learner"] for r in results} - set(variance.LEARNERS)
    assert asked == {"eqvar_bottom_up"}  # the exact search takes no graph of 20 nodes
    assert "EqVar bottom-up" in {row[0] for row in table("variance", results, "variance_half", setup).rows}
    assert "EqVar bottom-up" in table("variance", results, "breaks", setup).columns


# LayerNorm


def test_affines_and_pooled_sequences_show_their_own_cells():
    setup = bare()

    def score(cell):
        seen, p = cell.params["violation"], cell.params
        place = ("raw", "exogenous", "mixed").index(seen["placement"])
        ratio = 1e7 * (p["ratio"] > 1) + 1e6 * (p["nodes"] != 20)
        return ratio + 10_000 * place + p["samples"] + 1000 * seen.get("affine", 0) + 0.001 * seen.get("sequences", 1)

    results = [graphs(cell, shd=score(cell)) for cell in EXPERIMENTS["layernorm"].plan(setup)[::-1]]
    affine = {(row[0], row[1]): row[2:] for row in table("layernorm", results, "layernorm_affine", setup).rows}
    assert [round(e.estimate, 3) for e in affine["LayerNorm on V", "none"]] == [10_064.001, 11_024.001]
    assert [round(e.estimate, 3) for e in affine["LayerNorm on Z", "spread 0.5"]] == [20_564.001, 21_524.001]
    pooled = {row[0]: row[1:] for row in table("layernorm", results, "layernorm_pooling", setup).rows}
    assert [round(e.estimate, 3) for e in pooled["raw rows"]] == [64.001, 64.004, 64.016, 64.064]
    assert [round(e.estimate, 3) for e in pooled["LayerNorm on V, affine 0.5"]] == [
        10_564.001, 10_564.004, 10_564.016, 10_564.064,
    ]  # fmt: skip


def test_each_control_stands_beside_eqvar_in_its_view():
    setup, names = bare(), ("eqvar", "variance_sort", "r2_sort", "random_order", "oracle")

    def score(cell):
        p = cell.params
        place = ("raw", "exogenous", "mixed").index(p["violation"]["placement"])
        return 100 * names.index(p["learner"]) + 10 * place + (p["ratio"] > 1) + 1000 * p["samples"]

    results = [graphs(cell, shd=score(cell)) for cell in EXPERIMENTS["layernorm"].plan(setup)[::-1]]
    s = setup.preset.structure
    rows = table("layernorm", results, "layernorm_controls", setup).rows
    assert len(rows) == 5 * len(s.placement_nodes)
    for row, view in zip(rows, (0, 10, 11, 20, 1), strict=False):
        assert [i.estimate - 1000 * s.features[-1] for i in row[2:7]] == [100 * k + view for k in range(5)]
    stands = table("layernorm", results, "layernorm", setup).rows
    assert [row[2].estimate for row in stands[:2]] == [1000 * s.features[0], 1000 * s.features[0] + 10]
    lost = [failed(r.cell) if r.params["learner"] == "eqvar" else r for r in results]
    assert table("layernorm", lost, "layernorm_controls", setup).rows[0][2] is None


def placed(setup, **wrong):
    """Results of `layernorm`: by placement, the share of graphs missed at the most nodes and features; all elsewhere.

    `unequal` is the share on V where noise variances differ.
    """
    s, made = setup.preset.structure, []
    for cell in EXPERIMENTS["layernorm"].plan(setup):
        p = cell.params
        at = "unequal" if p["ratio"] > 1 and "unequal" in wrong else p["violation"]["placement"]
        told = (p["nodes"], p["samples"]) == (s.placement_nodes[-1], s.features[-1]) and p["learner"] == "eqvar"
        made.append(graphs(cell, shd=np.arange(p["draws"]) < wrong.get(at, 0.0) * p["draws"] if told else 9))
    return made


@pytest.mark.parametrize(
    ("wrong", "on_v", "on_z", "verdict"),
    [
        ({}, CLAIMED, CLAIMED, CLAIMED),
        ({"exogenous": 0.1, "mixed": 0.9}, CLAIMED, BELOW, CLAIMED),
        ({"exogenous": 0.9}, BELOW, CLAIMED, BELOW),
        ({"exogenous": 0.5, "mixed": 0.5}, OPEN, OPEN, OPEN),
        ({"raw": 0.9}, BLOCKED, BLOCKED, BLOCKED),
        ({"raw": 0.4}, BLOCKED, BLOCKED, BLOCKED),
    ],
)
def test_layernorm_identifies_by_its_place_on_v(wrong, on_v, on_z, verdict):
    """Raw rows of equal variances have to be recovered first, beyond the interval."""
    setup = bare()
    found = outcomes(find("layernorm", setup, placed(setup, **wrong)), "layernorm-identifies")
    equal, unequal, mixed = found.values()
    assert (equal, unequal, mixed) == (on_v, on_v, on_z)
    assert judged("layernorm", setup, placed(setup, **wrong))["layernorm-identifies"].judgement == verdict


def test_layernorm_has_to_identify_whatever_the_variances_were():
    setup = bare()
    assert judged("layernorm", setup, placed(setup, unequal=0.9))["layernorm-identifies"].judgement == BELOW


# Acyclicity


def trained(setup: Setup, change=lambda r: {}) -> list:
    """Results of `acyclicity` in which every history's h is far below that of a cycle, but for `change`."""
    made = [made_up(cell) for cell in plan_all("acyclicity", setup)]
    for result in made:
        if result.cell.runner == "recommender":
            result.metrics |= {"h_mean": 1e-6, "h_max": 1e-6} | change(result)
    return made


@pytest.mark.parametrize(
    ("decades", "empty", "outcome"),
    [
        (lambda seed: -3.0, 0.4, CLAIMED), (lambda seed: 2.0, 0.4, BELOW), (lambda seed: 0.0, 0.4, BELOW),
        (lambda seed: 2.0 * (-1) ** seed, 0.4, OPEN), (lambda seed: -3.0, 0.96, BLOCKED),
    ],
)  # fmt: skip
def test_acyclicity_is_judged_by_the_h_of_a_cycle_at_tau(decades, empty, outcome):
    """tau is 0.3, so that the bar is 0.0081; a graph without edges has no cycle whatever was done."""
    setup = bare()
    results = trained(setup, lambda r: {"h_max": 0.0081 * 10 ** decades(r.params["seed"]), "empty_rows": empty})
    assert outcomes(find("acyclicity", setup, results), acyclicity.CLAIM)["h, behaviour"] == outcome
    assert judged("acyclicity", setup, results)[acyclicity.CLAIM].judgement == outcome


@pytest.mark.parametrize(("times", "outcome"), [(100.0, CLAIMED), (1.0, NOTHING), (0.01, OPPOSITE)])
@pytest.mark.parametrize(("part", "option"), [("without_h", "acyclicity"), ("without_dag", "beta")])
def test_what_h_in_the_loss_and_l_dag_bring_h_down_by_stands_beside_it(part, option, times, outcome):
    setup = bare()
    results = trained(setup, lambda r: {"h_mean": 1e-6 * (times if option in r.params["options"] else 1.0)})
    found = outcomes(find("acyclicity", setup, results), acyclicity.CLAIM)
    other = "without_h" if part == "without_dag" else "without_dag"
    assert (found[f"{part}, behaviour"], found[f"{other}, behaviour"]) == (outcome, NOTHING)
    assert judged("acyclicity", setup, results)[acyclicity.CLAIM].judgement == CLAIMED


def test_the_rho_that_counts_is_the_one_the_chosen_epoch_trained_under():
    (cell, *_) = EXPERIMENTS["discovery"].plan(bare())
    result = made_up(cell)
    result.arrays["trace_rho"] = np.array([1e1, 1e2, 1e3, 1e4])  # after epochs 1 to 4
    for best, rho in ((1, 1e1), (2, 1e1), (3, 1e2), (4, 1e3)):
        result.metrics["best_epoch"] = best
        assert acyclicity._rho(result) == rho


def test_acyclicity_is_judged_on_each_real_dataset_by_the_tau_of_the_chosen_setting():
    """1e-5 is below 0.3⁴ and above 0.03⁴, of which the chosen settings are; trials that were not chosen do not tell."""
    setup = with_data(names=("ml-100k", "foursquare-nyc"))
    results = trained(setup, lambda r: {"h_max": 1e-5 if r.params["dataset"]["name"] == "behaviour" else 1e-9})
    chosen = chosen_runs(setup, results, "ml-100k", "causalrec")
    assert [r.params["seed"] for r in chosen] == list(range(setup.preset.real.seeds))
    others = [r for r in results if r.params.get("dataset", {}).get("name") == "ml-100k" and r not in chosen]
    assert len(others) == len(chosen) * setup.preset.real.trials  # the trials, of which the chosen are trained anew
    for other in others:
        other.metrics |= {"h_mean": 1.0, "h_max": 1.0}
    names = ("behaviour", "ml-100k", "foursquare-nyc")
    found = outcomes(find("acyclicity", setup, results), acyclicity.CLAIM)
    assert {name: found[f"h, {name}"] for name in names} == dict.fromkeys(names, CLAIMED)
    for run in chosen:
        run.metrics |= {"h_max": 1e-5}
    found = outcomes(find("acyclicity", setup, results), acyclicity.CLAIM)
    assert {name: found[f"h, {name}"] for name in names} == dict(zip(names, (CLAIMED, BELOW, CLAIMED), strict=True))
    assert judged("acyclicity", setup, results)[acyclicity.CLAIM].judgement == BELOW


def test_an_own_file_is_shown_beside_acyclicity_and_judges_nothing():
    setup = with_data(names=(OWN,))
    results = trained(setup, lambda r: {"h_max": 1.0} if r.params["dataset"]["name"] == OWN else {})
    assert judged("acyclicity", setup, results)[acyclicity.CLAIM].judgement == CLAIMED
    shown = {row[0]: row[3] for row in table("acyclicity", results, "acyclicity_end", setup).rows}
    assert [shown[f"CausalRec, {OWN}, seed {seed}"] for seed in range(setup.preset.real.seeds)] == [1.0] * 3


def test_a_verdict_on_acyclicity_says_which_data_is_missing():
    setup = replace(with_data(names=("ml-100k",)), missing={"foursquare-nyc": "it is gone"})
    assert judged("acyclicity", setup, trained(setup))[acyclicity.CLAIM].note == "it is gone."


def test_notears_is_a_control_and_judges_nothing():
    setup = bare()
    cells = EXPERIMENTS["acyclicity"].plan(setup)
    good, bad = (
        [graphs(cell, h=h) if cell.runner == "structure" else made_up(cell) for cell in cells] for h in (0.0, 1.0)
    )
    assert find("acyclicity", setup, good) == find("acyclicity", setup, bad)
    (_, _, ends) = EXPERIMENTS["acyclicity"].tables(setup, bad)
    assert {row[2] for row in ends.rows if row[0].startswith("NOTEARS")} == {1.0}


# Discovery


def scored(setup, **auprc):
    """Results of `discovery`; each AUPRC is a function of the seed."""
    return [
        model(cell, **{f"auprc_{name}": of(cell.params["seed"]) for name, of in auprc.items()})
        for cell in EXPERIMENTS["discovery"].plan(setup)
    ]


@pytest.mark.parametrize(
    ("w", "outcome"),
    [
        (lambda seed: 0.8, CLAIMED), (lambda seed: 0.3, BELOW), (lambda seed: 0.1, BELOW), (lambda seed: 0.02, BELOW),
        (lambda seed: 0.5 + 0.1 * (-1) ** seed, OPEN),
    ],
)  # fmt: skip
def test_discovery_recovers_what_is_halfway_from_chance_to_the_informed_regression(w, outcome):
    """Chance is 0.1 and the regression 0.9; what W is beside other scores judges nothing."""
    setup = bare()
    for beside in (0.0, 0.99):
        results = scored(setup, w=w, regression=lambda seed: 0.9, attention=lambda seed, at=beside: at)
        (recovered, *others) = find("discovery", setup, results)
        assert (recovered.part, recovered.outcome) == ("recovered", outcome)
        assert len(others) == 3
        assert judged("discovery", setup, results)["discovery-recovers"].judgement == outcome


@pytest.mark.parametrize(
    ("more", "outcome"), [(0.2, CLAIMED), (0.0, NOTHING), (-0.2, OPPOSITE), (0.02, OPEN), (-0.06, BELOW)]
)
@pytest.mark.parametrize("control", ["attention", "lift", "regression"])
def test_w_stands_beside_every_other_score_apart(control, more, outcome):
    setup, noise = bare(), 0.05 * (outcome in (OPEN, BELOW))
    results = scored(setup, w=lambda seed: 0.5, **{control: lambda seed: 0.5 - more + noise * (-1) ** seed})
    assert outcomes(find("discovery", setup, results), "discovery-recovers")[f"over_{control}"] == outcome


def test_where_the_ceiling_is_no_higher_than_chance_nothing_is_to_recover():
    setup = bare()
    results = scored(setup, regression=lambda seed: 0.1)
    assert judged("discovery", setup, results)["discovery-recovers"].judgement == BLOCKED


# Sensitivity


def swept(setup: Setup, quality=lambda options: 0.5, luck=lambda options: 0, **metrics) -> list:
    """Results of the sweeps by a cell's options; metrics are functions of the options too."""
    made = []
    for cell in dict.fromkeys(EXPERIMENTS["sensitivity"].plan(setup)):
        options = cell.params["options"]
        if cell.params["model"] == "best_possible":
            made.append(model(cell, 1.0))
            continue
        more = {name: of(options, cell.params["seed"]) for name, of in metrics.items()}
        made.append(model(cell, quality(options), luck=luck(options), **more))
    return made


def alpha(options) -> float:
    return options["boost"]["alpha"]


def windows(found: list[Finding]) -> set[tuple[str, ...]]:
    """The outcomes of help and harm under each boost."""
    parts = outcomes(found, "alpha-window")
    assert list(parts) == [f"{part}, {mode}" for mode in sensitivity.BOOSTS for part in ("helps", "harms")]
    return {(parts[f"helps, {mode}"], parts[f"harms, {mode}"]) for mode in sensitivity.BOOSTS}


@pytest.mark.parametrize(
    ("quality", "luck", "helps", "harms"),
    [
        (lambda a: 0.7 if a == 1 else 0.3 if a == 1e8 else 0.5, lambda a: 0, CLAIMED, CLAIMED),
        (lambda a: 0.7 if a == 1 else 0.5, lambda a: 0, CLAIMED, BLOCKED),
        (lambda a: 0.7 if a == 1 else 0.5, lambda a: round(a == 1e8), CLAIMED, OPEN),
        (lambda a: 0.5 if a == 0 else 0.3, lambda a: 0, OPPOSITE, CLAIMED),
        (lambda a: 0.7 if a == 1e8 else 0.5, lambda a: 0, CLAIMED, OPPOSITE),
        (lambda a: 0.5, lambda a: 0, BLOCKED, BLOCKED),
        (lambda a: 0.5, lambda a: 1 + round(a * 1e9), OPEN, OPEN),
    ],
)
def test_alpha_window(quality, luck, helps, harms):
    """Some alpha helps, and the largest harms; an alpha that changes no rank is no try.

    Neither is testable where most rows of R are empty.
    """
    setup = bare()
    for empty, expected in ((0.4, (helps, harms)), (0.6, (BLOCKED, BLOCKED))):
        reach = {"empty_rows": lambda o, seed, at=empty: at}
        results = swept(setup, lambda o: quality(alpha(o)), lambda o: luck(alpha(o)), **reach)
        assert windows(find("sensitivity", setup, results)) == {expected}


def test_boosts_are_judged_apart_and_the_onset_of_harm_is_told():
    setup = bare()
    best = {"mode": "raw", "alpha": 1.0}
    results = swept(setup, lambda o: 0.7 if o["boost"] == best else 0.5 - (alpha(o) > 1) * 0.2)
    found = find("sensitivity", setup, results)
    assert windows(found) == {(OPPOSITE, CLAIMED), (CLAIMED, CLAIMED)}
    assert all("harm first seen at alpha 100" in f.detail for f in found if f.part == "harms")


def sparsity(options) -> float:
    return options.get("sparsity", sensitivity.DEFAULTS["sparsity"])


def test_each_grid_has_a_row_a_value_and_its_default():
    """R is read off W at 0.03 but where the sweep of tau says otherwise."""
    setup = bare()
    tau = {0.03: 0.9, 0.1: 0.5, 0.3: 0.2}
    results = swept(setup, density=lambda o, seed: tau[o["tau"]] - 0.1 * (o.get("rho", 1.0) == 100.0))
    found = {table.name: table for table in sensitivity.tables(setup, results)}
    assert [row[0] for row in found["tau"].rows] == ["persist"] * 3 + ["drawn anew"] * 3
    densities = {name: {row[1]: row[2].estimate for row in found[name].rows} for name in ("lambda", "tau", "rho")}
    assert densities["tau"] == pytest.approx({"0.03": 0.9, "0.1": 0.5, "0.3": 0.2})
    assert densities["rho"] == pytest.approx({"1, 10": 0.9, "100, 10": 0.8, "10000, 1": 0.9})
    assert densities["lambda"] == dict.fromkeys(("0", "0.001", "0.01", "0.1", "1"), pytest.approx(0.9))


@pytest.mark.parametrize(
    ("density", "outcome"),
    [
        (lambda s, seed: 0.5 - 0.3 * min(1.0, s), CLAIMED),
        (lambda s, seed: 0.1 + 0.3 * min(1.0, s), OPPOSITE),
        (lambda s, seed: 0.5 + 0.3 * min(1.0, s) * (-1) ** seed, OPEN),
        (lambda s, seed: 0.1 * seed, NOTHING),
    ],
)
def test_density_falls_in_lambda(density, outcome):
    setup = bare()
    results = swept(setup, density=lambda o, seed: density(sparsity(o), seed))
    assert outcomes(find("sensitivity", setup, results), "lambda-saturates")["falls"] == outcome


@pytest.mark.parametrize(
    ("least", "luck", "density", "saturated", "dilutes", "verdict"),
    [
        (0.3, 0, 0.8, CLAIMED, CLAIMED, CLAIMED), (0.5, 0, 0.8, CLAIMED, NOTHING, NOTHING),
        (0.7, 0, 0.8, CLAIMED, OPPOSITE, OPPOSITE), (0.5, 1, 0.8, CLAIMED, OPEN, OPEN),
        (0.3, 0, 0.4, BELOW, BLOCKED, BELOW), (0.3, 0, 0.5, BELOW, BLOCKED, BELOW),
    ],
)  # fmt: skip
def test_saturation_costs_accuracy_and_is_not_tested_where_nothing_saturates(
    least, luck, density, saturated, dilutes, verdict
):
    setup = bare()
    results = swept(
        setup, lambda o: 0.5 if sparsity(o) else least, lambda o: luck * (not sparsity(o)),
        density=lambda o, seed: 0.2 if sparsity(o) else density,
    )  # fmt: skip
    found = outcomes(find("sensitivity", setup, results), "lambda-saturates")
    assert (found["saturated"], found["dilutes"]) == (saturated, dilutes)
    assert judged("sensitivity", setup, results)["lambda-saturates"].judgement == verdict


def test_a_sweep_with_a_seed_missing_is_left_out():
    setup = bare()
    results = swept(setup, lambda o: 0.7 if alpha(o) == 100 else 0.5)
    assert windows(find("sensitivity", setup, results)) == {(CLAIMED, BLOCKED)}
    for mode in sensitivity.BOOSTS:
        lost = [r.params["options"].get("boost") == {"mode": mode, "alpha": 100.0} for r in results].index(True) + 3
        results[lost] = failed(results[lost].cell)
    assert windows(find("sensitivity", setup, results)) == {(BLOCKED, BLOCKED)}


def test_no_sweep_at_all_is_not_a_sweep_without_effect():
    setup = bare()
    bound = "best_possible"
    results = [r if r.params["model"] == bound or alpha(r.params["options"]) == 0 else failed(r.cell)
               for r in swept(setup)]  # fmt: skip
    assert find("sensitivity", setup, results) == []
