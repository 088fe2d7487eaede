"""Every causal recommender by its five methods, and what is told where a user's class breaks its word."""

import os
import sys
from functools import partial

import numpy as np
import pytest
from scipy.sparse import csr_array

from bench.errors import InputError
from bench.methods import causal, interpreters, seq2cause, user_recommender
from bench.methods.causal import MEMBERS, TITLES, make, make_twin, read_graph, strongest
from causalrec.model import SASRec, SASRecOptions
from synth.behaviour import draw_world
from synth.behaviour_controls import lift

ITEMS, LENGTH = 20, 10
OPTIONS = {"length": LENGTH, "width": 8, "dropout": 0.2, "boost": {"mode": "renorm", "alpha": 100.0}, "tau": 0.03}
TRAINING = {"epochs": 2, "batch": 16, "learning_rate": 3e-3}
# What a user writes: the counts of who follows whom are both the graph and the scores.
OWN = """
import numpy as np

class Counted:
    uses = True
    given = None

    def fit(self, train, num_items, generator):
        self.W = np.zeros((num_items, num_items)) if self.given is None else self.given.toarray()
        self.popular = np.bincount(np.concatenate(train), minlength=num_items + 1)[1:] / 1e6
        for row in train if self.given is None else ():
            np.add.at(self.W, (row[1:] - 1, row[:-1] - 1), 1.0)

    def scores(self, histories):
        last = [row[-1] - 1 for row in histories]
        return self.popular + self.W[:, last].T * self.uses

    def graph(self):
        return self.W

    def fix(self, weights):
        self.given = weights

    def twin(self):
        twin = Counted()
        twin.uses = False
        return twin

class Alone(Counted):
    twin = None

class Selfish(Counted):
    def twin(self):
        return self

class Worded(Counted):
    def twin(self):
        return "twin"

class Narrow(Counted):
    def graph(self):
        return self.W[:, :-1]

class Named(Counted):
    def graph(self):
        return self.W.astype(str)

class Endless(Counted):
    def graph(self):
        return np.full_like(self.W, np.inf)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A module of a user's own in the current folder; its name."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "causal_of_a_user.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", sys.path.copy())
        yield "causal_of_a_user"
    sys.modules.pop("causal_of_a_user", None)


@pytest.fixture(scope="module")
def world():
    return draw_world(np.random.default_rng(4), ITEMS, horizon=8, decay=1.0)


@pytest.fixture(scope="module")
def rows(world):
    return list(world.sample(np.random.default_rng(5), 50, LENGTH).items)


@pytest.fixture(params=[*MEMBERS, "Counted"])
def new(request, own, monkeypatch):
    """Makes a member, or a user's class, by its name; where there is no seq2cause, another graph is in its place."""
    if request.param == "seq2cause_sasrec" and not os.environ.get(seq2cause.PEER.variable):
        made_up = lambda model, train, seed: np.random.default_rng(seed).random((ITEMS, ITEMS))  # noqa: E731
        monkeypatch.setattr(causal, "largest_information", made_up)
    name = request.param if request.param in MEMBERS else f"{own}:{request.param}"
    return partial(make, name, OPTIONS, TRAINING, "cpu")


def fitted(model, rows):
    """The scores of a model fitted on the rows, which always draws the same numbers."""
    model.fit([row.copy() for row in rows], ITEMS, np.random.default_rng(6))
    return np.asarray(model.scores([row[:-1].copy() for row in rows]))


def given(new, weights):
    model = new()
    model.fix(csr_array(weights.astype(float)))
    return model


# The five methods of every member


def test_it_scores_and_delivers_a_graph(new, rows):
    model = new()
    scores = fitted(model, rows)
    assert scores.shape == (len(rows), ITEMS)
    assert np.isfinite(scores).all()
    W = read_graph("it", model, ITEMS)
    assert W.shape == (ITEMS, ITEMS)
    assert W.nnz > 0
    assert not W.diagonal().any()
    np.testing.assert_array_equal(fitted(new(), rows), scores)


def test_a_graph_that_is_given_is_the_graph_and_changes_the_scores(new, world, rows):
    model, other = given(new, world.graph), given(new, world.graph.T)
    scores = fitted(model, rows)
    np.testing.assert_array_equal(read_graph("it", model, ITEMS).toarray(), world.graph)
    assert (scores != fitted(make_twin("it", new()), rows)).any()
    assert (scores != fitted(other, rows)).any()


def test_the_twin_is_the_model_with_an_empty_graph_bit_for_bit(new, world, rows):
    twin = make_twin("it", new())
    scores = fitted(twin, rows)
    assert (scores != fitted(new(), rows)).any()
    np.testing.assert_array_equal(scores, fitted(given(new, np.zeros((ITEMS, ITEMS))), rows))
    np.testing.assert_array_equal(scores, fitted(make_twin("it", given(new, world.graph)), rows))


@pytest.mark.parametrize("name", MEMBERS)
def test_the_twin_of_a_member_has_no_edge(name, rows):
    twin = make_twin(name, make(name, OPTIONS, TRAINING, "cpu"))
    fitted(twin, rows)
    assert read_graph(name, twin, ITEMS).nnz == 0


