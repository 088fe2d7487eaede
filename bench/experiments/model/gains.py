"""What CausalRec gains over its rivals and its twin, judged: `beats-rivals`, `foursquare-gain`, `booster-matters`."""

from dataclasses import replace

from bench.experiments.base import Results
from bench.experiments.model.compared import (
    OFF,
    SPLIT_MARKS,
    TITLES,
    best_rival,
    changes_on,
    distinct,
    gain_over,
    loss_by,
    models_on,
    scores,
    titles_of,
)
from bench.experiments.model.published import PUBLISHED, SIZES
from bench.judge.claims import Finding, Register
from bench.judge.intervals import Interval, mean_interval
from bench.methods.recommenders import named
from bench.plan.recommender_cells import rivals
from bench.plan.results import mean_metric
from bench.plan.scores import METRICS
from bench.plan.setup import Setup
from bench.plan.tuning import chosen_runs
from bench.show.tables import format_value
from causalrec.methods.fit import SPLITS

AVERAGED = 2  # datasets, fewer of which make no average


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:
    """`beats-rivals`, `foursquare-gain`, `beats-each-rival` and `booster-matters`, on the named datasets found.

    The main split judges. The detail says what order and attention are worth there, and what other splits say.

    Args:
        setup: the run's.
        results: any.
        register: whose gates a finding has to pass.
    """
    matters = {name: _order_words(setup, results, name) for name in setup.judged}
    others = [(under, _judged(under, results, register)) for under in setup.further]
    made, ran = list[Finding](), {setup.split, *(under.split for under, _ in others)}
    for f in _judged(setup, results, register):
        names = [name for name in matters if name == f.where.rpartition(", ")[-1]] or list(matters)
        said = [matters[name] if len(names) == 1 else f"{name}: {matters[name]}" for name in names]
        said += [_survival(f, register, names, under, found) for under, found in others]
        said += [f"{SPLIT_MARKS[split]} not run" for split in SPLITS if split not in ran]
        made.append(replace(f, detail="; ".join((f.detail, *said))))
    return made


def _order_words(setup: Setup, results: Results, name: str) -> str:
    """What the order of actions and attention are worth to SASRec on a dataset, in words."""
    found = {change: loss_by(setup, name, *pair) for model, change, *pair in changes_on(setup, results, name)
             if model == "sasrec"}  # fmt: skip
    lost = ", ".join(f"{change} {loss.estimate:.1f} %" for change, loss in found.items() if loss)
    left = " and ".join(change for change, loss in found.items() if not loss)
    said = (f"SASRec's loss in NDCG@10: {lost}" if lost else "", f"{left} not run" if left else "")
    return "; ".join(filter(None, said)) or "SASRec not run, nor its controls"


def _survival(finding: Finding, register: Register, names: list[str], under: Setup, found: list[Finding]) -> str:
    """Whether a finding on some datasets comes to the same outcome under another split."""
    split = SPLIT_MARKS[under.split]
    if not under.found.keys() & {*names}:
        return f"no times, so no {split}"
    again = next((f for f in found if (f.claim, f.part, f.where) == (finding.claim, finding.part, finding.where)), None)
    if again is None or again.estimate is None or finding.estimate is None:
        return f"{split} not run to its end"
    part = register.claims[finding.claim].parts[finding.part]
    ours, theirs = (part.judge(f.estimate) for f in (finding, again) if f.estimate is not None)
    survives = "survives" if ours == theirs else "does not survive"
    return f"{survives} the {split}: {theirs} ({format_value(again.estimate)})"


def _judged(setup: Setup, results: Results, register: Register) -> list[Finding]:
    """The findings under one split."""
    found, best = list[Finding](), {name: best_rival(setup, results, name) for name in setup.judged}
    against = {n: rival for n, rival in best.items() if rival is not None and gain_over(setup, results, n, rival)}
    means = {name: _means(setup, results, name) for name in setup.judged}
    weak = {
        n: next(filter(None, (_weak(setup, results, n, each, means[n], register) for each in distinct(rival))), "")
        for n, rival in against.items()
    }
    for metric in METRICS:
        over = {name: gain_over(setup, results, name, rival, metric) for name, rival in against.items()}
        gains = {name: gain for name, gain in over.items() if gain}
        for name, gain in gains.items():
            if name.startswith("foursquare"):
                detail = f"over {titles_of(against[name])}, {_asked(setup, name, gain)}; {_reach(setup, results, name)}"
                found.append(Finding("foursquare-gain", metric, gain, name, detail, weak[name]))
        if gains:
            counted = [gain for name, gain in gains.items() if not weak[name]]
            each = "; ".join(
                f"{name} {gain.estimate:+.1f} % over {titles_of(against[name])}"
                + (f", not counted, {weak[name]}" if weak[name] else "")
                for name, gain in gains.items()
            )
            many = len(counted)
            few = "" if many >= AVERAGED else f"datasets that count: {many}; an average asks for {AVERAGED}"
            found.append(Finding("beats-rivals", metric, mean_interval(counted) if counted else None, "", each, few))
    for name in setup.judged:
        for rival in rivals(setup, name):
            if own := gain_over(setup, results, name, rival):
                below = _weak(setup, results, name, rival, means[name], register)
                detail = _asked(setup, name, own)
                found.append(Finding("beats-each-rival", "gain", own, f"{TITLES[rival]}, {name}", detail, below))
    return found + _booster(setup, results, register)


