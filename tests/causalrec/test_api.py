"""The public Python API: `import causalrec` and nothing else of this package is enough in a notebook."""

import pickle
import subprocess
import sys
import tomllib
from pathlib import Path

import networkx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrec
from bench.apply.learn import learn
from bench.apply.observed import read
from bench.apply.train import train
from causalrec.methods.recommenders import OFFERED
from causalrec.structure import Fits
from causalrec.training import TrainingOptions

ROOT = Path(__file__).parents[2]
B = np.array([[0, 0, 0, 0], [1.5, 0, 0, 0], [0.9, -0.8, 0, 0], [0, 0, 1.2, 0]])
NAMES = ["rain", "sprinkler", "wet", "slip"]
SMALL = {"epochs": 1, "width": 8, "length": 6, "heads": 1, "layers": 1}
MADE_IN_ONE_GO = [name for name, entry in OFFERED.items() if entry.options_of is None]


def draw(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Samples of B, equal variances: x = B x + u."""
    return pd.DataFrame(
        np.linalg.solve(np.eye(4) - B, np.random.default_rng(seed).normal(size=(4, rows))).T, columns=NAMES
    )


def walks(users: int = 24, items: int = 9, length: int = 7) -> pd.DataFrame:
    """Users who walk through the items in a circle, from different starts: (user, item, when)."""
    rows = [(f"u{u}", (u + step) % items * 7, step) for u in range(users) for step in range(length)]
    return pd.DataFrame(rows, columns=["user", "item", "when"])


def small(name: str, **more: object) -> causalrec.SequentialRecommender:
    """A recommender that trains in no time."""
    sizes: dict[str, object] = {} if name in MADE_IN_ONE_GO else {"epochs": 1, "width": 8}
    if name == "causalrec":
        return causalrec.CausalRec(**sizes, **more)
    return causalrec.SequentialRecommender(name, **sizes, **more)


# The package


def test_every_public_name_is_there_and_none_is_imported_before_it_is_used():
    assert set(causalrec.__all__) <= set(dir(causalrec))
    for name in set(causalrec.__all__) - {"__version__"}:
        assert getattr(causalrec, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Causalrec'; it offers"):
        causalrec.Causalrec  # noqa: B018
    code = "import sys, causalrec, causalrec.interactions; dir(causalrec); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_version_is_that_of_the_distribution_and_types_are_told():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project.get("version", causalrec.__version__) == causalrec.__version__
    assert (ROOT / "causalrec" / "py.typed").is_file()


def test_the_first_line_of_a_notebook_works_in_an_empty_folder(tmp_path):
    X = "np.random.default_rng(0).normal(size=(200, 4))"
    code = f"import causalrec, numpy as np; print(causalrec.learn_graph({X}).edges)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "Columns: [cause, effect, weight]" in told.stdout


# Graphs


def test_a_known_graph_comes_out_with_names_diagnostics_and_as_networkx():
    found = causalrec.learn_graph(draw())
    assert found.weights.to_numpy() == pytest.approx(B, abs=0.15)
    assert (found.weights.index.name, found.weights.columns.name) == ("effect", "cause")
    assert found.weights.loc["sprinkler", "rain"] == found.edges.weight[0]
    assert found.edges[["cause", "effect"]].iloc[0].tolist() == ["rain", "sprinkler"]
    assert found.edges.weight.abs().is_monotonic_decreasing
    graph = found.to_networkx()
    assert set(graph.nodes) == set(NAMES)
    assert graph.edges["rain", "sprinkler"]["weight"] == found.edges.weight[0]
    assert networkx.is_directed_acyclic_graph(graph)
    assert (found.diagnostics["samples"], found.diagnostics["edges"]) == (400, 4)
    assert 0 <= found.diagnostics["varsortability of the graph"] <= 1
    assert found.converged
    assert found.warnings == ()


@settings(max_examples=10)
@given(st.permutations(NAMES), st.integers(0, 50))
def test_a_graph_does_not_depend_on_the_order_of_columns(order, seed):
    X = draw(80, seed)
    there, here = (causalrec.learn_graph(frame, threshold=0).weights for frame in (X, X[order]))
    assert here.loc[NAMES, NAMES].to_numpy() == pytest.approx(there.to_numpy(), abs=1e-9)


STAY = "edges that stay when standardised"


@settings(max_examples=10)
@given(st.lists(st.sampled_from([0.01, 0.1, 1.0, 10.0, 100.0]), min_size=4, max_size=4), st.integers(0, 50))
def test_units_make_no_difference_to_a_learner_that_does_not_use_them(units, seed):
    for method in ("r2_sort", "random_order"):
        found = causalrec.learn_graph(draw(80, seed) * units, method, seed=seed)
        assert found.diagnostics[STAY] in (1, None)
        assert (found.diagnostics[STAY] is None) == (found.diagnostics["edges"] == 0)


def test_what_units_decided_is_lost_when_standardised():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 1))
    X = np.hstack([3 * x + 3 * rng.normal(size=(500, 1)), x])  # x0 is the effect
    for method in ("eqvar", "variance_sort", "notears"):
        found = causalrec.learn_graph(X, method)
        assert found.edges[["cause", "effect"]].to_numpy().tolist() == [["x1", "x0"]]
        there = causalrec.learn_graph((X - X.mean(0)) / X.std(0), method)
        same = there.edges[["cause", "effect"]].equals(found.edges[["cause", "effect"]])
        assert found.diagnostics[STAY] == (1 if same else 0)
        assert there.diagnostics[STAY] == "none: they are standardised as given"
    assert causalrec.learn_graph(X, "eqvar").diagnostics[STAY] == 0


def test_the_second_graph_is_learned_only_when_asked_for_and_before_pickling():
    calls = []

    def learner(X):
        calls.append(X.std(0))
        if len(calls) == 2:
            raise ValueError("no luck")
        return B

    found = causalrec.learn_graph(draw(), learner)
    assert len(calls) == 1
    again = pickle.loads(pickle.dumps(found))
    assert calls[1] == pytest.approx(np.ones(4))
    assert again.told == found.told
    assert found.diagnostics[STAY] == "none: learner failed: ValueError: no luck"
    assert len(calls) == 2
    assert np.array_equal(again.W, found.W)


@pytest.mark.parametrize("method", ["eqvar", "notears"])
def test_the_command_gives_the_same_graph(tmp_path, method):
    X = draw()
    X.to_csv(tmp_path / "x.csv", index=False)
    there = learn(read(tmp_path / "x.csv"), method, seed=3)
    here = causalrec.learn_graph(X, method, seed=3)
    assert np.array_equal(there.graph, here.W)


def test_a_covariance_an_array_and_names_of_any_type_will_do():
    X = draw()
    S = np.cov(X.T, bias=True)
    found = causalrec.learn_graph(S, covariance=True, samples=400, names=NAMES)
    assert found.weights.to_numpy() == pytest.approx(causalrec.learn_graph(X).weights.to_numpy())
    assert causalrec.learn_graph(S, covariance=True).diagnostics["samples"] == "exact covariance"
    assert list(causalrec.learn_graph(X.to_numpy()).weights) == ["x0", "x1", "x2", "x3"]
    assert causalrec.learn_graph(X.set_axis([1, 2, 3, 4], axis=1)).edges.cause[0] == 1


class Estimator:
    """Sets W_, as estimators of scikit-learn's kind do."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def fit(self, X):
        self.W_ = np.linalg.pinv(np.cov(X.T)) * 0
        self.W_[1, 0] = self.scale
        return self


class Returns:
    def fit(self, X):
        return B


class Ours:
    """A learner of our own protocol."""

    def fit(self, problems, generator):
        return Fits(B[None], np.zeros(1), np.ones(1, bool), np.ones(1, int))


@pytest.mark.parametrize(
    ("method", "options", "edges"),
    [(Estimator, {"scale": 2.0}, 1), (Estimator(), {}, 1), (Returns, {}, 4), (Ours(), {}, 4), (lambda X: B, {}, 4)],
)
def test_estimators_and_functions_of_ones_own_are_learners(method, options, edges):
    found = causalrec.learn_graph(draw(), method, **options)
    assert len(found.edges) == edges
    assert found.edges[["cause", "effect"]].iloc[0].tolist() == ["rain", "sprinkler"]


class NoFit:
    pass


class NothingFound:
    def fit(self, X):
        return self


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        (lambda X: X.assign(wet="a"), {}, "column 'wet' holds .*, no numbers; drop or encode it"),
        (lambda X: X.where(X > 0), {}, "column '.*' has .* missing or infinite; drop or impute them"),
        (lambda X: X.assign(wet=1.0), {}, "column 'wet' is 1 in every row; drop it"),
        (lambda X: X.assign(wet=X.rain), {}, "columns 'rain' and 'wet' are equal"),
        (lambda X: X.iloc[:1], {}, "one row"),
        (lambda X: X.rain, {}, r"shape \(400,\)"),
        (lambda X: X.set_axis(["a", "a", "b", "c"], axis=1), {}, "give 4 different ones"),
        (lambda X: [["a"]], {}, "array or a DataFrame of numbers"),
        (lambda X: X, {"samples": 3}, "samples goes with covariance=True"),
        (lambda X: X, {"threshold": -1}, "threshold is -1"),
        (lambda X: X, {"method": "pc"}, "no learner is called 'pc'"),
        (lambda X: X, {"method": "oracle"}, "needs the true causal order"),
        (lambda X: X, {"depth": 3}, "eqvar has no option depth"),
        (lambda X: X, {"method": NoFit()}, "give a learner's name, or a function, object or class with fit"),
        (lambda X: X, {"method": NothingFound}, "NothingFound failed: .* set none of W_, weights_, adjacency_matrix_"),
        (lambda X: X, {"method": Estimator(), "scale": 1.0}, "is made already and takes no option scale"),
    ],
)
def test_what_no_graph_can_be_learned_from_is_told(change, options, told):
    with pytest.raises(causalrec.InputError, match=told):
        causalrec.learn_graph(change(draw()), **options)


