"""The names of learners: what each loads, what makes its results, and a user's own function beside ours."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cells.fingerprint import reach
from bench.cells.store import Store
from bench.engine.run import run_cells
from bench.errors import INPUT_ERRORS, InputError
from bench.experiments import check_used
from bench.experiments.theory import graphs, recovery
from bench.methods import learners
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup, make_setup
from bench.runners import RUNNERS, execute
from causalrec.structure import Problems, registry

SMOKE = Setup(PRESETS["smoke"], 0, "cpu")
PEERS = tuple(name for name in learners.names() if name.startswith("peer."))
OURS = tuple(name for name in learners.names() if not name.startswith("peer."))

# Stands for what a user writes: right on one problem, wrong on others, by the sign of what it sees.
MINE = """
import numpy as np

print("loading")

def regress(X):
    print("one problem")
    X -= X.mean(0)
    W = np.zeros((X.shape[1],) * 2)
    W[1, 0] = X[:, 1] @ X[:, 0] / (X[:, 0] @ X[:, 0])
    return W

def raises(X):
    if X[0, 0] > 0:
        raise RuntimeError("no\\nluck")
    return regress(X)

def wide(X):
    return np.zeros((1, 7))

def words(X):
    return np.full((X.shape[1],) * 2, "w")

def nan(X):
    return np.full((X.shape[1],) * 2, np.nan)

def loops(X):
    return np.eye(X.shape[1])

def huge(X):
    return (1e9 if X[0, 0] > 0 else 20) * (1 - np.eye(X.shape[1]))

def steep(X):
    return 1e9 * np.tri(X.shape[1], k=-1)

def exhausts(X):
    raise MemoryError