def _means(setup: Setup, results: Results, name: str) -> dict[str, float]:
    """NDCG@10 of every model that a rival's strength is measured by."""
    own = (OFF, "causalrec", *named("leak"), *setup.recommenders)
    scored = {model: scores(setup, results, name, model) for model in models_on(setup, name) if model not in own}
    return {model: float(values.mean()) for model, values in scored.items() if values.size}


def _strength(
    setup: Setup, results: Results, name: str, rival: str, means: dict[str, float]
) -> tuple[float, str]:  # fmt: skip
    """NDCG@10 of a rival over what says that it is at strength, and what that is, in words."""
    sizes = tuple(setup.statistic(name, which) for which in ("users", "items"))
    published = [figure for figure in PUBLISHED if (figure.dataset, figure.split, figure.model) ==
                 (name, setup.split, rival) and SIZES.get(name) == sizes]  # fmt: skip
    if published:
        best = max(published, key=lambda figure: figure.ndcg10)
        ours = float(scores(setup, results, name, rival, seen="filtered").mean())
        return ours / best.ndcg10, f"{best.title} as published by {best.source}"
    top = max(means, key=means.__getitem__)
    return means[rival] / means[top] if means[top] else 0.0, TITLES[top]


def _weak(
    setup: Setup, results: Results, name: str, rival: str, means: dict[str, float], register: Register
) -> str:  # fmt: skip
    """Why a rival is not at strength, empty where it is."""
    strength, over = _strength(setup, results, name, rival, means)
    failed = register.blocked("rival_strength", strength)
    return failed and f"{TITLES[rival]} against {over}; {failed}"


def _asked(setup: Setup, name: str, gain: Interval) -> str:
    return f"{gain.n} seeds, {setup.statistic(name, 'users'):.0f} users"


def _booster(setup: Setup, results: Results, register: Register) -> list[Finding]:
    """The tuned CausalRec against its twin at alpha = 0, tuned by as many trials on the same seeds."""
    claim, made, counted = "booster-matters", list[Finding](), dict[str, Interval]()
    for name in setup.judged:
        if gain := gain_over(setup, results, name, OFF):
            off = _off(setup, results, name, register)
            counted |= {} if off else {name: gain}
            detail = f"{_asked(setup, name, gain)}; {_reach(setup, results, name)}"
            made.append(Finding(claim, "by_dataset", gain, name, detail, off))
    if not made:
        return []
    off = "" if counted else "the boost is off on every dataset"
    mean = mean_interval(list(counted.values())) if counted else None
    return [Finding(claim, "gain", mean, "", f"mean over {', '.join(counted) or 'no dataset'}", off), *made]


def _off(setup: Setup, results: Results, name: str, register: Register) -> str:
    """Why CausalRec's boost is off on a dataset, empty where it acts."""
    runs = chosen_runs(setup, results, name, "causalrec")
    edges, moved = 1 - mean_metric(runs, "empty_rows"), mean_metric(runs, "moved_rankings")
    failed = register.blocked("rows_with_edge", edges), register.blocked("rankings_moved", moved)
    return "; ".join(filter(None, failed))


def _reach(setup: Setup, results: Results, name: str) -> str:
    """How much the boost had to work with: a gain cannot come from a graph without edges."""
    runs = chosen_runs(setup, results, name, "causalrec")
    empty, moved = (100 * mean_metric(runs, what) for what in ("empty_rows", "moved_rankings"))
    return f"{empty:.1f} % of R's rows have no edge, the boost changes {moved:.0f} % of rankings"


def gaps(setup: Setup) -> dict[str, str]:
    """What the claims on real data lack in this run, in words by claim.

    Args:
        setup: the run's.
    """
    if not setup.preset.real.datasets:
        claims = ("beats-rivals", "foursquare-gain", "beats-each-rival", "booster-matters")
        why = "a file of your own judges nothing" if setup.alone else f"preset {setup.preset.name} uses no real data"
        return dict.fromkeys(claims, why)
    asked = setup.preset.real.rivals
    run = f"Rivals run: {'; '.join(TITLES[model] for model in asked)}. The paper's own list is not in our source."
    if timeless := [name for name in setup.found if "tisasrec" in {*asked} - {*rivals(setup, name)}]:
        run += f" TiSASRec needs times, which {', '.join(timeless)} lacks."
    missing = f" {setup.lacking}".rstrip()
    named = ", ".join(setup.judged) or "none"
    return {
        "beats-rivals": f"{run} Datasets: {named}; which four the paper used is not in our source.{missing}",
        "foursquare-gain": f"{run}{missing if not any(n.startswith('foursquare') for n in setup.found) else ''}",
        "beats-each-rival": f"{run}{missing}",
        "booster-matters": setup.lacking,
    }
