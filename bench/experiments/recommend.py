"""Next-item recommendation: CausalRec and its rivals on real data and in the behaviour world, leave-one-out.

Neural models are tuned on validation NDCG@10 with one budget: `trials` different settings drawn at random from a
declared space, on the first seed; the setting chosen then runs on the other seeds. Trial t has the same dropout and
learning rate for every model, and CausalRec an alpha with it, so that what is compared is the model. The chosen
CausalRec also runs with alpha = 0: that row isolates the boost from LayerNorm on V and from L_DAG.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell, generator
from bench.claims import Finding, Margins, Outcome
from bench.datasets.listing import provenance_table
from bench.plan import OWN, Result, Setup, select
from bench.presets import World
from bench.statistics import Interval, crossed_gain, crossed_interval, t_interval
from bench.tables import Table, Value
from causalrec.ranking import hit_rate, ndcg

TITLES = {
    "popularity": "popularity (control)",
    "item_knn": "item-kNN (control)",
    "sasrec": "SASRec",
    "causalrec": "CausalRec",
    "best_possible": "best possible",
}
NEURAL = ("sasrec", "causalrec")
CONTROLS = ("popularity", "item_knn")
RIVALS = ("sasrec",)
ABLATED = "CausalRec, alpha 0"
CODE = {
    "popularity": "causalrec.rivals.popularity",
    "item_knn": "causalrec.rivals.item_knn",
    "sasrec": "causalrec.model",
    "causalrec": "causalrec.model",
    "best_possible": "synth.behaviour",
}
DROPOUTS = (0.2, 0.3, 0.4, 0.5)
ALPHAS = (0.1, 1.0, 10.0)
WINDOWS = (5, 20, 100)
METRICS = {"hr10": ("HR@10", hit_rate), "ndcg10": ("NDCG@10", ndcg)}
TOKEN_SECONDS, ITEM_SECONDS = 9e-6, 4.3e-9


def plan_cell(
    setup: Setup, dataset: dict[str, Any], model: str, options: dict[str, Any], training: dict[str, Any], seed: int
) -> Cell:
    """A cell of the recommender runner. `dataset` is a name with its preparation, or a behaviour world's sizes."""
    provenance = setup.found.get(dataset["name"])
    if provenance is None:
        items, tokens = dataset["items"], dataset["users"] * dataset["length"]
    else:
        items, users, actions = (float(provenance.statistics[name] or 0) for name in ("items", "users", "actions"))
        tokens = min(actions, users * options.get("length", 0))
    epochs = training.get("epochs", 0)
    per_token = TOKEN_SECONDS + ITEM_SECONDS * items * options.get("width", 0) / 64
    setting = ", ".join(filter(None, (model, _setting({**options, **training}))))
    return Cell(
        "recommender",
        {
            "dataset": dataset,
            "model": model,
            "options": options,
            "training": training,
            "seed": seed,
            "root": setup.root,
        },
        ("bench.runners.recommender", CODE[model]),
        data=None if provenance is None else provenance.content_hash,
        dtype="float32",
        device=setup.device if model in NEURAL else "cpu",
        cost=1.0 + epochs * tokens * per_token * (1.3 if model == "causalrec" else 1.0),
        timeout=setup.preset.timeout,
        label=f"{setting} on {dataset['name']}, seed {seed}",
    )


def real_dataset(setup: Setup, name: str) -> dict[str, Any]:
    """A named dataset with its preparation, as a cell's parameter."""
    p = setup.found[name]
    return {"name": name, "repeats": p.repeats, "user_core": p.user_core, "item_core": p.item_core}


def seen_rule(setup: Setup, name: str) -> str:
    """Rank over the whole catalogue where users repeat items, else without what they have seen."""
    if name == "behaviour":
        return "kept"
    return "kept" if float(setup.found[name].statistics["repeats_share"] or 0) > 0 else "filtered"


def model_options(
    model: str, length: int, width: int, dropout: float, alpha: float = 1.0, **more: Any
) -> dict[str, Any]:
    """Options of a neural model as a cell's parameter."""
    options: dict[str, Any] = {"length": length, "width": width, "dropout": dropout}
    if model == "causalrec":
        options |= {"boost": {"mode": more.pop("mode", "renorm"), "alpha": alpha}, **more}
    return options


