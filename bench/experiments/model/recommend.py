"""Next-item recommendation: CausalRec and its rivals on real data and in the behaviour world.

What is tuned and how, see `bench.plan.tuning`. CausalRec's twin at alpha = 0, tuned by as many trials, isolates the
boost and its tuning from LayerNorm on V and from L_DAG. What stands beside every gain: the other splits of the preset,
every model on shuffled histories, and SASRec's twin with uniform attention.
"""

from bench.cells.unit import Cell
from bench.datasets.listing import provenance_table
from bench.experiments.base import Experiment, Results, Rows, table
from bench.experiments.model.compared import (
    FIRST,
    OFF,
    SPLIT_MARKS,
    TITLES,
    Floats,
    best_rival,
    changes_on,
    gain_over,
    loss_by,
    models_on,
    repeated,
    scores,
    titles_of,
)
from bench.experiments.model.gains import findings, gaps
from bench.experiments.model.published import OTHER_ITEMS, PUBLISHED, SIZES, Published
from bench.judge.intervals import Interval, Value
from bench.methods.recommenders import named
from bench.plan.recommender_cells import data_words, rivals, seen_rule, setting_words, shuffled, trained, world_cells
from bench.plan.results import mean_metric, select, values
from bench.plan.scores import METRICS, leaders, level, ranked
from bench.plan.scores import gain as paired_gain
from bench.plan.setup import OWN, Setup
from bench.plan.tuning import after_trials, chosen_runs, refits, tuning_cells
from bench.show.figures import Column, Figure, Forest
from bench.show.tables import Table

NEAR = 0.02  # of a published figure, within which ours is neither ahead nor behind
AHEAD = {True: "ahead", False: "behind"}
SHUFFLED = "shuffled"  # histories
SPLIT_WORDS = {"leave_one_out": "Leave-one-out", "temporal": "Real data cut at a point in time"}
UNMARKED = ("best_possible", *named("leak"))


def plan(setup: Setup) -> list[Cell]:
    """Every model in the behaviour world, on shuffled histories too if asked for; under the main split, the trials.

    A user's own file that stands alone is compared on alone, without worlds.
    """
    p, models = setup.preset, () if setup.alone else models_on(setup, "behaviour")
    cells = [cell for model in models for cell in world_cells(setup, p.world, p.world_seeds, model)]
    cells += [shuffled(cell) for cell in cells] if SHUFFLED in p.real.controls else []
    cells += () if setup.alone else world_cells(setup, p.world, p.world_seeds, "best_possible")
    pairs = ((name, model) for name in setup.found for model in models_on(setup, name))
    return cells + [cell for name, model in pairs for cell in tuning_cells(setup, name, model)]


def _places(setup: Setup) -> tuple[str, ...]:
    return tuple(setup.found) if setup.alone else setup.places


def refine(setup: Setup, results: Results) -> list[Cell]:
    """By seed, what follows the trials under each split; under the main one, the first seeds on shuffled data too."""
    cells = []
    for under in (setup, *setup.further):
        for name in under.found:
            cells += [cell for model in models_on(under, name) for cell in after_trials(under, results, name, model)]
    asked = setup.found if SHUFFLED in setup.preset.real.controls else ()
    pairs = ((name, model) for name in asked for model in trained(setup, name))
    return cells + [shuffled(cell) for name, model in pairs for cell in refits(setup, results, name, model)[:FIRST]]


def _trials(setup: Setup) -> str:
    """How settings are chosen on real data, in words."""
    r = setup.preset.real
    if r.trials == 1:
        return "all trained models have one setting; none is searched for."
    epochs = f"1/{r.shortened} of the" if r.shortened > 1 else "all"
    full = " and the leading one for all of them; validation chooses the length too" if r.shortened > 1 else ""
    return (
        f"a trained model tries {r.trials} settings on each seed, each for {epochs} epochs{full}. "
        "CausalRec's reading, alpha and lambda are tried too."
    )


def _titles(setup: Setup) -> dict[str, str]:
    return TITLES | {own: own for own in setup.recommenders}


