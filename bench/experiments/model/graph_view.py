"""Do the largest entries of W link series and genres (Figure 3), or merely popular films?

On MovieLens, where the owner publishes titles; the models are those of `recommend`. Film k is item k + 1; row = effect.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.datasets.load import data_folder, load
from bench.datasets.titles import TITLED, Film, read_films
from bench.errors import DataMissing
from bench.experiments.base import Experiment, Results, Row, Rows, table
from bench.experiments.model.audit import edges
from bench.experiments.model.user_view import user_figure
from bench.judge.claims import Finding, Register
from bench.judge.intervals import Interval, clustered_ratio
from bench.plan.results import Result
from bench.plan.setup import Setup
from bench.plan.tuning import after_trials, chosen_runs, tuning_cells
from bench.show.figures import Curves, Figure, Panel, Series
from bench.show.tables import Table
from causalrec.interactions import Split, leave_one_out

CLAIM = "graph-is-not-popularity"
EDGES, SHOWN, BINS = 1000, 20, 20
STEPS = (10, 20, 50, 100, 200, 500, 1000)
LINKS = ("series", "genre")
SOURCES = {"edge": "W of CausalRec", "lift": "lift (control)"}
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Films:
    """The films of a run, and which of them belong together.

    Args:
        films: one per item.
        counts: actions per item in training (items,).
        linked: for each of `LINKS`, which pairs are linked (films, films).
        expected: for each of `LINKS`, in [i, j], the share of pairs of different films, as popular as i and as j, that
            are linked.
    """

    films: list[Film]
    counts: Ints
    linked: dict[str, NDArray[np.bool_]]
    expected: dict[str, Floats]


def plan(setup: Setup) -> list[Cell]:
    """CausalRec's tuning trials on the MovieLens datasets found; `recommend` has them too."""
    return [cell for name in _named(setup) for cell in tuning_cells(setup, name, "causalrec")]


def refine(setup: Setup, results: Results) -> list[Cell]:
    """What follows the trials."""
    return [cell for name in _named(setup) for cell in after_trials(setup, results, name, "causalrec")]


def _named(setup: Setup) -> list[str]:
    return [name for name in setup.found if name in TITLED]


def _titles(setup: Setup, name: str) -> dict[str, Film] | str:
    """Films by label, or why there are none."""
    try:
        return read_films(name, data_folder(), setup.found[name].file)
    except DataMissing as error:
        return str(error)


def _read(setup: Setup, results: Results) -> dict[str, tuple[Results, Films]]:
    """By dataset that has results and titles, both."""
    found = {}
    for name in _named(setup):
        runs = [r for r in chosen_runs(setup, results, name, "causalrec") if "edge_weight" in r.arrays]
        titles = _titles(setup, name)
        if runs and not isinstance(titles, str):
            first = runs[0].arrays
            found[name] = runs, make_films([titles[label] for label in first["item_labels"]], first["item_counts"])
    return found


def make_films(films: list[Film], counts: Ints) -> Films:
    """What links films, and what would at the same popularity: `BINS` bins of as many films each, at both ends.

    Two films are of a series where their titles share a stem and are not the same title, which would be one film
    listed twice; of a genre where they have one in common.

    Args:
        films: in the order of items.
        counts: actions in training on each, shape (films,).
    """
    series, title = (np.unique([getattr(film, name) for film in films], return_inverse=True)[1]
                     for name in ("series", "title"))  # fmt: skip
    genres = sorted({genre for film in films for genre in film.genres})
    marks = np.array([[genre in film.genres for genre in genres] for film in films], dtype=np.float32)
    different = ~np.eye(len(films), dtype=bool)
    same_series = (series[:, None] == series) & (title[:, None] != title)
    linked = {"series": same_series, "genre": (marks @ marks.T > 0) & different}
    bins = np.argsort(np.argsort(counts, kind="stable"), kind="stable") * BINS // len(films)
    member = (bins[:, None] == np.arange(BINS)).astype(np.float64)
    pairs = np.maximum(1.0, member.T @ different @ member)
    expected = {link: ((member.T @ has @ member) / pairs)[bins[:, None], bins] for link, has in linked.items()}
    return Films(films, np.asarray(counts), linked, expected)


def _ends(r: Result, source: str, most: int = EDGES) -> tuple[Ints, Ints]:
    """Effects and causes of the largest entries, largest first."""
    return r.arrays[f"{source}_effect"][:most], r.arrays[f"{source}_cause"][:most]


def enrichment(runs: Results, films: Films, link: str, source: str = "edge", used: bool = False) -> Interval | None:
    """Share of linked edges over what equal popularity gives, clustered by effect and by cause; None without edges.

    Args:
        runs: results by seed.
        films: theirs.
        link: one of `LINKS`.
        source: one of `SOURCES`.
        used: only edges of R, which reach its tau. Default all of the largest.
    """
    ends = [(i[:n], j[:n]) for r in runs for i, j in [_ends(r, source)] for n in [len(edges(r)) if used else len(i)]]
    effects, causes = (np.concatenate(side) for side in zip(*ends, strict=True))
    expected = films.expected[link][effects, causes]
    if not expected.any():
        return None
    return clustered_ratio(films.linked[link][effects, causes], expected, effects, causes, len(runs))


