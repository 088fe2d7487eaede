"""Next-item recommendation: CausalRec and its rivals on real data and in the behaviour world.

Cells, tuning and what counts as a model's result are in `bench.plan.trials`.
"""

import numpy as np
from numpy.typing import NDArray

from bench.datasets.listing import provenance_table
from bench.experiments.model.published import PUBLISHED, SIZES
from bench.judge.bars import Bar, Outcome, power_words
from bench.judge.claims import Finding, Margins, held
from bench.judge.intervals import Interval, Value, crossed_gain, crossed_interval, crossed_p, holm
from bench.methods.recommenders import CONTROLS, ENTRIES, TRAINED
from bench.plan.results import Result
from bench.plan.setup import OWN, Setup
from bench.plan.trials import (
    ABLATED,
    METRICS,
    controls,
    is_own,
    leaders,
    level,
    plan,
    refine,
    rivals,
    runs,
    scores,
    seen_rule,
    setting_words,
    timed,
)
from bench.show.figures import Column, Figure, Forest
from bench.show.tables import Table

__all__ = ["details", "figures", "findings", "gaps", "plan", "refine", "tables"]

ALPHA = 0.05
AVERAGED = 2  # datasets, fewer of which make no average
SPLIT_WORDS = {"leave_one_out": "Leave-one-out", "temporal": "Real data cut at a point in time"}
TITLES = {name: ENTRIES[name].title for name in (*CONTROLS, *TRAINED, "best_possible")}


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """HR@10 and NDCG@10, seen items filtered and kept, by dataset and model; and what the datasets are."""
    rows: list[tuple[Value, ...]] = []
    titles = TITLES | {ABLATED: ABLATED} | {own: own for own in setup.recommenders}
    for name in ("behaviour", *setup.found):
        main = seen_rule(setup, name)
        compared = {model: scores(setup, results, name, model, "ndcg10", main) for model in titles}
        first = leaders(name, {model: values for model, values in compared.items() if model != "best_possible"})
        for model, title in titles.items():
            found = runs(setup, results, name, model)
            if not found:
                continue
            row: list[Value] = [name, title, first.get(model, "")]
            for seen in (main, "filtered" if main == "kept" else "kept"):
                for metric in METRICS:
                    values = scores(setup, results, name, model, metric, seen)
                    row.append(level(name, values))
            sampled = [r.metrics["test_hr10_u100"] for r in found if "test_hr10_u100" in r.metrics]
            neural = "epochs" in found[0].metrics
            row += [
                float(np.mean(sampled)) if sampled else None,
                str(len(found)) if neural or is_own(model) or name == "behaviour" else "–",
                setting_words(found[0].params["options"] | found[0].params["training"]),
                round(float(np.mean([r.metrics["epochs"] for r in found]))) if neural else None,
                float(np.mean([r.metrics["fit_cpu_s"] for r in found])),
            ]
            rows.append(tuple(row))
    columns = (
        "data", "model", "mark", "HR@10", "NDCG@10", "HR@10 other", "NDCG@10 other", "HR@10 u100", "seeds", "setting",
        "epochs", "CPU s",
    )  # fmt: skip
    r = setup.preset.real
    note = (
        f"{SPLIT_WORDS[setup.split]}, full catalogue. HR@10 and NDCG@10 rank seen items with the rest where users "
        "repeat items and without them where they do not; 'other' is the other rule, under which an item taken again "
        "counts as a miss. Mark: best and second best in NDCG@10 where ahead of all that follow, paired, at 95 % "
        "divided among the comparisons; no second without a best. u100 ranks against 100 uniform unseen items, as "
        "papers do. Intervals: real data, over seeds and users crossed (measured to cover 92 to 99 %); behaviour, t "
        "over worlds. Best possible knows the world's law and each user's segment. Real data: "
        f"{r.trials} settings tried a trained model, up to {r.epochs} epochs, patience {r.patience}; CausalRec has "
        "LayerNorm on V and L_DAG, SASRec neither, alpha 0 both but no boost. Controls have a small grid each, chosen "
        "on validation too. Markov with a window above 1 counts later followers, less by its decay a step; EASE with a "
        "decay below 1 ranks by recent items more."
    )
    tables = [Table("recommend", "Next-item recommendation", columns, tuple(rows), note), _graphs(setup, results)]
    published = _published(setup, results)
    if published.rows:
        tables.append(published)
    if setup.found:
        tables.append(provenance_table(setup.found.values()))
    return tables