# Recommenders


@pytest.mark.parametrize("name", causalrec.recommenders())
def test_every_recommender_is_the_same_after_saving_and_loading(tmp_path, name):
    model = small(name).fit(walks(), time="when")
    model.save(tmp_path)
    again = causalrec.load(tmp_path)
    assert type(again) is type(model)
    pd.testing.assert_frame_equal(again.recommend(["u3", "u5"], 3), model.recommend(["u3", "u5"], 3), check_exact=True)
    histories, times = {"a": [0, 7, 14], "b": [28]}, [[0, 1, 2], [5]]
    there, here = (each.recommend_after(histories, 4, times=times) for each in (model, again))
    pd.testing.assert_frame_equal(here, there, check_exact=True)
    assert there.history.unique().tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(again.evaluate(), model.evaluate())
    assert again.get_params() == again.get_params() | small(name).get_params()


IDS = {
    "texts": [f"é{k}" for k in range(9)],
    "whole numbers": list(range(5, 14)),
    "NumPy's": list(np.arange(9, dtype=np.int32)),
    "fractions": [0.1 * k for k in range(9)],
    "dates": list(pd.date_range("2024-01-01", periods=9)),
    "texts that look like numbers": [f"0{k}" for k in range(9)],
}


@settings(max_examples=12)
@given(st.sampled_from(sorted(IDS)), st.sampled_from(sorted(IDS)), st.booleans())
def test_ids_of_any_type_come_back_as_they_are(tmp_path_factory, of_items, of_users, categorical):
    folder = tmp_path_factory.mktemp("saved")
    df = walks(9)
    df["item"] = [IDS[of_items][item // 7] for item in df["item"]]
    df["user"] = [IDS[of_users][int(user[1:])] for user in df["user"]]
    if categorical:
        df = df.astype({"item": "category"})
    model = causalrec.SequentialRecommender("markov").fit(df)
    found = model.recommend(IDS[of_users][:2], 3)
    assert found["user"].unique().tolist() == IDS[of_users][:2]
    assert set(found["item"]) <= set(IDS[of_items])
    assert categorical or found.dtypes[["user", "item"]].tolist() == df.dtypes[["user", "item"]].tolist()
    model.save(folder)
    pd.testing.assert_frame_equal(causalrec.load(folder).recommend(IDS[of_users][:2], 3), found, check_exact=True)
    assert len(model.recommend_after([IDS[of_items][:3]], 2)) == 2


def test_the_command_trains_the_same_model_and_either_reads_the_others_files(tmp_path):
    df = walks()
    df.to_csv(tmp_path / "walks.csv", index=False)
    model = causalrec.SequentialRecommender("sasrec", seed=4, **SMALL).fit(df, time="when")
    asked = {"user": "user", "item": "item", "time": "when"}
    words = [f"{key}={value}" for key, value in SMALL.items() if key != "epochs"]
    training = {"epochs": 1, "optimiser": "muon", "windows": "all"}
    train(
        str(tmp_path / "walks.csv"), "sasrec", tmp_path / "there", asked, words=words, training=training, seed=4,
        device="cpu",
    )  # fmt: skip
    model.save(tmp_path / "here")
    there, here = (causalrec.load(tmp_path / place) for place in ("there", "here"))
    texts = [["0", "7"]], [[0, 7]]
    got = [each.recommend_after(history, 5) for each, history in zip((there, here), texts, strict=True)]
    assert got[0]["item"].tolist() == got[1]["item"].astype(str).tolist()
    assert got[0]["score"].tolist() == got[1]["score"].tolist()
    with pytest.raises(causalrec.InputError, match="was saved without what users did; use recommend_after"):
        there.recommend(["u1"])

    from bench.apply.saved import recommend

    told = recommend(tmp_path / "here", history=["0", "7"], k=5, device="cpu")
    assert [row[0] for row in told.items] == got[1]["item"].astype(str).tolist()


def test_ranks_count_from_one_and_seen_items_are_left_out_where_nobody_repeats():
    model = small("popularity").fit(walks())
    found = model.recommend(["u0", "u1"], 5)
    assert found.columns.tolist() == ["user", "rank", "item", "score"]
    assert found["rank"].tolist() == [1, 2, 1, 2]  # seven of nine items were seen
    assert model.recommend("u0", 5, seen="kept")["rank"].tolist() == [1, 2, 3, 4, 5]
    assert not set(model.recommend("u0", 5)["item"]) & set(walks().query("user == 'u0'")["item"])


def test_an_evaluation_is_beside_its_controls():
    told = small("sasrec").fit(walks()).evaluate(k=5)
    assert told.index.tolist() == ["sasrec", "popularity", "markov"]
    assert (told["users"] == 24).all()
    for measure in ("HR", "NDCG"):
        assert (told[f"{measure} low"] <= told[f"{measure}@5"]).all()
        assert (told[f"{measure}@5"] <= told[f"{measure} high"]).all()
    assert told.loc["markov", "HR@5"] == 1


def test_causalrec_tells_the_graph_of_a_history():
    model = causalrec.CausalRec(epochs=1, width=8).fit(walks())
    found = model.graph([0, 7, 0, 14])
    for frame in found:
        assert frame.index.tolist() == frame.columns.tolist() == [0, 7, 0, 14]
    assert not np.triu(found.R.to_numpy()).any()
    with pytest.raises(causalrec.InputError, match="the history is empty"):
        model.graph([])


def test_parameters_follow_scikit_learn():
    model = causalrec.SequentialRecommender("gru4rec", seed=3, width=8)
    assert model.get_params()["width"] == 8
    assert type(model)(**model.get_params()).get_params() == model.get_params()
    assert model.set_params(width=16, seed=1) is model
    assert (model.get_params()["width"], model.seed) == (16, 1)
    assert repr(causalrec.CausalRec(width=8)).endswith("device='auto', width=8)")
    assert not {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    with pytest.raises(causalrec.NotFittedError, match="call fit first"):
        model.recommend(["u1"])
    assert model.set_params(epochs=1, seed=3).fit(walks()) is model
    names = {name for entry in OFFERED.values() if entry.options_of for name in entry.options_of.__dataclass_fields__}
    assert not names & {*TrainingOptions.__dataclass_fields__, *small("markov").get_params()}


@pytest.mark.parametrize(
    ("options", "change", "told"),
    [
        ({"model": "svd"}, None, "no recommender is called 'svd'; choose one of popularity"),
        ({"depth": 3}, None, "sasrec has no option 'depth'"),
        ({"model": "popularity", "epochs": 3}, None, "popularity has no option 'epochs'; its options: none"),
        ({"width": "8"}, None, r"sasrec\.width is '8'; expected a whole number"),
        ({"epochs": 0}, None, "epochs = 0; expected at least 1"),
        ({"split": "half"}, None, "choose leave_one_out or temporal"),
        ({"drop_repeats": "no"}, None, "drop_repeats is True or False"),
        ({"item_core": 0}, None, "a core at least 1"),
        ({"user_core": 99}, None, "nothing is left of 168 actions"),
        ({"model": "tisasrec"}, None, "needs the time of every action"),
        ({"model": "causalrec", "source": "fixed", "beta": 0.0}, None, "of which there is none"),
        ({}, lambda df: df.drop(columns="user"), "there is no column 'user'; the columns are"),
        ({}, lambda df: df.assign(item=df["item"].where(df["item"] > 0)), "column 'item' lacks .* values"),
        ({}, lambda df: df.assign(user=[1, "1"] * 84), "read alike"),
        ({}, lambda df: df.to_numpy(), "is a ndarray; give a pandas DataFrame"),
        ({}, lambda df: pd.concat([df, df["item"]], axis=1), "there are several columns 'item'"),
    ],
)
def test_what_cannot_be_trained_is_told(options, change, told):
    model = causalrec.SequentialRecommender(**{"epochs": 1} | options if "model" not in options else options)
    with pytest.raises(causalrec.InputError, match=told):
        model.fit(walks() if change is None else change(walks()))


def test_what_cannot_be_recommended_loaded_or_saved_is_told(tmp_path):
    model = small("popularity").fit(walks())
    for call, told in (
        (lambda: model.recommend(["u0", "x"]), r"1 users \('x'\) are not in the data, or had fewer than 5 actions"),
        (lambda: model.recommend_after([[0, 1]]), r"1 items \(1\) are unknown to the model"),
        (lambda: model.recommend_after([[]]), "a history is empty"),
        (lambda: model.recommend_after(["abc"]), "a history is a list of item ids"),
        (lambda: model.recommend_after([[0]], times=[[1, 2]]), "differ in length"),
        (lambda: model.recommend("u0", 0), "k is 0"),
        (lambda: causalrec.load(tmp_path / "none"), "there is no such file"),
        (lambda: model.save(tmp_path / "file" / "x"), "cannot be written"),
    ):
        (tmp_path / "file").touch()
        with pytest.raises(causalrec.InputError, match=told):
            call()
    model.save(tmp_path / "model", histories=False)
    assert not (tmp_path / "model" / "histories.safetensors").exists()
    with pytest.raises(causalrec.InputError, match="holds popularity; load it with"):
        causalrec.CausalRec.load(tmp_path / "model")
    odd = small("popularity").fit(walks().assign(item=lambda df: [(item, 1) for item in df["item"]]))
    with pytest.raises(causalrec.InputError, match="to save, make the column text or numbers"):
        odd.save(tmp_path / "odd")


def test_times_may_be_dates():
    df = walks()
    dated = df.assign(when=pd.to_datetime(df["when"], unit="s", utc=True))
    turned = dated.sample(frac=1, random_state=0)
    models = [small("tisasrec").fit(frame, time="when") for frame in (df, dated, turned)]
    first = models[0].recommend(["u3"], 3)
    for model in models[1:]:
        pd.testing.assert_frame_equal(model.recommend(["u3"], 3), first, check_exact=True)
