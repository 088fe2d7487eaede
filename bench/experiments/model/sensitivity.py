"""Sweeps in the behaviour world: alpha by decades under both boosts, lambda, tau, and the schedule of rho.

Seeds are shared along a sweep.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells.unit import Cell
from bench.judge.bars import Bar, Outcome, power_words
from bench.judge.claims import Finding, Margins, held
from bench.judge.intervals import Interval, Value, paired_difference, share_interval, spearman_interval, t_interval
from bench.plan import trials
from bench.plan.results import Result, select
from bench.plan.setup import Setup
from bench.show.figures import Curves, Figure, Panel, make_series
from bench.show.tables import Table

BOOSTS = ("renorm", "raw")
DEFAULT_SPARSITY = 0.01
DEFAULT_TAU, DEFAULT_SCHEDULE = 0.3, (1.0, 10.0)


def plan(setup: Setup) -> list[Cell]:
    """alpha = 0 once, every alpha under both boosts, every lambda at alpha = 1, in every world."""
    p = setup.preset
    cells = _cells(setup, alpha=0.0)
    for alpha in p.alphas:
        for mode in BOOSTS:
            cells += _cells(setup, alpha=alpha, mode=mode)
    for sparsity in sorted({*p.sparsities, DEFAULT_SPARSITY}):
        cells += _cells(setup, sparsity=sparsity)
    for tau in p.taus:
        cells += _cells(setup, tau=tau)
    for schedule in p.schedules:
        cells += _cells(setup, schedule=schedule)
    return list(dict.fromkeys(cells))


def _cells(
    setup: Setup,
    alpha: float = 1.0,
    mode: str = "renorm",
    sparsity: float = DEFAULT_SPARSITY,
    tau: float = DEFAULT_TAU,
    schedule: tuple[float, float] = DEFAULT_SCHEDULE,
) -> list[Cell]:
    """Defaults are left unsaid, so that a cell of several sweeps is one cell."""
    changes: dict[str, Any] = {"alpha": alpha, "mode": mode}
    if sparsity != DEFAULT_SPARSITY:
        changes["sparsity"] = sparsity
    if tau != DEFAULT_TAU:
        changes["tau"] = tau
    if schedule != DEFAULT_SCHEDULE:
        changes |= dict(zip(("rho", "growth"), schedule, strict=True))
    return trials.world_cells(setup, setup.preset.sweep, setup.preset.sweep_seeds, "causalrec", **changes)


def _at(setup: Setup, results: list[Result], **setting: Any) -> list[Result]:
    """The results at one setting, that of `_cells`, by seed; all seeds or none."""
    want = _cells(setup, **setting)[0].params["options"]
    found = sorted(select(results, options=want), key=lambda r: int(r.params["seed"]))
    return found if len(found) == setup.preset.sweep_seeds else []


def _values(found: list[Result], metric: str) -> NDArray[np.float64]:
    return np.array([r.metrics[metric] for r in found], dtype=np.float64)


def tables(setup: Setup, results: list[Result]) -> list[Table]:
    """NDCG@10 and HR@10 against alpha, and against lambda with the density of R."""
    note = (
        f"{setup.preset.sweep_seeds} worlds, {trials.world_sizes(setup.preset.sweep)}; test NDCG@10 over the full "
        "catalogue, mean [95 % t interval]; gains are paired over worlds and relative to alpha = 0."
    )
    p = setup.preset
    sparsities, taus, schedules = (
        tuple(sorted({*grid, default}))
        for grid, default in (
            (p.sparsities, DEFAULT_SPARSITY), (p.taus, DEFAULT_TAU), (p.schedules, DEFAULT_SCHEDULE)
        )
    )  # fmt: skip
    grids = (
        ("lambda", "The lambda grid, alpha = 1 under renorm", "lambda", "sparsity", sparsities),
        ("tau", "The threshold of R, alpha = 1 under renorm", "tau", "tau", taus),
        ("rho", "The schedule of rho, alpha = 1 under renorm", "rho at first, growth", "schedule", schedules),
    )
    return [_alpha_table(setup, results, note), *(_grid_table(setup, results, note, *grid) for grid in grids)]


def _gain(found: list[Result], base: list[Result]) -> Interval:
    """The gain in NDCG@10 over `base` in %, paired over worlds."""
    ndcg, plain = (_values(part, "test_ndcg10_kept") for part in (found, base))
    return t_interval(100 * (ndcg - plain) / plain.mean())


def _alpha_table(setup: Setup, results: list[Result], note: str) -> Table:
    base = _at(setup, results, alpha=0.0)
    rows: list[tuple[Value, ...]] = []
    if base:
        rows.append(("0", "–", *(share_interval(_values(base, f"test_{m}_kept")) for m in ("ndcg10", "hr10")), None))
    for mode in BOOSTS:
        for alpha in setup.preset.alphas:
            found = _at(setup, results, alpha=alpha, mode=mode)
            if found and base:
                ndcg = _values(found, "test_ndcg10_kept")
                hr = share_interval(_values(found, "test_hr10_kept"))
                rows.append((f"{alpha:g}", mode, share_interval(ndcg), hr, _gain(found, base)))
    columns = ("alpha", "boost", "NDCG@10", "HR@10", "gain in NDCG@10, %")
    return Table("alpha", "The alpha grid", columns, tuple(rows), note)


def figures(setup: Setup, results: list[Result]) -> list[Figure]:
    """The gain against alpha under both boosts; density of R and NDCG@10 against lambda above 0."""
    base, made = _at(setup, results, alpha=0.0), list[Figure]()
    note = f"{setup.preset.sweep_seeds} worlds, {trials.world_sizes(setup.preset.sweep)}; 95 % t intervals over worlds."
    gains = []
    for mode in BOOSTS:
        points = [
            (alpha, _gain(found, base))
            for alpha in setup.preset.alphas
            if base and (found := _at(setup, results, alpha=alpha, mode=mode))
        ]
        if points:
            gains.append(Panel(mode, (make_series("gain over alpha 0", points),), levels=((0.0, "no difference"),)))
    if gains:
        title = "NDCG@10 against the strength of the boost"
        made.append(Curves("alpha", title, "alpha", "gain in NDCG@10, %", tuple(gains), log_x=True, note=note))
    tried = (s for s in sorted({*setup.preset.sparsities, DEFAULT_SPARSITY}) if s > 0)
    grid = [s for s in tried if _at(setup, results, sparsity=s)]
    if grid:
        panels = tuple(
            Panel(title, (make_series("CausalRec", [
                (s, share_interval(_values(_at(setup, results, sparsity=s), metric))) for s in grid
            ]),))
            for title, metric in (("density of R", "density"), ("NDCG@10", "test_ndcg10_kept"))
        )  # fmt: skip
        title = "What the sparsity lambda does, alpha = 1"
        made.append(Curves("lambda", title, "lambda", "share", panels, log_x=True, y_range=(0.0, 1.0), note=note))
    return made


def _grid_table(
    setup: Setup, results: list[Result], note: str, name: str, title: str, column: str, option: str, grid: Any
) -> Table:
    """What a change of one option of L_DAG or of R does to the graph and to the ranking."""
    rows: list[tuple[Value, ...]] = []
    for value in grid:
        found = _at(setup, results, **{option: value})
        if found:
            said = ", ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else f"{value:g}"
            metrics = ("density", "empty_rows", "auprc_w", "test_ndcg10_kept", "test_hr10_kept")
            shares = [share_interval(_values(found, metric)) for metric in metrics]
            h = t_interval(_values(found, "h_mean")).within(0.0, np.inf)
            rows.append((said, *shares, h, float(_values(found, "h_max").max())))
    columns = (column, "density of R", "empty rows", "AUPRC of W", "NDCG@10", "HR@10", "mean h", "largest h")
    return Table(name, title, columns, tuple(rows), note)


def findings(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:
    """`alpha-window` and `lambda-saturates`."""
    base = _at(setup, results, alpha=0.0)
    return [
        *(finding for mode in BOOSTS if base for finding in _window(setup, results, base, mode, margins)),
        *_saturation(setup, results, margins),
    ]


def _window(setup: Setup, results: list[Result], base: list[Result], mode: str, margins: Margins) -> list[Finding]:
    """Two halves: some alpha helps, and the largest alpha harms. An alpha that changes no rank is not a try."""
    claim = "alpha-window"
    plain, alphas = _values(base, "test_ndcg10_kept"), setup.preset.alphas
    ran = {alpha: found for alpha in alphas if (found := _at(setup, results, alpha=alpha, mode=mode))}
    tried = {alpha: found for alpha, found in ran.items() if _differs(found, base)}
    if not ran:
        return []
    if not tried:
        return [Finding(claim, f"a helpful alpha under {mode}", "unclear", None, "no alpha changed a single rank")]
    level, bar = 1 - 0.05 / len(tried), Bar(holds=0.0, fails=margins.of(claim))
    changes = {alpha: (_values(found, "test_ndcg10_kept") - plain) / plain.mean() for alpha, found in tried.items()}
    gains = {alpha: t_interval(change, level) for alpha, change in changes.items()}
    best, gain = max(gains.items(), key=lambda entry: entry[1].estimate)
    helps: Outcome = "unclear"
    if any(interval.above(0) for interval in gains.values()):
        helps = "holds"
        best, gain = max(gains.items(), key=lambda entry: entry[1].low)
    elif all(interval.below(margins.of(claim)) for interval in gains.values()):
        helps = "fails"
    detail = f"relative gain at alpha {best:g}, the best of {len(tried)}, level {100 * level:.1f} %; {gain.n} worlds"
    detail += f"; {power_words(gain, bar, 'worlds')}"
    halves = [Finding(claim, f"a helpful alpha under {mode}", helps, gain, detail)]
    if max(alphas) in changes:
        loss = t_interval(changes[max(alphas)])
        onset = [f"{alpha:g}" for alpha, interval in gains.items() if interval.below(0)]
        detail = f"relative gain there; {loss.n} worlds; harm first seen at alpha {onset[0] if onset else '–'}"
        bar = Bar(holds=0.0, fails=-margins.of(claim), large=False)
        halves.append(held(claim, f"harm at alpha {max(alphas):g} under {mode}", loss, bar, detail, "worlds"))
    return halves


def _differs(found: list[Result], base: list[Result]) -> bool:
    """Whether a single user's rank differs from those without boost."""
    pairs = zip(found, base, strict=True)
    return any(not np.array_equal(a.arrays["test_kept"], b.arrays["test_kept"]) for a, b in pairs)