def figures(setup: Setup, results: list[Result]) -> list[Figure]:
    """NDCG@10 of every model on every dataset, and CausalRec's difference to each on real data."""
    places = [name for name in ("behaviour", *setup.found) if runs(setup, results, name, "causalrec")]
    names = TITLES | {ABLATED: ABLATED} | {own: own for own in setup.recommenders}
    models = [model for model in names if any(runs(setup, results, name, model) for name in places)]
    if not models:
        return []
    values = {
        (name, model): scores(setup, results, name, model, "ndcg10", seen_rule(setup, name))
        for name in places
        for model in models
    }
    levels = tuple(Column(name, tuple(_score(name, values[name, model]) for model in models)) for name in places)
    note = "Test NDCG@10, full catalogue, with 95 % intervals, over seeds and users crossed (behaviour: over worlds)."
    drawn: list[Figure] = [
        Forest("recommend_ndcg10", "NDCG@10 by model", "NDCG@10", tuple(names[m] for m in models), levels, note)
    ]
    others, real = [m for m in models if m != "causalrec"], [name for name in places if name != "behaviour"]
    gaps_to = tuple(Column(name, tuple(_lead(values, name, other) for other in others), 0.0) for name in real)
    if real:
        note = f"CausalRec less each model, paired over seeds and users; right of the line CausalRec is ahead. {note}"
        title = "What CausalRec is ahead in NDCG@10"
        drawn.append(Forest("recommend_lead", title, "difference", tuple(names[m] for m in others), gaps_to, note))
    return drawn


def _score(name: str, values: NDArray[np.float64]) -> Interval | None:
    return level(name, values) if values.size else None


def _lead(values: dict[tuple[str, str], NDArray[np.float64]], name: str, other: str) -> Interval | None:
    ours, theirs = values[name, "causalrec"], values[name, other]
    return crossed_interval(ours - theirs) if ours.shape == theirs.shape and ours.size else None


def _published(setup: Setup, results: list[Result]) -> Table:
    """Published figures under our protocol, ours beside them, and how far ours fall short in %."""
    rows: list[tuple[Value, ...]] = []
    for figure in PUBLISHED if setup.split == "leave_one_out" else ():
        if figure.dataset not in setup.found:
            continue
        statistics = setup.found[figure.dataset].statistics
        if (statistics["users"], statistics["items"]) != SIZES[figure.dataset]:
            continue
        row: list[Value] = [figure.dataset, figure.title, figure.source, figure.hr10, figure.ndcg10]
        for metric, theirs in (("hr10", figure.hr10), ("ndcg10", figure.ndcg10)):
            values = scores(setup, results, figure.dataset, figure.model or "", metric, "filtered")
            row.append(level(figure.dataset, values) if values.size else None)
            row.append(100 * (1 - float(values.mean()) / theirs) if values.size else None)
        rows.append(tuple(row))
    columns = (
        "data", "model", "source", "HR@10", "NDCG@10", "HR@10 ours", "HR@10 short in %", "NDCG@10 ours",
        "NDCG@10 short in %",
    )  # fmt: skip
    note = (
        "Leave-one-out, full catalogue, seen items filtered, users and items as many as the source's. Ours is the "
        "model trained by the same loss, if any was run; short is by how much it is behind, negative where it is ahead."
    )
    return Table("recommend_published", "Published figures and ours", columns, tuple(rows), note)


def _graphs(setup: Setup, results: list[Result]) -> Table:
    """What the graph is that CausalRec boosts by."""
    rows: list[tuple[Value, ...]] = []
    for name in ("behaviour", *setup.found):
        found = runs(setup, results, name, "causalrec")
        if found:
            metrics = ("density", "empty_rows", "cyclic_share", "h_mean", "h_max")
            rows.append((name, len(found), *(float(np.mean([r.metrics[metric] for r in found])) for metric in metrics)))
    columns = ("data", "runs", "density of R", "empty rows", "histories with a cycle", "mean h", "max h")
    note = (
        "On test histories, mean over runs. Density: edges over possible pairs of different items, cause first; an "
        "empty row has no edge, so that no boost reaches it. Cycles: in the full W at tau = 0.3 or more."
    )
    return Table("recommend_graph", "The graph CausalRec boosts by", columns, tuple(rows), note)