def tables(setup: Setup, results: Results) -> list[Table]:
    """HR@10 and NDCG@10, seen items filtered and kept, by dataset and model; and what the datasets are."""
    rows = [row for name in _places(setup) for row in _rows(setup, results, name, name)]
    for under in setup.further:
        rows += [row for n in under.found for row in _rows(under, results, n, f"{n}, {SPLIT_MARKS[under.split]}")]
    columns = (
        "data", "model", "mark", "HR@10", "NDCG@10", "HR@10 other", "NDCG@10 other", "HR@10 u100", "seeds", "setting",
        "epochs", "CPU s",
    )  # fmt: skip
    note = (
        f"{SPLIT_WORDS[setup.split]}, full catalogue. HR@10 and NDCG@10 rank seen items with the rest where users "
        "repeat items and without them where they do not; 'other' is the other rule, under which an item taken again "
        "counts as a miss. Mark: best and second best in NDCG@10 where ahead of all that follow, paired, at 95 % "
        "divided among the comparisons; no second without a best. u100 ranks against 100 uniform unseen items, as "
        "papers do. Intervals: real data, over seeds and users crossed (measured to cover 92 to 99 %); behaviour, t "
        "over worlds. Best possible knows the world's law and each user's segment; a leak is told what it should not "
        f"know, and neither has a mark. Real data: {_trials(setup)} A range or list: seeds have different ones. What a "
        "setting does not name is the default. CausalRec has LayerNorm on V and "
        "L_DAG, SASRec neither, the twin at alpha = 0 both but no boost. Controls have a small grid each, chosen on "
        "validation too. Markov with a window above 1 counts later followers, less by its decay a step; EASE with a "
        "decay below 1 ranks by recent items more."
    )
    note = " ".join(filter(None, (_undecided(setup, results), note)))
    made = [table("recommend", "Next-item recommendation", columns, rows, note), _graphs(setup, results)]
    more = (_order(setup, results), _protocols(setup, results), _published(setup, results))
    made += [one for one in more if one.rows]
    return [*made, provenance_table(setup.found.values())] if setup.found else made


def _rows(setup: Setup, results: Results, name: str, data: str) -> Rows:
    """The rows of all models on one dataset, which tables call `data`."""
    rows: Rows = []
    titles, main = _titles(setup), seen_rule(setup, name)
    by_model = {model: found for model in titles if (found := chosen_runs(setup, results, name, model))}
    compared = {m: repeated(setup, name, m, found) for m, found in by_model.items() if m not in UNMARKED}
    first = leaders(name, compared)
    for model, found in by_model.items():
        levels = [
            level(name, repeated(setup, name, model, found, metric, seen))
            for seen in (main, "filtered" if main == "kept" else "kept")
            for metric in METRICS
        ]
        sampled, neural = values(found, "test_hr10_u100"), "epochs" in found[0].metrics
        rows.append((
            data, titles[model], first.get(model, ""), *levels, float(sampled.mean()) if len(sampled) else None,
            str(len(found)) if neural or model in setup.recommenders or name == "behaviour" else "–",
            setting_words(*(r.params["options"] | r.params["training"] for r in found)),
            round(mean_metric(found, "epochs")) if neural else None, mean_metric(found, "fit_cpu_s"),
        ))  # fmt: skip
    return rows


def _undecided(setup: Setup, results: Results) -> str:
    """That a user's own file and the preset are too small to tell its best model from the others; "" if they do."""
    named = _titles(setup)
    scored = {m: scores(setup, results, OWN, m) for m in named if m not in UNMARKED} if OWN in setup.found else {}
    first = max(scored, key=lambda m: float(scored[m].mean()) if scored[m].size else -1.0, default="")
    others = [m for m in scored if m != first and scored[m].size and scored[m].shape == scored[first].shape]
    gains = {m: gain for m in others if (gain := paired_gain(OWN, scored[first], scored[m], 1 - 0.05 / len(others)))}
    least = min(gains, key=lambda m: gains[m].low, default=None)
    if least is None or gains[least].above(0):
        return ""
    (seeds, users), gain = scored[first].shape, gains[least].scaled(100)
    return (
        f"Your own file is too small to judge at this preset: with {users} users and {seeds} seeds {named[first]} is "
        f"{gain.estimate:.1f} % ahead of {named[least]} in NDCG@10, give or take {(gain.high - gain.low) / 2:.1f} %; "
        "more users tell more, and so do --seeds or a larger --preset."
    )


