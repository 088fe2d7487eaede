"""Sweeps in behaviour worlds: alpha by decades under both boosts, lambda, tau, and the schedule of rho.

Every sweep runs where causes persist, so that a graph can help, and where they are drawn anew, so that none can. The
first is judged, the second stands beside it. Test users are fresh ones; seeds are shared along a sweep.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.experiments.base import Experiment, Results, Rows, count_words, curves, more_worlds, table, worlds_planned
from bench.judge.claims import Finding, Register
from bench.judge.intervals import largest_interval, sequence_interval, spearman_interval, t_interval
from bench.plan.presets import CAUSES, PERSIST, swept
from bench.plan.recommender_cells import seed_cells, world_cells, world_sizes
from bench.plan.results import all_of, mean_metric, mean_share, values
from bench.plan.setup import Setup
from bench.plan.tuning import ALIVE_TAU
from bench.show.figures import Curves, Figure
from bench.show.tables import Table

BOOSTS = ("renorm", "raw")
DEFAULTS: dict[str, Any] = {"sparsity": 0.01, "tau": ALIVE_TAU, "schedule": (1.0, 10.0)}
# By option: its table, the table's title and first column, and where the preset says what is tried beside the default.
GRIDS = {
    "sparsity": ("lambda", "The lambda grid, alpha = 1 under renorm", "lambda", "sparsities"),
    "tau": ("tau", "The threshold of R, alpha = 1 under renorm", "tau", "taus"),
    "schedule": ("rho", "The schedule of rho, alpha = 1 under renorm", "rho at first, growth", "schedules"),
}
NDCG, HR = "fresh_ndcg10_kept", "fresh_hr10_kept"


def plan(setup: Setup) -> list[Cell]:
    """alpha = 0 once, every alpha under both boosts, every lambda at alpha = 1, in every world; the best possible."""
    settings: list[dict[str, Any]] = [{"alpha": 0.0}]
    settings += [{"alpha": alpha, "mode": mode} for alpha in setup.preset.alphas for mode in BOOSTS]
    settings += [{option: value} for option in GRIDS for value in _grid(setup, option)]
    cells = [cell for causes in CAUSES for setting in settings for cell in _cells(setup, causes, **setting)]
    return list(dict.fromkeys([*cells, *(cell for causes in CAUSES for cell in _best_cells(setup, causes))]))


def _best_cells(setup: Setup, causes: str) -> list[Cell]:
    return seed_cells(setup, swept(setup.preset, causes).dataset, "best_possible", {}, {}, setup.preset.sweep_seeds)


def _grid(setup: Setup, option: str) -> list[Any]:
    """What is tried of an option, its default among them, ascending."""
    return sorted({*getattr(setup.preset, GRIDS[option][-1]), DEFAULTS[option]})


def _cells(
    setup: Setup, causes: str, worlds: int | None = None, alpha: float = 1.0, mode: str = "renorm", **more: Any
) -> list[Cell]:
    """Defaults of `more` are left unsaid, so that a cell of several sweeps is one cell; `worlds` are the first ones."""
    changes: dict[str, Any] = {name: value for name, value in more.items() if value != DEFAULTS[name]}
    changes = {"tau": ALIVE_TAU, "alpha": alpha, "mode": mode, **changes}
    if schedule := changes.pop("schedule", None):
        changes |= dict(zip(("rho", "growth"), schedule, strict=True))
    return world_cells(setup, swept(setup.preset, causes), worlds or setup.preset.sweep_seeds, "causalrec", **changes)


def _judged_cells(setup: Setup, worlds: int) -> list[Cell]:
    """What the claims rest on: alpha = 0, every alpha, the smallest lambda and the default."""
    settings: list[dict[str, Any]] = [{"alpha": 0.0}, {}, {"sparsity": min(setup.preset.sparsities)}]
    settings += [{"alpha": alpha, "mode": mode} for alpha in setup.preset.alphas for mode in BOOSTS]
    return list(dict.fromkeys(cell for setting in settings for cell in _cells(setup, PERSIST, worlds, **setting)))


def refine(setup: Setup, results: Results) -> list[Cell]:
    """More worlds for what is undecided."""
    return more_worlds(setup, results, lambda worlds: _judged_cells(setup, worlds), findings)


def _at(setup: Setup, results: Results, causes: str = PERSIST, **setting: Any) -> Results:
    """The results at one setting, that of `_cells`, by seed, in all worlds planned or in the first ones; or none."""
    most = worlds_planned(results, _cells(setup, causes, setup.preset.most_worlds, **setting))
    grown = all_of(results, _cells(setup, causes, most, **setting)) if most else []
    return grown or all_of(results, _cells(setup, causes, **setting))


def _by_alpha(setup: Setup, results: Results, mode: str, causes: str = PERSIST) -> dict[float, Results]:
    found = {alpha: _at(setup, results, causes, alpha=alpha, mode=mode) for alpha in setup.preset.alphas}
    return {alpha: runs for alpha, runs in found.items() if runs}


def tables(setup: Setup, results: Results) -> list[Table]:
    """NDCG@10 and HR@10 against alpha, and against lambda with the density of R."""
    sweep = setup.preset.sweep
    note = (
        f"{count_words(setup)}; {world_sizes(sweep)}; {sweep.fresh} fresh test users each. NDCG@10 over "
        "the full catalogue, mean [95 % t interval], and its share of the best possible; gains are paired over worlds "
        f"and relative to alpha = 0. R is read off W at tau {ALIVE_TAU:g} unless said. Where causes "
        "are drawn anew no graph can help."
    )
    return [_alpha_table(setup, results, note), *(_grid_table(setup, results, note, option) for option in GRIDS)]


def _reached(setup: Setup, results: Results, found: Results, causes: str) -> float | None:
    """NDCG@10 over that of the best possible ranking in the same worlds."""
    best = all_of(results, _best_cells(setup, causes))
    return mean_metric(found[: len(best)], NDCG) / mean_metric(best, NDCG) if best and found else None


def _gains(found: Results, base: Results) -> NDArray[np.float64]:
    """By world of both, the gain in NDCG@10 over `base`, relative to its mean, in %."""
    worlds = min(len(found), len(base))
    ndcg, plain = (values(runs[:worlds], NDCG) for runs in (found, base))
    return np.asarray(100 * (ndcg - plain) / plain.mean())


def _alpha_table(setup: Setup, results: Results, note: str) -> Table:
    rows: Rows = []
    for causes in CAUSES:
        if not (base := _at(setup, results, causes, alpha=0.0)):
            continue
        runs = [("0", "–", base)]
        runs += [(f"{alpha:g}", mode, run) for mode in BOOSTS
                 for alpha, run in _by_alpha(setup, results, mode, causes).items()]  # fmt: skip
        rows += [
            (causes, alpha, mode, mean_share(run, NDCG), _reached(setup, results, run, causes), mean_share(run, HR),
             None if run is base else t_interval(_gains(run, base)))
            for alpha, mode, run in runs
        ]  # fmt: skip
    columns = ("causes", "alpha", "boost", "NDCG@10", "of the best possible", "HR@10", "gain in NDCG@10, %")
    return table("alpha", "The alpha grid", columns, rows, note)


def figures(setup: Setup, results: Results) -> list[Figure]:
    """Where causes persist: the gain against alpha under both boosts; density of R and NDCG@10 against lambda above 0.
    """
    base, made = _at(setup, results, alpha=0.0), list[Figure]()
    worlds = f"{count_words(setup)}, whose causes persist"
    note = f"{worlds}, {world_sizes(setup.preset.sweep)}; 95 % t intervals over worlds."
    gains = {
        mode: [(at, t_interval(_gains(run, base))) for at, run in by_alpha.items()]
        for mode in BOOSTS
        if base and (by_alpha := _by_alpha(setup, results, mode))
    }
    if gains:
        title, level = "NDCG@10 against the strength of the boost", ((0.0, "no difference"),)
        panels = tuple(curves(mode, {"gain over alpha 0": points}, level) for mode, points in gains.items())
        made.append(Curves("alpha", title, "alpha", "gain in NDCG@10, %", panels, log_x=True, note=note))
    tried = (s for s in _grid(setup, "sparsity") if s > 0)
    if grid := {s: found for s in tried if (found := _at(setup, results, sparsity=s))}:
        panels = tuple(
            curves(title, {"CausalRec": [(s, mean_share(found, metric)) for s, found in grid.items()]})
            for title, metric in (("density of R", "density"), ("NDCG@10", NDCG))
        )
        title, y = "What the sparsity lambda does, alpha = 1", "share (each panel its own scale)"
        made.append(Curves("lambda", title, "lambda", y, panels, log_x=True, note=note, free_y=True))
    return made


def _grid_table(setup: Setup, results: Results, note: str, option: str) -> Table:
    """What a change of one option of L_DAG or of R does to the graph and to the ranking."""
    name, title, column, _ = GRIDS[option]
    rows: Rows = []
    for causes, value in ((causes, value) for causes in CAUSES for value in _grid(setup, option)):
        if found := _at(setup, results, causes, **{option: value}):
            said = ", ".join(f"{part:g}" for part in (value if isinstance(value, tuple) else (value,)))
            graph = (mean_share(found, m) for m in ("density", "empty_rows", "auprc_w"))
            accuracy = (mean_share(found, NDCG), _reached(setup, results, found, causes), mean_share(found, HR))
            h = t_interval(values(found, "h_mean")).within(0.0, np.inf)
            rows.append((causes, said, *graph, *accuracy, h, float(values(found, "h_max").max())))
    columns = (
        "causes", column, "density of R", "empty rows", "AUPRC of W", "NDCG@10", "of the best possible", "HR@10",
        "mean h", "largest h",
    )  # fmt: skip
    return table(name, title, columns, rows, note)


def findings(setup: Setup, results: Results, register: Register) -> list[Finding]:
    """`alpha-window` and `lambda-saturates`, where causes persist."""
    base = _at(setup, results, alpha=0.0)
    windows = [f for mode in BOOSTS if base for f in _window(setup, results, base, mode, register)]
    return windows + _saturation(setup, results, register)


def _window(setup: Setup, results: Results, base: Results, mode: str, register: Register) -> list[Finding]:
    """Two halves: some alpha helps, and the largest alpha harms. An alpha that changes no rank is not a try."""
    claim, ran = "alpha-window", _by_alpha(setup, results, mode)
    if not ran:
        return []
    most, tried = max(ran), {alpha: found for alpha, found in ran.items() if _differs(found, base)}
    if not tried:
        return [Finding(claim, half, None, mode, "", "no alpha changed a single rank") for half in ("helps", "harms")]
    worlds = min(map(len, (base, *ran.values())))
    off = register.blocked("rows_with_edge", 1 - mean_metric(ran[most], "empty_rows"))
    same = "" if most in tried else f"alpha {most:g} changed no rank"
    gains = {alpha: _gains(found[:worlds], base) for alpha, found in tried.items()}
    best = max(gains, key=lambda alpha: float(gains[alpha].mean()))
    onset = next((f"{alpha:g}" for alpha, each in gains.items() if t_interval(each).below(0)), "none")
    largest = largest_interval(list(gains.values()))
    loss = sequence_interval(-gains[most]) if most in tried else None
    spent = f"{worlds} worlds of {setup.preset.most_worlds} at most"
    helps = f"best at alpha {best:g} of {len(gains)} alphas, {spent}"
    harms = f"at alpha {most:g}, {spent}; harm first seen at alpha {onset}"
    return [
        Finding(claim, "helps", largest, mode, helps, off), Finding(claim, "harms", loss, mode, harms, off or same),
    ]  # fmt: skip


def _differs(found: Results, base: Results) -> bool:
    """Whether a single user's rank differs from those without boost, in the worlds of both."""
    pairs = zip(found, base, strict=False)
    return any(not np.array_equal(a.arrays["fresh_kept"], b.arrays["fresh_kept"]) for a, b in pairs)