def tables(setup: Setup, results: Results) -> list[Table]:
    """How many of the largest entries link films, against equal popularity; and the largest by title."""
    shares, strongest = list[Row](), list[Row]()
    for name, (runs, films) in _read(setup, results).items():
        for source, title in SOURCES.items():
            seeds = runs if source == "edge" else runs[:1]
            count = float(np.mean([len(_ends(r, source)[0]) for r in seeds]))
            strong = float(np.mean([len(edges(r)) for r in seeds])) if source == "edge" else None
            for link in LINKS:
                linked, chance = (float(np.mean([of[link][_ends(r, source)].mean() for r in seeds]))
                                  for of in (films.linked, films.expected))  # fmt: skip
                ratio = enrichment(seeds, films, link, source)
                shares.append((name, title, len(seeds), count, strong, link, linked, chance, ratio))
        strongest += _strongest(name, runs[0], films)
    if not shares:
        return []
    heads = (
        "data", "graph", "runs", "pairs", "reach tau", "link", "share linked", "at equal popularity", "enrichment",
    )  # fmt: skip
    note = (
        f"The {EDGES} largest entries of W between different items, of which those that reach tau are edges of R. At "
        f"equal popularity: the share of linked pairs among films as popular as both ends ({BINS} bins). Series: one "
        "stem, two titles; genre: one in common. Enrichment is their ratio, its interval clustered by cause and by "
        "effect; lift counts training actions and has no seeds."
    )
    view = table("graph_view", "What the largest entries of W link", heads, shares, note)
    columns = ("data", "cause", "effect", "weight", "series", "genres in common", "actions on cause", "on effect")
    note = f"The {SHOWN} largest entries of W on seed 0; actions in training."
    return [view, table("graph_edges", "The largest entries (Figure 3)", columns, strongest, note)]


def _strongest(name: str, r: Result, films: Films) -> Rows:
    rows: Rows = []
    for i, j, weight in zip(*_ends(r, "edge", SHOWN), r.arrays["edge_weight"][:SHOWN], strict=True):
        effect, cause = films.films[i], films.films[j]
        shared = ", ".join(sorted(effect.genres & cause.genres)) or "–"
        series = effect.series if films.linked["series"][i, j] else "–"
        counts = (int(films.counts[j]), int(films.counts[i]))
        rows.append((name, cause.title, effect.title, float(weight), series, shared, *counts))
    return rows


def figures(setup: Setup, results: Results) -> list[Figure]:
    """The share of linked pairs against how many of the largest are counted, mean over seeds; and users' graphs."""
    panels, users = [], list[Figure]()
    for name, (runs, films) in _read(setup, results).items():
        for link in LINKS:
            series = [_curve(title, runs, source, films.linked[link]) for source, title in SOURCES.items()]
            series.append(_curve("W, at equal popularity", runs, "edge", films.expected[link]))
            panels.append(Panel(f"{name}, one {link}", tuple(series)))
        if split := _split(setup, name):
            users.append(user_figure(f"graph_user_{name}", name, runs, split, [film.title for film in films.films]))
    if not panels:
        return []
    title, x, y = "What the largest entries of W link", "largest entries counted", "share linked"
    return [Curves("graph_view", title, x, y, tuple(panels), log_x=True, free_y=True), *users]


def _split(setup: Setup, name: str) -> Split | None:
    """The split of a dataset as its cells have it; None where its file is gone or changed, or under another split."""
    if setup.split != "leave_one_out":
        return None
    p = setup.found[name]
    try:
        loaded = load(name, data_folder(), repeats=p.repeats, user_core=p.user_core, item_core=p.item_core)
    except DataMissing:
        return None
    return leave_one_out(loaded.sequences) if loaded.provenance.content_hash == p.content_hash else None


def _curve(label: str, runs: Results, source: str, of: NDArray[np.bool_] | Floats) -> Series:
    values = [of[_ends(r, source)] for r in runs]
    steps = [step for step in STEPS if step <= min(map(len, values))]
    return Series(label, tuple(steps), tuple(float(np.mean([v[:step].mean() for v in values])) for step in steps))


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:  # noqa: ARG001
    """`graph-is-not-popularity`: the enrichment of each link among R's edges on each dataset."""
    made = []
    for name, (runs, films) in _read(setup, results).items():
        reach = ", ".join(str(min(EDGES, len(edges(r)))) for r in runs)
        for link in LINKS:
            ratio, control = enrichment(runs, films, link, used=True), enrichment(runs[:1], films, link, "lift")
            detail = f"{len(runs)} seeds with {reach} edges of R, the strongest {EDGES} at most"
            detail += f"; lift, as many as {EDGES}: {100 * (control.estimate - 1):.0f} %" if control else ""
            gain = ratio and ratio.less(1.0).scaled(100)
            made.append(Finding(CLAIM, link, gain, name, detail, "" if gain else "R has no edge"))
    return made


def gaps(setup: Setup) -> dict[str, str]:
    """Datasets or titles that are not there."""
    if not set(setup.preset.real.datasets) & set(TITLED):
        return {CLAIM: f"preset {setup.preset.name} uses no MovieLens data"}
    lacking = [setup.missing[name] for name in TITLED if name in setup.missing]
    lacking += [why for name in _named(setup) if isinstance(why := _titles(setup, name), str)]
    return {CLAIM: " ".join(f"{why}." for why in lacking)}


EXPERIMENT = Experiment(
    "graph_view", "Do the largest entries of W link series and genres, or merely popular films?", plan, tables,
    refine, figures=figures, findings=findings, gaps=gaps,
)  # fmt: skip
