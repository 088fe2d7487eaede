"""The graph view: what links films, equal popularity, and the claim's outcomes; titles that are not there."""

from dataclasses import replace

import numpy as np
import pytest

from bench.datasets.titles import Film
from bench.experiments import EXPERIMENTS
from bench.experiments.model import graph_view
from bench.judge.claims import BLOCKED
from bench.plan.tuning import chosen_runs
from tests.bench.made_up import (
    CLAIMED,
    OPPOSITE,
    bare,
    find,
    judged,
    made_up,
    outcomes,
    plan_all,
    with_data,
    write_films,
)


@pytest.fixture
def setup(tmp_path, monkeypatch):
    write_films(tmp_path)
    monkeypatch.setenv("CAUSALREC_DATA", str(tmp_path))
    return with_data(names=("ml-100k",))


def runs(setup) -> list:
    return [made_up(cell) for cell in plan_all("graph_view", setup)]


def test_series_need_two_titles_and_genres_one_in_common():
    rows = [
        ("Jaws", "jaws", {"War"}), ("Jaws 2", "jaws", {"War", "Drama"}), ("Jaws", "jaws", ()), ("Up", "up", {"Drama"}),
    ]  # fmt: skip
    films = graph_view.make_films([Film(t, s, frozenset(g)) for t, s, g in rows], np.ones(4, dtype=int))
    series, genre = (films.linked[link].astype(int).tolist() for link in graph_view.LINKS)
    assert series == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert genre == [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_equal_popularity_by_brute_force():
    """Over all pairs of different films from the bins of both ends."""
    rng = np.random.default_rng(0)
    films = [Film(str(k), f"s{k % 9}", frozenset({str(rng.integers(4))})) for k in range(60)]
    found = graph_view.make_films(films, rng.integers(1, 500, 60))
    bins = np.argsort(np.argsort(found.counts, kind="stable"), kind="stable") // 3
    for link in graph_view.LINKS:
        for i, j in ((0, 1), (5, 5), (17, 42)):
            effects, causes = (np.flatnonzero(bins == bins[k]) for k in (i, j))
            pairs = [(a, b) for a in effects for b in causes if a != b]
            assert found.expected[link][i, j] == pytest.approx(np.mean([found.linked[link][pair] for pair in pairs]))


def test_edges_drawn_by_popularity_alone_are_not_enriched(setup):
    """Ends by popularity, whatever the films; then all pairs of one series, none of one genre, and no edge at all."""
    results = runs(setup)
    ((_, films),) = graph_view._read(setup, results).values()
    rng, weight = np.random.default_rng(1), films.counts / films.counts.sum()
    for r in results:
        i, j = rng.choice(200, 2000, p=weight), rng.choice(200, 2000, p=weight)
        r.arrays |= {"edge_effect": i[i != j][:1000], "edge_cause": j[i != j][:1000], "edge_weight": np.ones(1000)}
    (genre,) = [f for f in find("graph_view", setup, results) if f.part == "genre"]
    assert genre.outcome != CLAIMED
    assert genre.estimate.low < 0 < genre.estimate.high
    for r in results:
        i, j = np.nonzero(films.linked["series"])
        r.arrays |= {"edge_effect": i, "edge_cause": j, "edge_weight": np.ones(len(i))}
    assert judged("graph_view", setup, results)[graph_view.CLAIM].judgement == CLAIMED
    for r in results:
        i, j = np.nonzero(~films.linked["genre"] & (np.arange(200)[:, None] % 7 == np.arange(200) % 7))
        r.arrays |= {"edge_effect": i, "edge_cause": j, "edge_weight": np.ones(len(i))}
    assert outcomes(find("graph_view", setup, results), graph_view.CLAIM)["genre, ml-100k"] == OPPOSITE
    for r in results:
        r.arrays |= {"edge_weight": np.zeros(len(i))}
    found = outcomes(find("graph_view", setup, results), graph_view.CLAIM)
    assert found == {"series, ml-100k": BLOCKED, "genre, ml-100k": BLOCKED}


def test_tables_and_figure_tell_titles_and_shares(setup):
    module, results = EXPERIMENTS["graph_view"], runs(setup)
    view, strongest = module.tables(setup, results)
    assert [row[1:6] for row in view.rows] == [
        (title, seeds, 200.0, reach, link)
        for title, seeds, reach in (("W of CausalRec", 3, 193.0), ("lift (control)", 1, None))
        for link in ("series", "genre")
    ]
    assert view.rows[0][6] == 0.5  # every other edge i <- i - 1 is within a made-up series
    assert strongest.rows[0][1:3] == ("Film a (1990)", "Film a II (1990)")
    assert strongest.rows[0][4] == "film a"
    assert strongest.rows[1][4] == "–"
    (figure,) = module.figures(setup, results)
    assert [panel.title for panel in figure.panels] == ["ml-100k, one series", "ml-100k, one genre"]
    assert figure.panels[0].series[0].y[-1] == 0.5


def test_how_many_of_the_largest_entries_reach_tau_is_counted_by_seed(setup):
    """At tau itself an entry is an edge."""
    results = runs(setup)
    chosen = chosen_runs(setup, results, "ml-100k", "causalrec")
    for r, reach in zip(chosen, (0, 1, 7), strict=True):
        r.arrays["edge_weight"] = np.where(np.arange(200) < reach, 0.03, 0.029)
    (view, _) = EXPERIMENTS["graph_view"].tables(setup, results)
    assert [row[4] for row in view.rows] == [pytest.approx(8 / 3)] * 2 + [None] * 2
    details = [f.detail for f in find("graph_view", setup, results)]
    assert len(details) == 2
    assert all(detail.startswith("3 seeds with 0, 1, 7 edges of R, the strongest 1000 at most") for detail in details)


def test_without_titles_nothing_is_judged_and_the_gap_says_why(setup, tmp_path):
    results = runs(setup)
    (tmp_path / "ml-100k/u.item").unlink()
    verdict = judged("graph_view", setup, results)[graph_view.CLAIM]
    assert verdict.judgement == "not run"
    assert "u.item is not there" in verdict.note
    assert all(not table.rows for table in EXPERIMENTS["graph_view"].tables(setup, results))
    assert EXPERIMENTS["graph_view"].figures(setup, results) == []


def test_without_movielens_nothing_runs():
    assert EXPERIMENTS["graph_view"].plan(with_data(names=("beauty",))) == []
    verdict = judged("graph_view", bare("smoke"), [])[graph_view.CLAIM]
    assert verdict.note == "preset smoke uses no MovieLens data"
    gone = replace(bare(), missing={"ml-100k": "it is gone"})
    assert judged("graph_view", gone, [])[graph_view.CLAIM].note == "it is gone."
