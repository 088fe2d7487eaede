"""One user's graph: who is shown, which pairs, and that a dataset which is gone or changed draws nothing."""

from dataclasses import replace

import numpy as np
import pytest

from bench.datasets.load import load
from bench.experiments import EXPERIMENTS
from bench.experiments.model import graph_view
from bench.experiments.model.user_view import ITEMS, median_user, user_figure
from bench.show.figures import Link, Network
from causalrec.interactions import from_rows, leave_one_out
from tests.bench.made_up import Made, made_up, plan_all, with_data, write_films

# Items 1 to 6; the test histories are the first five of each.
ROWS = np.array([[6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5]])
TITLES = ["$a$", "b", "c", "d", "e", "f"]


def ran(W: dict[tuple[int, int], float], seed: int = 0, **options) -> Made:
    """A record with the weights W[effect, cause] of items from 1."""
    (cell, *_) = EXPERIMENTS["graph_view"].plan(with_data(names=("ml-100k",)))
    options = cell.params["options"] | {"tau": 0.3} | options
    cell = replace(cell, params=cell.params | {"seed": seed, "options": options})
    ends = np.array(list(W), dtype=np.int32).reshape(-1, 2) - 1
    return Made(cell, {}, {"edge_effect": ends[:, 0], "edge_cause": ends[:, 1],
                           "edge_weight": np.array(list(W.values()), dtype=np.float32)})  # fmt: skip


def figure(*runs: Made) -> Network:
    return user_figure("user", "made up", list(runs), leave_one_out(from_rows(ROWS, num_items=6)), TITLES)


@pytest.mark.parametrize(
    ("edges", "user"),
    [([3, 1, 2], 2), ([0, 5, 0, 0], 1), ([2, 1, 1, 2], 1), ([0, 2, 9, 2, 1], 1), ([0, 0], 0), ([4], 0)],
)
def test_the_user_is_the_first_with_the_median_number_of_edges(edges, user):
    assert median_user(np.array(edges)) == user


def test_arrows_go_from_the_earlier_item_and_are_solid_from_tau_on():
    """Item 2 causes 1 the most, but comes after it here."""
    shown = figure(ran({(2, 1): 0.5, (4, 3): 0.2, (1, 2): 0.9}))
    assert shown.nodes == ("$a$", "b", "c", "d", "e")
    assert shown.panels[0].links == (Link(0, 1, 0.5), Link(2, 3, pytest.approx(0.2), faint=True))
    assert "user 1, the latest 5 items" in shown.note
    assert "of the 3 of 4 users with an edge of R (W >= 0.3, cause first)" in shown.note
    assert [link.faint for link in figure(ran({(2, 1): 0.5, (4, 3): 0.2}, tau=0.1)).panels[0].links] == [False, False]


def test_lift_shows_as_many_pairs_above_chance_in_the_same_order_of_time():
    shown = figure(ran({(2, 1): 0.5, (4, 3): 0.2}))
    learned, control = (panel.links for panel in shown.panels)
    assert len(control) <= len(learned)
    assert control
    assert all(link.cause < link.effect and link.weight > 1 and not link.faint for link in control)


def test_without_an_edge_the_panel_is_empty_and_lift_is_not():
    shown = figure(ran({}))
    assert shown.panels[0].links == ()
    assert len(shown.panels[1].links) > 2
    assert "of the 0 of 4 users with an edge of R" in shown.note


def test_the_note_tells_other_seeds_and_what_is_not_stored():
    first = ran({(2, 1): 0.5, (4, 3): 0.2})
    note = figure(first, ran({(2, 1): 0.4}, 1), ran({(5, 1): 0.4}, 2)).note
    assert "Of the 2 arrows of W, 0.5 on average are also shown by the same rule on each of 2 other seeds." in note
    assert "W is known down to 0.2: the 2 strongest edges are stored." in note
    assert "other seeds" not in figure(first).note


def test_the_experiment_draws_the_users_of_the_data_that_its_cells_saw(tmp_path, monkeypatch):
    write_films(tmp_path)
    rng = np.random.default_rng(0)
    lines = [f"{user}\t{item}\t3\t{time}" for user in range(80) for time, item in enumerate(rng.permutation(200)[:40])]
    (tmp_path / "ml-100k/u.data").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("CAUSALREC_DATA", str(tmp_path))
    loaded = load("ml-100k", tmp_path, repeats="kept", user_core=5, item_core=5)
    setup = with_data(names=("ml-100k",))
    setup = replace(setup, found={"ml-100k": loaded.provenance})

    def ran(setup):
        results = [made_up(cell) for cell in plan_all("graph_view", setup)]
        for r in results:
            r.arrays["item_labels"] = np.array(loaded.sequences.item_labels)
        return results

    results, temporal = ran(setup), replace(setup, split="temporal")
    _, shown = graph_view.figures(setup, results)
    assert shown.name == "graph_user_ml-100k"
    assert len(shown.nodes) == ITEMS
    assert all(node.startswith("Film ") for node in shown.nodes)
    history = leave_one_out(loaded.sequences).test.history
    user = int(shown.note.split("user ")[1].split(",")[0])
    row = history.row(history.user_labels.index(str(user)))[-ITEMS:]
    titles = graph_view._titles(setup, "ml-100k")
    assert list(shown.nodes) == [titles[loaded.sequences.item_labels[item - 1]].title for item in row]
    for link in shown.panels[0].links:
        assert row[link.effect] == row[link.cause] + 1, "made-up edges go from an item to the next"
    assert len(graph_view.figures(temporal, ran(temporal))) == 1
    changed = replace(loaded.provenance, content_hash="0")
    assert graph_view._split(replace(setup, found={"ml-100k": changed}), "ml-100k") is None
    (tmp_path / "ml-100k/u.data").unlink()
    assert len(graph_view.figures(setup, results)) == 1