def _trials(setup: Setup, name: str, model: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Options and training of each trial of a model on a real dataset; all different, as many for every model."""
    r = setup.preset.real
    rng = generator(root=setup.root, stream="trials")
    grid = [(dropout, rate) for dropout in DROPOUTS for rate in r.learning_rates]
    drawn = [grid[place] for place in rng.permutation(len(grid))[: r.trials]]
    alphas = np.resize(rng.permutation(ALPHAS), len(drawn))
    fixed = {"epochs": r.epochs, "patience": r.patience, "batch": 32, "seen": seen_rule(setup, name)}
    return [
        (model_options(model, r.length, r.width, dropout, float(alpha)), fixed | {"learning_rate": rate})
        for (dropout, rate), alpha in zip(drawn, alphas, strict=True)
    ]


def world_cells(setup: Setup, world: World, seeds: int, model: str, **changes: Any) -> list[Cell]:
    """One cell a world for a model in the behaviour world, trained for a fixed number of epochs."""
    options = model_options(model, world.length, world.width, 0.2, **changes) if model in NEURAL else {}
    training = {"epochs": world.epochs, "patience": None, "batch": 64, "learning_rate": 3e-3} if options else {}
    return [plan_cell(setup, world.dataset, model, options, training, seed) for seed in range(seeds)]


def plan(setup: Setup) -> list[Cell]:
    """Tuning trials on real data, the controls, and every model in the behaviour world."""
    cells = [
        cell
        for model in (*CONTROLS, *RIVALS, "causalrec", "best_possible")
        for cell in world_cells(setup, setup.preset.world, setup.preset.world_seeds, model)
    ]
    for name in setup.found:
        dataset = real_dataset(setup, name)
        cells.append(plan_cell(setup, dataset, "popularity", {}, {}, 0))
        cells += [plan_cell(setup, dataset, "item_knn", {"window": window}, {}, 0) for window in WINDOWS]
        cells += [
            plan_cell(setup, dataset, model, options, training, 0)
            for model in NEURAL
            for options, training in _trials(setup, name, model)
        ]
    return cells


def chosen(setup: Setup, results: list[Result], name: str, model: str) -> Result | None:
    """The trial of a model on a dataset with the best validation NDCG@10 on seed 0."""
    trials = [r for r in select(results, model=model, seed=0) if r.params["dataset"]["name"] == name]
    score = f"valid_ndcg10_{seen_rule(setup, name)}"
    return max((r for r in trials if _alpha(r) != 0), key=lambda r: float(r.metrics[score]), default=None)


def _alpha(r: Result) -> float | None:
    boost = r.params["options"].get("boost")
    return None if boost is None else float(boost["alpha"])


def _without_boost(options: dict[str, Any]) -> dict[str, Any]:
    return options | {"boost": options["boost"] | {"alpha": 0.0}}


def refine(setup: Setup, results: list[Result]) -> list[Cell]:
    """The chosen setting of each neural model on the remaining seeds, and CausalRec's without boost on all."""
    cells = []
    for name in setup.found:
        for model in NEURAL:
            best = chosen(setup, results, name, model)
            if best is None:
                continue
            p, seeds = best.params, range(setup.preset.real.seeds)
            cells += [plan_cell(setup, p["dataset"], model, p["options"], p["training"], seed) for seed in seeds[1:]]
            if model == "causalrec":
                plain = _without_boost(p["options"])
                cells += [plan_cell(setup, p["dataset"], model, plain, p["training"], seed) for seed in seeds]
    return cells


def runs(setup: Setup, results: list[Result], name: str, model: str) -> list[Result]:
    """A model's results by seed, on real data at the setting chosen on validation; `ABLATED`: CausalRec's, alpha 0."""
    kind = "causalrec" if model == ABLATED else model
    if name == "behaviour":
        world = setup.preset.world.dataset
        found = [r for r in select(results, model=kind) if r.params["dataset"] == world and model != ABLATED]
    elif (best := chosen(setup, results, name, kind)) is None:
        return []
    else:
        options = _without_boost(best.params["options"]) if model == ABLATED else best.params["options"]
        same = select(results, model=kind, options=options, training=best.params["training"])
        found = [r for r in same if r.params["dataset"]["name"] == name]
    return sorted(found, key=lambda r: int(r.params["seed"]))


def scores(setup: Setup, results: list[Result], name: str, model: str, metric: str, seen: str) -> NDArray[np.float64]:
    """A metric by seed and user, (seeds, users); a model without randomness stands once for every seed of real data."""
    found = runs(setup, results, name, model)
    if not found:
        return np.empty((0, 0))
    values = np.stack([METRICS[metric][1](r.arrays[f"test_{seen}"]) for r in found])
    if len(values) == 1 and model in CONTROLS and name != "behaviour":
        values = np.repeat(values, setup.preset.real.seeds, axis=0)
    return values


def _interval(name: str, values: NDArray[np.float64]) -> Interval:
    """Real data: seeds, then users, crossed. Worlds: each seed is a world of its own, so t over worlds."""
    if name == "behaviour":
        return t_interval(values.mean(1))
    return crossed_interval(values)


def _setting(options: dict[str, Any]) -> str:
    """What may differ between the cells of one model on one dataset."""
    names = {"window": "window", "dropout": "dropout", "sparsity": "lambda", "learning_rate": "lr"}
    said = [f"{word} {options[name]:g}" for name, word in names.items() if name in options]
    if "boost" in options:
        said.append(f"{options['boost']['mode']} alpha {options['boost']['alpha']:g}")
    return ", ".join(said)


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """HR@10 and NDCG@10, seen items filtered and kept, by dataset and model; and what the datasets are."""
    rows: list[tuple[Value, ...]] = []
    for name in ("behaviour", *setup.found):
        for model, title in (TITLES | {ABLATED: ABLATED}).items():
            found = runs(setup, results, name, model)
            if not found:
                continue
            main = seen_rule(setup, name)
            row: list[Value] = [name, title]
            for seen in (main, "filtered" if main == "kept" else "kept"):
                for metric in METRICS:
                    values = scores(setup, results, name, model, metric, seen)
                    row.append(_interval(name, values).within(0.0, 1.0))
            sampled = [r.metrics["test_hr10_u100"] for r in found if "test_hr10_u100" in r.metrics]
            neural = "epochs" in found[0].metrics
            row += [
                float(np.mean(sampled)) if sampled else None,
                str(len(found)) if neural or name == "behaviour" else "–",
                _setting(found[0].params["options"] | found[0].params["training"]),
                round(float(np.mean([r.metrics["epochs"] for r in found]))) if neural else None,
                float(np.mean([r.metrics["fit_cpu_s"] for r in found])),
            ]
            rows.append(tuple(row))
    columns = (
        "data", "model", "HR@10", "NDCG@10", "HR@10 other", "NDCG@10 other", "HR@10 u100", "seeds", "setting", "epochs",
        "CPU s",
    )  # fmt: skip
    r = setup.preset.real
    note = (
        "Leave-one-out, full catalogue. HR@10 and NDCG@10 rank seen items with the rest where users repeat items and "
        "without them where they do not; 'other' is the other rule, under which an item taken again counts as a miss. "
        "u100 ranks against 100 uniform unseen items, as papers do. Intervals: real data, over seeds and users crossed "
        "(measured to cover 92 to 99 %); behaviour, t over worlds. Best possible knows the world's law and each user's "
        f"segment. Real data: {r.trials} settings tried a neural model, at most {r.epochs} epochs, patience "
        f"{r.patience}; CausalRec has LayerNorm on V and L_DAG, SASRec neither, alpha 0 both but no boost."
    )
    tables = [Table("recommend", "Next-item recommendation", columns, tuple(rows), note), _graphs(setup, results)]
    if setup.found:
        tables.append(provenance_table(setup.found.values()))
    return tables


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
        (r.params["dataset"]["name"], TITLES[r.params["model"]], r.params["seed"],
         _setting(r.params["options"] | r.params["training"]),
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
    rivals = [(scores(setup, results, name, model, metric, seen), TITLES[model]) for model in RIVALS]
    if len(ours) < setup.preset.real.seeds or any(len(values) != len(ours) for values, _ in rivals):
        return None
    theirs, best = max(rivals, key=lambda rival: float(rival[0].mean()))
    return (crossed_gain(ours, theirs), best) if theirs.any() else None


def _ahead(setup: Setup, results: list[Result], name: str, metric: str) -> str:
    """The control that is ahead of the best rival on a dataset, in words; empty where none is."""
    seen = seen_rule(setup, name)
    figures = {model: scores(setup, results, name, model, metric, seen) for model in (*CONTROLS, *RIVALS)}
    means = {model: float(values.mean()) for model, values in figures.items() if values.size}
    rival = max((means[model] for model in RIVALS if model in means), default=0.0)
    control = max((model for model in CONTROLS if model in means), key=means.__getitem__, default=None)
    if control is None or not means[control] > rival > 0:
        return ""
    return f"{TITLES[control]} ahead of it by {100 * (means[control] / rival - 1):.1f} %"


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


def _percent(gain: Interval) -> Interval:
    return Interval(100 * gain.estimate, 100 * gain.low, 100 * gain.high, gain.n, gain.level)


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
            each = "; ".join(f"{n} {100 * gain.estimate:+.1f} over {best}{left[n]}" for n, (gain, best) in gains.items())
            total = _mean_gain(counted) if counted else None
            outcome = _against(total, claimed) if total else "unclear"
            part = f"{title} +{100 * claimed:.2f} %"
            estimate = _percent(total) if total else None
            found.append(Finding("beats-rivals", part, outcome, estimate, f"gain in %: {each}"))
        for name, (gain, rival) in gains.items():
            if name.startswith("foursquare"):
                claimed = margins.claimed("foursquare-gain")[metric]
                part = f"{title} +{100 * claimed:.2f} %, {name}"
                detail = f"gain in % over {rival}, {gain.n} seeds, {setup.found[name].statistics['users']} users"
                outcome = "unclear" if ahead[name] else _against(gain, claimed)
                detail += f"; {ahead[name]}" if ahead[name] else ""
                found.append(Finding("foursquare-gain", part, outcome, _percent(gain), detail))
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
        outcome: Outcome = "holds" if gain.above(0) else "fails" if gain.below(margins.of(claim)) else "unclear"
        graph = runs(setup, results, name, "causalrec")[0].metrics
        detail = (
            f"relative gain in test NDCG@10 over alpha 0, {gain.n} seeds, {boosted.shape[1]} users; "
            f"{100 * graph['empty_rows']:.0f} % of R's rows are empty"
        )
        found.append(Finding(claim, name, outcome, gain, detail))
    return found


def _named(setup: Setup) -> list[str]:
    """The datasets that claims are judged on: a user's own file is shown beside them and judges nothing."""
    return [name for name in setup.found if name != OWN]


def _each_rival(setup: Setup, results: list[Result]) -> list[Finding]:
    pairs = [(name, rival) for name in _named(setup) for rival in (*CONTROLS, *RIVALS)]
    found = []
    for name, rival in pairs:
        seen = seen_rule(setup, name)
        ours, theirs = (scores(setup, results, name, model, "ndcg10", seen) for model in ("causalrec", rival))
        if len(ours) < setup.preset.real.seeds or ours.shape != theirs.shape:
            continue
        difference = crossed_interval(ours - theirs, level=1 - 0.05 / len(pairs))
        outcome: Outcome = "holds" if difference.above(0) else "fails" if difference.below(0) else "unclear"
        detail = f"NDCG@10 difference, {len(ours)} seeds, {ours.shape[1]} users, level {100 * difference.level:.1f} %"
        found.append(Finding("beats-each-rival", f"{TITLES[rival]}, {name}", outcome, difference, detail))
    return found


def gaps(setup: Setup) -> dict[str, str]:
    """What the claims on real data lack in this run."""
    if not setup.preset.real.datasets:
        claims = ("beats-rivals", "foursquare-gain", "beats-each-rival", "booster-matters")
        return dict.fromkeys(claims, f"preset {setup.preset.name} uses no real data")
    missing = "".join(f" {text}." for text in setup.missing.values())
    rivals = "Of the paper's rivals only SASRec is built."
    named = ", ".join(_named(setup)) or "none"
    return {
        "beats-rivals": f"{rivals} Datasets: {named}; which four the paper used is not in our source.{missing}",
        "foursquare-gain": f"{rivals}{missing if not any(n.startswith('foursquare') for n in setup.found) else ''}",
        "beats-each-rival": f"{rivals}{missing}",
        "booster-matters": missing.strip(),
    }


def world_sizes(world: World) -> str:
    """A world in words, for notes."""
    sizes = asdict(world)
    return f"{sizes['users']} users x {sizes['length']} actions, {sizes['items']} items, {sizes['epochs']} epochs"