def test_the_twin_is_sasrec_with_layernorm_on_the_values(rows, monkeypatch):
    twin = make_twin("causalrec", make("causalrec", OPTIONS, TRAINING, "cpu"))
    ours = fitted(twin, rows)
    kept = {name: of for name, of in OPTIONS.items() if name not in ("boost", "tau")}
    monkeypatch.setattr(causal, "CausalRec", SASRec)
    monkeypatch.setattr(causal, "CausalRecOptions", lambda items, **_: SASRecOptions(items, normalised=1, **kept))
    np.testing.assert_array_equal(fitted(twin, rows), ours)


def test_members_have_titles_and_name_the_code_that_makes_them():
    assert TITLES.keys() == MEMBERS.keys()
    assert causal.code("lift_sasrec") == ("bench.methods.causal:LiftSASRec",)
    assert "bench.methods.seq2cause_script" in causal.code("seq2cause_sasrec")
    assert causal.code("my.module:Mine") == ("bench.methods.user_recommender:UserScorer",)


def test_lift_keeps_as_many_pairs_as_it_says_by_their_lift(rows):
    model = causal.LiftSASRec(OPTIONS, TRAINING, edges=1)
    fitted(model, rows)
    W, scores = model.graph().toarray(), lift(np.stack(rows), ITEMS)
    np.fill_diagonal(scores, 0.0)
    assert np.count_nonzero(W) == ITEMS
    np.testing.assert_array_equal(W[W > 0], scores[W > 0])
    assert scores[W > 0].min() >= scores[W == 0].max()


def test_strongest_takes_no_weight_of_0_and_no_diagonal():
    weights = np.array([[9.0, 2.0, 0.0], [3.0, 9.0, -1.0], [2.0, 0.0, 9.0]])
    assert strongest(weights, 2).toarray().tolist() == [[0, 2, 0], [3, 0, 0], [0, 0, 0]]
    assert strongest(weights, 9).nnz == 3


# A user's class


def test_a_graph_may_be_sparse_and_its_diagonal_is_ignored(own, rows):
    model = make(f"{own}:Counted", {}, {}, "cpu")
    fitted(model, rows)
    dense = read_graph("it", model, ITEMS)
    assert model.W.diagonal().any()
    model.W = csr_array(model.W.astype(np.int64))
    assert (read_graph("it", model, ITEMS) != dense).nnz == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Narrow", r"Narrow: graph returned shape \(20, 19\) and dtype float64; return numbers of shape \(20, 20\)"),
        ("Named", r"dtype <U\d+; return numbers of shape \(20, 20\), row = effect, column = cause"),
        ("Endless", "Endless: graph returned values that are not finite; return 0 where there is no edge"),
    ],
)
def test_what_is_no_graph_is_told(own, rows, name, told):
    model = make(f"{own}:{name}", {}, {}, "cpu")
    fitted(model, rows)
    with pytest.raises(InputError, match=told):
        read_graph(name, model, ITEMS)


@pytest.mark.parametrize(("name", "told"), [("Selfish", "the recommender itself"), ("Worded", "a str")])
def test_what_is_no_twin_is_told(own, name, told):
    with pytest.raises(InputError, match=f"{name}: twin returned {told}; return a new recommender with fit and scores"):
        make_twin(name, make(f"{own}:{name}", {}, {}, "cpu"))


def test_a_class_with_some_of_the_three_methods_is_refused(own):
    assert user_recommender.is_causal(f"{own}:Counted")
    with pytest.raises(InputError, match=r"Alone has some of .* but not twin; a causal recommender has all three"):
        user_recommender.load(f"{own}:Alone")


# seq2cause


def test_without_its_interpreter_seq2cause_says_what_to_do(monkeypatch, rows):
    monkeypatch.delenv(seq2cause.PEER.variable, raising=False)
    assert seq2cause.PEER.version() is None
    with pytest.raises(InputError, match=r"needs seq2cause; let \$CAUSALREC_SEQ2CAUSE name a Python that has"):
        fitted(make("seq2cause_sasrec", OPTIONS, TRAINING, "cpu"), rows)
    monkeypatch.setenv(seq2cause.PEER.variable, "false")
    interpreters._version.cache_clear()
    with pytest.raises(InputError, match="without a word; `false -m pip install seq2cause scipy`, or unset it"):
        seq2cause.PEER.version()


@pytest.mark.slow
def test_seq2cause_finds_who_follows_whom():
    """Item k is followed by k + 1 four times out of five, and otherwise by any."""
    if not os.environ.get(seq2cause.PEER.variable):
        pytest.skip(f"${seq2cause.PEER.variable} names no interpreter with seq2cause")
    rng = np.random.default_rng(7)
    rows = [rng.integers(1, ITEMS + 1, LENGTH) for _ in range(200)]
    for row in rows:
        for t in range(1, LENGTH):
            row[t] = row[t - 1] % ITEMS + 1 if rng.random() < 0.8 else row[t]
    model = make("seq2cause_sasrec", OPTIONS | {"width": 16}, TRAINING | {"epochs": 30}, "cpu")
    fitted(model, rows)
    W = read_graph("it", model, ITEMS).toarray()
    assert np.mean(W.argmax(0) == (np.arange(ITEMS) + 1) % ITEMS) > 0.8