def _order(setup: Setup, results: Results) -> Table:
    """What every model loses where the order of actions is lost, and SASRec where its attention is uniform."""
    rows: Rows = []
    for name in _places(setup):
        for model, change, plain, changed in changes_on(setup, results, name):
            if lost := loss_by(setup, name, plain, changed):
                levels = (level(name, ranked(setup, name, found)) for found in (plain, changed))
                rows.append((name, _titles(setup)[model], change, *levels, lost))
    columns = ("data", "model", "change", "NDCG@10", "NDCG@10 changed", "loss, %")
    note = (
        "Shuffled histories: trained and asked with every history in random order, targets as they are, at the setting "
        "chosen in order. Where that costs nothing, order does not matter on the data; where uniform attention, with "
        "all scores 0 and trained and tuned alike, costs nothing, attention does not. Loss relative to the unchanged "
        f"model, paired over seeds. {SPLIT_WORDS[setup.split]}."
    )
    return table("recommend_order", "Do order and attention matter?", columns, rows, note)


def _protocols(setup: Setup, results: Results) -> Table:
    """CausalRec's gains under every split."""
    rows: Rows = []
    for name in setup.found if setup.further else ():
        for under in (setup, *setup.further):
            rival = best_rival(under, results, name) if name in under.found else None
            if rival is not None and (gained := gain_over(under, results, name, rival)):
                users = scores(under, results, name, "causalrec").shape[1]
                own = gain_over(under, results, name, OFF)
                rows.append((name, SPLIT_MARKS[under.split], users, titles_of(rival), gained, own))
    columns = ("data", "split", "users asked", "best rival", "gain in NDCG@10, %", "gain over alpha = 0, %")
    note = (
        "CausalRec over its twin without boost and over the best rival, which is chosen for each half of the users and "
        "each seed on the other half and the other seeds; the most frequent one stands first. Settings are those that "
        f"trials under the {SPLIT_MARKS[setup.split]} chose. The temporal split cuts all users at the same moments, "
        "with no training action later than any target, and asks for the last action after the cut at the 0.9 quantile "
        "of all times; under leave-one-out, training knows later actions of other users."
    )
    return table("recommend_protocols", "Do gains survive another split?", columns, rows, note)


def figures(setup: Setup, results: Results) -> list[Figure]:
    """NDCG@10 of every model on every dataset, and what CausalRec gains on real data over its twin and each rival."""
    names = _titles(setup)
    places = [name for name in _places(setup) if chosen_runs(setup, results, name, "causalrec")]
    scored = {(name, model): scores(setup, results, name, model) for name in places for model in names}
    models = [model for model in names if any(scored[name, model].size for name in places)]
    if not models:
        return []
    levels = (Column(name, tuple(_score(name, scored[name, model]) for model in models)) for name in places)
    note = "Test NDCG@10, full catalogue, with 95 % intervals, over seeds and users crossed (behaviour: over worlds)."
    drawn: list[Figure] = [
        Forest("recommend_ndcg10", "NDCG@10 by model", "NDCG@10", tuple(names[m] for m in models), tuple(levels), note)
    ]
    real = [name for name in places if name != "behaviour"]
    held = [m for m in models if m == OFF or any(m in rivals(setup, name) for name in real)]
    if real and held:
        gains = (Column(n, tuple(gain_over(setup, results, n, m) for m in held), 0.0) for n in real)
        note = (
            "CausalRec over its twin without boost and over each rival, relative, paired over seeds and users, with "
            "95 % intervals; right of the line CausalRec is ahead. Test NDCG@10, full catalogue."
        )
        title, rows = "What CausalRec gains on real data", tuple(names[m] for m in held)
        drawn.append(Forest("recommend_gain", title, "gain in NDCG@10, %", rows, tuple(gains), note))
    return drawn


def _score(name: str, scored: Floats) -> Interval | None:
    return level(name, scored) if scored.size else None


def _published(setup: Setup, results: Results) -> Table:
    """Published figures, ours under the same split beside them, and which is ahead."""
    sizes = {name: tuple(setup.statistic(name, which) for which in ("users", "items")) for name in setup.found}
    shown = [name for name in SIZES if sizes.get(name) == SIZES[name]]
    rows: Rows = []
    for figure in (figure for figure in PUBLISHED if figure.dataset in shown):
        ours, words = _beside(setup, results, figure)
        data = f"{figure.dataset}, {SPLIT_MARKS[figure.split]}"
        rows.append((data, figure.title, figure.source, figure.hr10, figure.ndcg10, *ours, words, figure.protocol))
    columns = (
        "data", "model", "source", "HR@10", "NDCG@10", "HR@10 ours", "difference, %", "NDCG@10 ours",
        "difference, % (NDCG@10)", "ours is", "the source's protocol",
    )  # fmt: skip
    note = (
        "Full catalogue, seen items filtered, users and items as many as the source's; ours is the model trained in "
        "the nearest way, under the same split. Difference of ours from the published figure. How sources order "
        "actions of the same time is seldom told, and two public orders of ML-1M agree on the last item of six users "
        "in ten; what else is known of a source's protocol stands in the last column."
    )
    note = " ".join((note, *(OTHER_ITEMS[name] for name in shown if name in OTHER_ITEMS)))
    return table("recommend_published", "Published figures and ours", columns, rows, note)