def details(setup: Setup, results: list[Result]) -> list[Table]:  # noqa: ARG001
    """Every cell, tuning trials included."""
    rows = [
        (r.params["dataset"]["name"], TITLES.get(r.params["model"], r.params["model"]), r.params["seed"],
         setting_words(r.params["options"] | r.params["training"]),
         *(r.metrics[f"{part}_ndcg10_{seen}"] for part in ("valid", "test") for seen in ("kept", "filtered")),
         r.metrics.get("epochs"), r.metrics.get("best_epoch"), r.metrics.get("skipped_steps"), r.metrics["fit_cpu_s"])
        for r in results if r.ok
    ]  # fmt: skip
    columns = (
        "data", "model", "seed", "setting", "valid NDCG@10 kept", "valid NDCG@10 filtered", "test NDCG@10 kept",
        "test NDCG@10 filtered", "epochs", "best epoch", "skipped steps", "CPU s",
    )  # fmt: skip
    return [Table("recommend_all", "Every recommender cell", columns, tuple(rows))]


def _gain(setup: Setup, results: list[Result], name: str, metric: str) -> tuple[Interval, str] | None:
    """Relative gain of CausalRec over the rival with the best test figure, as papers count it; all seeds or none."""
    seen = seen_rule(setup, name)
    ours = scores(setup, results, name, "causalrec", metric, seen)
    figures = [(scores(setup, results, name, model, metric, seen), TITLES[model]) for model in rivals(setup, name)]
    if len(ours) < setup.preset.real.seeds or any(len(values) != len(ours) for values, _ in figures):
        return None
    theirs, best = max(figures, key=lambda rival: float(rival[0].mean()))
    return (crossed_gain(ours, theirs), best) if theirs.any() else None


def _ahead(setup: Setup, results: list[Result], name: str, metric: str) -> str:
    """The control that is ahead of the best rival on a dataset, in words; empty where none is."""
    seen = seen_rule(setup, name)
    tested, asked = controls(setup, name), rivals(setup, name)
    figures = {model: scores(setup, results, name, model, metric, seen) for model in (*tested, *asked)}
    means = {model: float(values.mean()) for model, values in figures.items() if values.size}
    rival = max((means[model] for model in asked if model in means), default=0.0)
    control = max((model for model in tested if model in means), key=means.__getitem__, default=None)
    if control is None or not means[control] > rival > 0:
        return ""
    return f"{TITLES[control]} ahead of it by {100 * (means[control] / rival - 1):.1f} %"


def _reach(setup: Setup, results: list[Result], name: str) -> str:
    """How much the boost had to work with: a gain cannot come from a graph without edges."""
    empty = np.mean([r.metrics["empty_rows"] for r in runs(setup, results, name, "causalrec")])
    return f"{100 * empty:.1f} % of R's rows have no edge"


def _against(gain: Interval, claimed: float) -> Outcome:
    if gain.above(0) and gain.high >= claimed:
        return "holds"
    return "fails" if gain.below(claimed / 2) else "unclear"


def _mean_gain(gains: list[Interval]) -> Interval:
    """The mean over datasets, which are independent, so that the half-widths add in quadrature."""
    mean = float(np.mean([gain.estimate for gain in gains]))
    low, high = (
        float(np.sqrt(sum(side**2 for side in sides))) / len(gains)
        for sides in ([g.estimate - g.low for g in gains], [g.high - g.estimate for g in gains])
    )
    return Interval(mean, mean - low, mean + high, min(g.n for g in gains))


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:
    """`beats-rivals`, `foursquare-gain` and `beats-each-rival`, on the named datasets that were found."""
    found: list[Finding] = []
    for metric, (title, _) in METRICS.items():
        gains = {name: pair for name in _named(setup) if (pair := _gain(setup, results, name, metric))}
        ahead = {name: _ahead(setup, results, name, metric) for name in gains}
        claimed = margins.claimed("beats-rivals")[metric]
        if gains:
            counted = [gain for name, (gain, _) in gains.items() if not ahead[name]]
            left = {name: f", not counted, {why}" if why else "" for name, why in ahead.items()}
            each = "; ".join(f"{n} {100 * g.estimate:+.1f} over {best}{left[n]}" for n, (g, best) in gains.items())
            total = _mean_gain(counted) if counted else None
            outcome = _against(total, claimed) if total and len(counted) >= AVERAGED else "unclear"
            each += f"; {len(counted)} counted, an average asks for {AVERAGED}" if len(counted) < AVERAGED else ""
            part = f"{title} +{100 * claimed:.2f} %"
            estimate = total.scaled(100) if total else None
            found.append(Finding("beats-rivals", part, outcome, estimate, f"gain in %: {each}"))
        for name, (gain, rival) in gains.items():
            if name.startswith("foursquare"):
                claimed = margins.claimed("foursquare-gain")[metric]
                part = f"{title} +{100 * claimed:.2f} %, {name}"
                detail = f"gain in % over {rival}, {gain.n} seeds, {setup.found[name].statistics['users']} users"
                outcome = "unclear" if ahead[name] else _against(gain, claimed)
                detail += f"; {ahead[name]}" if ahead[name] else f"; {_reach(setup, results, name)}"
                found.append(Finding("foursquare-gain", part, outcome, gain.scaled(100), detail))
    return found + _each_rival(setup, results) + _booster(setup, results, margins)