def _saturation(setup: Setup, results: list[Result], margins: Margins) -> list[Finding]:
    claim = "lambda-saturates"
    grid = {s: found for s in sorted(setup.preset.sparsities) if (found := _at(setup, results, sparsity=s))}
    default = _at(setup, results)
    if len(grid) < 2 or not default:
        return []
    density = np.stack([_values(found, "density") for found in grid.values()])
    rank = t_interval([spearman_interval(list(grid), world).estimate for world in density.T]).within(-1.0, 1.0)
    least, saturated = min(grid), margins.claimed(claim)["saturated"]
    plain = _values(default, "test_ndcg10_kept")
    drop = paired_difference(_values(grid[least], "test_ndcg10_kept") / plain.mean(), plain / plain.mean())
    bar = Bar(holds=0.0, fails=-margins.of(claim), large=False)
    hurts = bar.judge(drop)
    reached = float(density[0].mean())
    detail = f"relative difference in test NDCG@10, {drop.n} worlds; density of R {reached:.2f} at lambda {least:g}"
    if reached < saturated:
        hurts, detail = "unclear", f"{detail}, under {saturated:g}: no graph was saturated, so nothing is tested"
    else:
        detail += f"; {power_words(drop, bar, 'worlds')}"
    ranked, either = f"mean rank correlation, {rank.n} worlds", Bar(holds=0.0, fails=0.0, large=False)
    return [
        held(claim, "density of R falls in lambda", rank, either, ranked, "worlds"),
        Finding(claim, f"lambda {least:g} is less accurate than {DEFAULT_SPARSITY:g}", hurts, drop, detail),
    ]


def gaps(setup: Setup) -> dict[str, str]:  # noqa: ARG001
    """The sweeps run in the behaviour world alone."""
    return dict.fromkeys(("alpha-window", "lambda-saturates"), "The sweep is not run on real data yet.")