number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch) -> str:
    """A module of a user's own in the current folder; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    name = f"mine_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    (tmp_path / f"{name}.py").write_text(MINE)
    return name


def two_problems() -> Problems:
    rows = np.random.default_rng(0).normal(size=(2, 30, 3))
    rows[0, 0, 0], rows[1, 0, 0] = 1, -1
    return Problems.from_samples(rows)


def fit(name: str, problems: Problems | None = None):
    return learners.load(name).fit(problems or two_problems(), np.random.default_rng(0))


# Names


@pytest.mark.parametrize("name", OURS)
def test_each_name_loads_has_a_title_a_cost_and_code(name):
    loaded, entry = learners.load(name), learners.ENTRIES[name]
    assert type(loaded) is entry.kind
    assert learners.title(name) == entry.title
    assert learners.code(name) == (f"{type(loaded).__module__}:{type(loaded).__name__}",)
    assert not learners.needs_rows(name)
    assert 0 < learners.seconds(name, 10, 100) <= learners.seconds(name, 12, 1000)


def test_titles_tell_names_apart_and_every_learner_of_the_model_package_is_an_entry():
    assert len({entry.title for entry in learners.ENTRIES.values()}) == len(learners.ENTRIES)
    assert all(learners.ENTRIES[name].kind is kind for name, kind in registry.LEARNERS.items())


@pytest.mark.parametrize("name", [name for name in OURS if learners.ENTRIES[name].options])
def test_a_variant_sets_its_options_and_takes_others(name):
    for key, value in learners.ENTRIES[name].options.items():
        assert getattr(learners.load(name), key) == value
    with pytest.raises(INPUT_ERRORS, match=f"{name} has no option foo; its options: "):
        learners.load(name, foo=1)


def test_a_variant_gives_what_its_options_give():
    problems = two_problems()
    ours = registry.load("eqvar", refit="lasso_bic").fit(problems, np.random.default_rng(0))
    assert (fit("eqvar_lasso", problems).W == ours.W).all()


@pytest.mark.parametrize("name", [name for name in OURS if learners.ENTRIES[name].most_nodes])
def test_an_exact_search_is_not_asked_for_more_nodes_than_it_takes(name):
    most = learners.ENTRIES[name].most_nodes
    assert learners.can_run(name, most, 100)
    assert not learners.can_run(name, most + 1, 100)
    with pytest.raises(INPUT_ERRORS):
        fit(name, Problems(np.eye(most + 1)[None]))


def test_peers_have_rows_and_their_own_code_which_no_other_learner_counts():
    for name in PEERS:
        assert learners.needs_rows(name)
        assert learners.code(name) == (f"bench.methods.peers:{learners.ENTRIES[name].kind.__name__}",)
        assert not learners.can_run(name, 5, None)
    read = reach(graphs.plan_cell(SMOKE, "eqvar", "er", 1, 5, 100).code)
    assert not read & {("bench.methods.peers", learners.ENTRIES[name].kind.__name__) for name in PEERS}


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(InputError, match=r"'eqva'; choose one of .*eqvar_lasso.*peer\.dagma") as told:
        learners.load("eqva")
    assert "or a function of your own as package.module:function" in str(told.value)
    with pytest.raises(InputError, match=r"no learner is called 'peer\.nobody'; choose one of .*peer\.dagma"):
        learners.load("peer.nobody")


# A user's own


def test_an_own_function_fits_each_problem_on_a_copy_and_prints_nothing_to_stdout(mine, capsys):
    problems = two_problems()
    fits = fit(f"{mine}:regress", problems)
    S = problems.covariance
    assert fits.W[:, 1, 0] == pytest.approx(S[:, 1, 0] / S[:, 0, 0])
    assert fits.converged.all()
    assert fits.errors == ("", "")
    assert fits.h == pytest.approx([0, 0])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("one problem") == 2


def test_what_fails_on_one_problem_is_that_problems_error(mine):
    fits = fit(f"{mine}:raises")
    assert fits.errors == ("RuntimeError: no luck", "")
    assert fits.converged.tolist() == [False, True]
    assert not fits.W[0].any()
    assert fits.W[1, 1, 0] != 0


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("wide", "InputError: returned shape (1, 7) and dtype float64; return numbers of shape (3, 3)"),
        ("words", "InputError: returned shape (3, 3) and dtype <U1; return numbers of shape (3, 3)"),
        ("nan", "InputError: returned values that are not finite"),
        ("loops", "InputError: returned a diagonal that is not 0: a variable that causes itself"),
    ],
)
def test_a_wrong_result_is_a_recorded_error(mine, function, told):
    fits = fit(f"{mine}:{function}")
    assert fits.errors == (told, told)
    assert not fits.W.any()
    assert not fits.converged.any()


def test_an_h_that_overflows_is_the_largest_number(mine):
    assert (fit(f"{mine}:huge").h == np.finfo(np.float64).max).all()
    assert (fit(f"{mine}:steep").h == 0).all()


def test_running_out_of_memory_is_no_result(mine):
    with pytest.raises(MemoryError):
        fit(f"{mine}:exhausts")


def test_an_own_function_has_no_covariance_and_no_options(mine):
    assert learners.needs_rows(f"{mine}:regress")
    with pytest.raises(INPUT_ERRORS, match="learns from samples; here is only a covariance"):
        fit(f"{mine}:regress", Problems(np.eye(3)[None]))
    with pytest.raises(InputError, match="is a function of your own and has no option depth"):
        learners.load(f"{mine}:regress", depth=3)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{}:nothing", "has no function nothing"),
        ("{}:number", "has no function number"),
        ("{}:", "does not name a function; write package.module:function"),
        (":regress", "does not name a function"),
        ("{}:a:b", "does not name a function"),
        ("../{}:regress", "does not name a function"),
        ("nowhere_at_all:regress", "cannot be imported from .* .ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("broken_by_us:regress", "cannot be imported from .* .SyntaxError"),
        ("leaves_early:regress", "cannot be imported from .* .SystemExit: 3"),
    ],
)
def test_what_is_no_function_is_refused_before_anything_runs(mine, name, told):
    Path("broken_by_us.py").write_text("def regress(X:\n")
    Path("leaves_early.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(InputError, match=told):
        make_setup(PRESETS["smoke"], 0, learners=(name.format(mine),))


def test_editing_the_source_makes_new_cells(mine):
    name = f"{mine}:regress"
    before = graphs.plan_cell(SMOKE, name, "er", 1, 5, 100)
    assert before.key == graphs.plan_cell(SMOKE, name, "er", 1, 5, 100).key
    file = Path(f"{mine}.py")
    assert before.params["identity"] == hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_text(MINE + "# edited\n")
    assert before.key != graphs.plan_cell(SMOKE, name, "er", 1, 5, 100).key


# In a setup and its experiments


def test_a_setup_holds_each_learner_once_and_puts_it_after_ours(mine):
    setup = make_setup(PRESETS["smoke"], 0, learners=("eqvar_lasso", f"{mine}:regress", "eqvar_lasso"))
    assert setup.learners == ("eqvar_lasso", f"{mine}:regress")
    assert setup.beside(("eqvar", "eqvar_lasso")) == ("eqvar", "eqvar_lasso", f"{mine}:regress")
    assert SMOKE.learners == ()


def test_recovery_plans_them_where_they_can_run_and_tables_have_a_column_for_each(mine):
    setup = replace(SMOKE, learners=(f"{mine}:regress", "exact", "eqvar"))
    cells = recovery.plan(setup)
    ours = {cell.key for cell in recovery.plan(SMOKE)}
    assert ours < {cell.key for cell in cells}
    added = [cell for cell in cells if cell.key not in ours]
    s = setup.preset.structure
    kinds = len(s.families) * len(s.nodes)
    assert sum(cell.params["learner"] == f"{mine}:regress" for cell in added) == kinds * len(s.samples)
    assert {cell.params["learner"] for cell in added} == {f"{mine}:regress", "exact"}
    assert len({cell.key for cell in cells}) == len(cells)
    for table in recovery.tables(setup, []):
        assert table.columns[-2:] == (f"{mine}:regress", "exact, equal variances")


def test_what_no_experiment_would_use_is_an_error_that_tells_which_would():
    setup = replace(SMOKE, learners=("eqvar_lasso",))
    check_used(setup, ("discovery", "recovery"))
    check_used(SMOKE, ("discovery",))
    with pytest.raises(InputError, match=r"discovery would not use --learner eqvar_lasso; .* use it: recovery"):
        check_used(setup, ("discovery",))


def test_workers_find_the_function_and_its_failures_are_recorded(mine, tmp_path):
    setup = replace(SMOKE, learners=make_setup(PRESETS["smoke"], 0, learners=(f"{mine}:raises",)).learners)
    cell = next(cell for cell in recovery.plan(setup) if cell.params["learner"] == f"{mine}:raises")
    store = Store(tmp_path / "runs")
    summary = run_cells([cell], store, execute)
    assert summary.done == [cell]
    record = store.get(cell)
    assert 0 < record.metrics["failures"] < record.metrics["draws"]
    assert record.metrics["first_failure"] == "RuntimeError: no luck"


def test_a_learner_is_told_apart_by_its_class_and_what_its_name_fixes():
    told = {(learners.code(name), learners.identity(name)) for name in OURS}
    assert len(told) == len(OURS)
    assert learners.identity("eqvar_lasso") == "refit=lasso_bic"


@pytest.mark.parametrize(
    ("definition", "users"),
    [
        (("causalrec.structure.eqvar", "EqVar"), {"eqvar", "eqvar_lasso", "eqvar_bic", "eqvar_bottom_up"}),
        (("causalrec.structure.notears", "Notears"), {"notears", "notears_exponential"}),
        (("causalrec.structure.notears", "LeastSquares"), {"notears", "notears_exponential", "dagma"}),
        (("causalrec.structure.golem", "GolemNV"), {"golem_nv"}),
    ],
)
def test_editing_a_learner_changes_the_cells_of_whoever_uses_it_alone(definition, users):
    read = {name: reach(graphs.plan_cell(SMOKE, name, "er", 1, 5, 100).code) for name in OURS}
    assert {name for name in OURS if definition in read[name]} == users


@pytest.mark.parametrize("runner", RUNNERS)
def test_no_runner_has_a_learner_or_a_rival_in_its_key(runner):
    """Otherwise an edit of one would change the keys of all."""
    read = reach((f"bench.runners.{runner}:run",))
    optional = {kind.__name__ for kind in (entry.kind for entry in learners.ENTRIES.values())}
    used = {name for module, name in read if module.startswith(("causalrec.structure.", "bench.methods.peers"))}
    fixed = {"mixing": {"EqVar"}, "attribution": {"Exact"}}  # what these runners are about
    assert used & optional == fixed.get(runner, set())
    assert not {module for module, _ in read if module.startswith("causalrec.rivals.")}