def _saturation(setup: Setup, results: Results, register: Register) -> list[Finding]:
    claim = "lambda-saturates"
    grid = {s: found for s in sorted(setup.preset.sparsities) if (found := _at(setup, results, sparsity=s))}
    default = _at(setup, results)
    if len(grid) < 2 or not default:
        return []
    least, worlds = min(grid), min(setup.preset.sweep_seeds, *map(len, grid.values()))
    density = np.stack([values(found[:worlds], "density") for found in grid.values()])
    dense, bar = t_interval(density[0]).within(0.0, 1.0), register.claims[claim].parts["saturated"].bar or 0.0
    loss = sequence_interval(-_gains(grid[least], default))
    falls = t_interval([-spearman_interval(list(grid), world).estimate for world in density.T]).within(-1.0, 1.0)
    detail = f"lambda {least:g}, tau {ALIVE_TAU:g}, {dense.n} worlds"
    blocked = "" if dense.above(bar) else f"no graph is saturated: density {dense.estimate:.2f} at lambda {least:g}"
    against = f"lambda {least:g}, {loss.n} worlds, against lambda {DEFAULTS['sparsity']:g}"
    return [
        Finding(claim, "saturated", dense, "", detail),
        Finding(claim, "dilutes", loss, "", against, blocked),
        Finding(claim, "falls", falls, "", f"{len(grid)} lambdas, {falls.n} worlds"),
    ]


def gaps(setup: Setup) -> dict[str, str]:  # noqa: ARG001
    """The sweeps run in behaviour worlds alone."""
    return dict.fromkeys(("alpha-window", "lambda-saturates"), "The sweep is not run on real data yet.")


EXPERIMENT = Experiment(
    "sensitivity", "How do alpha, lambda, tau and the schedule of rho matter?", plan, tables, refine, figures=figures,
    findings=findings, gaps=gaps, later=0.25,
)  # fmt: skip