def _booster(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:
    """The chosen CausalRec against itself at alpha = 0, same seeds."""
    claim, found = "booster-matters", []
    for name in _named(setup):
        seen = seen_rule(setup, name)
        boosted, plain = (scores(setup, results, name, model, "ndcg10", seen) for model in ("causalrec", ABLATED))
        if len(boosted) < setup.preset.real.seeds or boosted.shape != plain.shape or not plain.any():
            continue
        gain = crossed_gain(boosted, plain)
        detail = (
            f"relative gain in test NDCG@10 over alpha 0, {gain.n} seeds, {boosted.shape[1]} users; "
            f"{_reach(setup, results, name)}"
        )
        found.append(held(claim, name, gain, Bar(holds=0.0, fails=margins.of(claim)), detail))
    return found


def _named(setup: Setup) -> list[str]:
    """The datasets that claims are judged on: a user's own file is shown beside them and judges nothing."""
    return [name for name in setup.found if name != OWN]


def _each_rival(setup: Setup, results: list[Result]) -> list[Finding]:
    """Every paired difference in NDCG@10, controls included; the p-values are Holm's of all that were made."""
    pairs = [(name, rival) for name in _named(setup) for rival in (*controls(setup, name), *rivals(setup, name))]
    differences = {}
    for name, rival in pairs:
        seen = seen_rule(setup, name)
        ours, theirs = (scores(setup, results, name, model, "ndcg10", seen) for model in ("causalrec", rival))
        if len(ours) == setup.preset.real.seeds and ours.shape == theirs.shape:
            differences[name, rival] = ours - theirs
    if not differences:
        return []
    adjusted = holm([crossed_p(values) for values in differences.values()])
    found = []
    for ((name, rival), values), p in zip(differences.items(), adjusted, strict=True):
        difference, (seeds, users) = crossed_interval(values), values.shape
        outcome: Outcome = "unclear" if p >= ALPHA else "holds" if difference.estimate > 0 else "fails"
        detail = f"NDCG@10 difference, {seeds} seeds, {users} users, Holm's p {p:.2g} of {len(differences)}"
        detail += f"; {power_words(difference, Bar(0.0, 0.0))}"
        found.append(Finding("beats-each-rival", f"{TITLES[rival]}, {name}", outcome, difference, detail))
    return found


def gaps(setup: Setup) -> dict[str, str]:
    """What the claims on real data lack in this run."""
    if not setup.preset.real.datasets:
        claims = ("beats-rivals", "foursquare-gain", "beats-each-rival", "booster-matters")
        return dict.fromkeys(claims, f"preset {setup.preset.name} uses no real data")
    missing = "".join(f" {text}." for text in setup.missing.values())
    asked = [TITLES[model] for model in setup.preset.real.rivals]
    run = f"Rivals run: {'; '.join(asked)}. The paper's own list is not in our source."
    timeless = [name for name in setup.found if "tisasrec" in setup.preset.real.rivals and not timed(setup, name)]
    if timeless:
        run += f" TiSASRec needs times, which {', '.join(timeless)} lacks."
    named = ", ".join(_named(setup)) or "none"
    return {
        "beats-rivals": f"{run} Datasets: {named}; which four the paper used is not in our source.{missing}",
        "foursquare-gain": f"{run}{missing if not any(n.startswith('foursquare') for n in setup.found) else ''}",
        "beats-each-rival": f"{run}{missing}",
        "booster-matters": missing.strip(),
    }