def _beside(setup: Setup, results: Results, figure: Published) -> tuple[list[Value], str]:
    """By metric, ours beside a published figure and how far it is ahead in %; and what that means."""
    every = (each for each in (setup, *setup.further) if figure.dataset in each.found)
    under = next((each for each in every if each.split == figure.split), None)
    found = chosen_runs(under, results, figure.dataset, figure.model) if under and figure.model else []
    if not under or not figure.model or not found:
        why = "not run" if under else f"{SPLIT_MARKS[figure.split]} not run"
        return [None] * 4, why if figure.model else "no such model here"
    ours, said = list[Value](), dict[str, str]()
    for metric, theirs in (("hr10", figure.hr10), ("ndcg10", figure.ndcg10)):
        scored = ranked(under, figure.dataset, found, metric, "filtered")
        ahead = float(scored.mean()) / theirs - 1
        ours += [level(figure.dataset, scored), 100 * ahead]
        said[METRICS[metric][0]] = f"within {100 * NEAR:g} %" if abs(ahead) <= NEAR else AHEAD[ahead > 0]
    words = {*said.values()}
    return ours, words.pop() if len(words) == 1 else ", ".join(f"{title} {word}" for title, word in said.items())


def _graphs(setup: Setup, results: Results) -> Table:
    """What the graph is that CausalRec boosts by, and what it gains over its twin."""
    metrics = ("density", "empty_rows", "moved_rankings", "cyclic_share", "h_mean", "h_max")
    by_name = {name: chosen_runs(setup, results, name, "causalrec") for name in _places(setup)}
    rows: Rows = []
    for name, found in by_name.items():
        if found:
            gains = (gain_over(setup, results, name, OFF, metric) for metric in METRICS)
            rows.append((name, len(found), *(mean_metric(found, which) for which in metrics), *gains))
    columns = (
        "data", "runs", "density of R", "empty rows", "rankings moved", "histories with a cycle", "mean h", "max h",
        *(f"gain in {title} over the twin, %" for title, _ in METRICS.values()),
    )  # fmt: skip
    note = (
        "On test histories, mean over runs. Density: edges over possible pairs of different items, cause first; an "
        "empty row has no edge, so that no boost reaches it. A ranking is moved if the boost changes its first ten "
        "items. Cycles: in the full W at tau or more, by default 0.3. The twin has alpha = 0, starts from the same "
        "weights and is tuned by as many trials; gains are paired over seeds and users."
    )
    return table("recommend_graph", "The graph CausalRec boosts by", columns, rows, note)


def details(setup: Setup, results: Results) -> list[Table]:  # noqa: ARG001
    """Every cell, tuning trials included."""
    rows: Rows = [
        (data_words(r.params["dataset"]), TITLES.get(r.params["model"], r.params["model"]), r.params["seed"],
         setting_words(r.params["options"] | r.params["training"]),
         *(r.metrics.get(f"{part}_ndcg10_{seen}") for part in ("valid", "test") for seen in ("kept", "filtered")),
         r.metrics.get("epochs"), r.metrics.get("best_epoch"), r.metrics.get("skipped_steps"), r.metrics["fit_cpu_s"])
        for r in select(results)
    ]  # fmt: skip
    columns = (
        "data", "model", "seed", "setting", "valid NDCG@10 kept", "valid NDCG@10 filtered", "test NDCG@10 kept",
        "test NDCG@10 filtered", "epochs", "best epoch", "skipped steps", "CPU s",
    )  # fmt: skip
    return [table("recommend_all", "Every recommender cell", columns, rows)]


EXPERIMENT = Experiment(
    "recommend", "Does CausalRec recommend better than its rivals?", plan, tables, refine, details, figures, findings,
    gaps=gaps, later=1.5,
)  # fmt: skip
