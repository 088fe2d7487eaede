"""Made-up results, with the names that runners give theirs, for experiments to read without running a cell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.cells.record import Record
from bench.cells.unit import Cell
from bench.datasets.load import Provenance
from bench.datasets.titles import GENRES, TITLED
from bench.experiments import find as find_experiment
from bench.judge.bars import ORDER
from bench.judge.claims import Finding, Gate, Register, Verdict, judge, read_register
from bench.methods.recommenders import TRAINED
from bench.plan.presets import PRESETS
from bench.plan.setup import Setup
from bench.plan.sizes import Preset
from causalrec.methods.fit import SPLITS
from causalrec.ranking import hit_rate, ndcg, reciprocal_rank

USERS = 300
ITEMS, EDGES, HISTORIES = 200, 200, 8
TRUE_EDGES = 20
STEPS = 12
DATASETS = ("ml-100k", "foursquare-nyc", "beauty", "ml-1m")
CLAIMED, SMALLER, OPEN, BELOW, NOTHING, OPPOSITE = ORDER


@dataclass(eq=False)
class Made:
    """In the place of `bench.plan.results.Result`."""

    cell: Cell
    metrics: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = field(default_factory=lambda: Record("", {}, "ok"))

    @property
    def ok(self) -> bool:
        return self.record is not None and self.record.ok

    @property
    def params(self) -> Mapping[str, Any]:
        return self.cell.params


def graphs(cell: Cell, shd: Any = 0, h: Any = 0.0, removed: Any = 0) -> Made:
    """What the structure runner returns; arguments are one value for all draws, or one a draw."""
    draws = cell.params["draws"]
    shd, h, removed = (np.array(np.broadcast_to(value, draws)) for value in (shd, h, removed))
    arrays = {
        "shd": shd, "shd_best": shd, "cpdag_shd": shd, "h": h, "removed_edges": removed,
        "true_edges": np.full(draws, TRUE_EDGES), "max_parents": np.full(draws, 3), "cyclic_thresholded": removed > 0,
        **dict.fromkeys(("failed", "cyclic"), np.zeros(draws, dtype=bool)),
        **dict.fromkeys(("tpr", "fdr", "order_accuracy", "varsortability", "r2_sortability"), np.full(draws, 0.75)),
    }  # fmt: skip
    if cell.params["learner"] == "notears":
        arrays |= {f"trace_{name}": np.ones((STEPS, draws)) for name in ("h", "rho", "gamma")}
    metrics = {
        "median_shd": float(np.median(shd)), "exact": int((shd == 0).sum()), "draws": draws, "h_max": float(h.max()),
        "removed_edges": int(removed.sum()), "not_converged": 0, "fit_cpu_s": 0.1,
        "median_shd_best": float(np.median(shd)), "median_cpdag_shd": float(np.median(shd)), "cyclic": 0,
        "cyclic_thresholded": int((removed > 0).sum()), "failures": 0, "first_failure": None, "median_iterations": 1.0,
    }  # fmt: skip
    return Made(cell, metrics, arrays)


def ranks(quality: float, *axes: int) -> np.ndarray:
    """A share `quality` of the users has its item first, the others none; who they are depends on the axes."""
    return np.where(np.random.default_rng([2026, *axes]).random(USERS) < quality, 1.0, 50.0)


def model(cell: Cell, quality: float = 0.5, valid: float | None = None, luck: int = 0, **metrics: Any) -> Made:
    """What the recommender runner returns. Results of equal `luck` share their lucky users, seed by seed."""
    p = cell.params
    arrays, found = dict[str, Any](), {"fit_cpu_s": 0.1}
    parts = ("test", "fresh", "shift") if "fresh" in p["dataset"] else ("test",)
    chosen_by = () if "refit" in p["dataset"] else (("valid", quality if valid is None else valid),)
    for part, share in (*chosen_by, *((part, quality) for part in parts)):
        for seen in ("kept", "filtered"):
            rank = arrays[f"{part}_{seen}"] = ranks(share, p["seed"], luck)
            for name, metric in (("hr10", hit_rate), ("ndcg10", ndcg), ("mrr", reciprocal_rank)):
                found[f"{part}_{name}_{seen}"] = float(metric(rank).mean())
    found["data_density"] = 0.05
    graphic = p["model"] in ("causalrec", "causalrec_off")
    if (graphic or p["model"] == "sasrec") and "relation" not in p:
        arrays |= audited(**({"r2_parents": 0.5} if graphic else {}))
    if p["model"] in TRAINED:
        found |= {"epochs": STEPS, "best_epoch": STEPS, "skipped_steps": 0}
        arrays["trace_recommendation"] = np.ones(STEPS)
    if graphic:
        found |= {"h_mean": 0.0, "h_max": 0.0, "cyclic_share": 0.0, "density": 0.2, "empty_rows": 0.4}
        found["moved_rankings"] = 0.5
        arrays |= {f"trace_{name}": np.ones(STEPS) for name in ("h", "h_max", "rho", "gamma", "fit")}
        ends = np.arange(EDGES, dtype=np.int32)
        if "relation" not in p:
            arrays |= {"edge_effect": (ends + 1) % ITEMS, "edge_cause": ends % ITEMS}
            arrays["edge_weight"] = np.linspace(0.9, 0.0, EDGES, dtype=np.float32)
        if p["dataset"]["name"] in TITLED:
            arrays |= {"lift_effect": (ends + 2) % ITEMS, "lift_cause": ends % ITEMS}
            arrays |= {"item_counts": 1 + ends % 7, "item_labels": np.array([str(k) for k in range(ITEMS)])}
        if p["dataset"]["name"] == "behaviour":
            arrays["item_graph"] = np.zeros((30, 30))
            found |= {
                f"{measure}_{score}": 0.5
                for measure in ("auprc", "orientation", "parent")
                for score in ("w", "attention", "implied", "lift", "regression")
            } | {"precision": None, "recall": 0.5, "auprc_positions": 0.5, "auprc_random": 0.1}
    return Made(cell, found | metrics, arrays)


def audited(**more: float) -> dict[str, np.ndarray]:
    """What the audit says of every history alike; `r2_parents` brings what it says of a graph."""
    plain = {"error": 1e-7, "correlation": 0.12, "excess": 0.02, "variance": 1.0, "negative": 0.4, "size": 0.3}
    plain |= {"noise": 100.0} | ({"r2_random": 0.4, "r2_latest": 0.45, "fit": 0.2} if "r2_parents" in more else {})
    return {f"audit_{name}": np.full(HISTORIES, value) for name, value in (plain | more).items()}


def write_films(folder: Path) -> None:
    """Titles of MovieLens for made-up items: every two are a series, every ten share a genre."""
    (folder / "ml-100k").mkdir(parents=True)
    (folder / "ml-1m").mkdir()
    rows, lines = [], []
    for k in range(ITEMS):
        title, genre = f"Film {'abcdefghjk'[k // 2 % 10] * (1 + k // 20)}{' II' * (k % 2)} (1990)", 1 + k // 10 % 18
        marks = ["1" if at == genre else "0" for at in range(len(GENRES))]
        rows.append("|".join([str(k), title, "", "", "", *marks]))
        lines.append(f"{k}::{title}::{GENRES[genre]}")
    (folder / "ml-100k/u.item").write_text("\n".join(rows))
    (folder / "ml-1m/movies.dat").write_text("\n".join(lines))


def attributed(cell: Cell, causes: Any = 0) -> Made:
    """What the attribution runner returns; the causes are one value for all draws, or one a draw."""
    cause = np.array(np.broadcast_to(causes, cell.params["draws"]))
    counts = {f"cause_{index}": int((cause == index).sum()) for index in range(4)}
    arrays = {
        "cause": cause, "right": cause == 0, "right_at_n": (cause == 0) | (cause == 3),
        "right_on_exact": cause != 1, "order_optimal": cause != 1,
    }  # fmt: skip
    return Made(cell, {"draws": len(cause), "fit_cpu_s": 0.1, "search_cpu_s": 0.1} | counts, arrays)


def resampled(cell: Cell) -> Made:
    """What the runner of confidence returns: ten pairs per bin of its middle, of which about that share is true."""
    middle = np.arange(0.05, 1, 0.1)
    binned = np.stack([np.full(10, 10.0), 10 * middle, np.floor(10 * middle)])
    draws = cell.params["draws"]
    arrays = dict.fromkeys(("frequency", "probability"), np.repeat(binned[None], draws, axis=0))
    metrics = {"draws": draws, "failures": 0, "first_failure": None, "failed_resamples": 0, "fit_cpu_s": 0.1}
    return Made(cell, metrics, arrays | {"never": np.tile([200.0, 1.0], (draws, 1)), "failed": np.zeros(draws)})


def missed(cell: Cell, causes: Any = 3) -> Made:
    """What the runner of misses returns; the causes are one value for all draws, or one a draw."""
    cause = np.array(np.broadcast_to(causes, cell.params["draws"]))
    wrong = (cause > 0).astype(np.int64)
    counts = {f"cause_{index}": int((cause == index).sum()) for index in range(4)}
    metrics = {"draws": len(cause), "fit_cpu_s": 0.1, "not_converged": 0} | counts
    return Made(cell, metrics, {"cause": cause, "shd": 2 * wrong, "shd_refit": wrong, "gap": 0.5 * wrong})


def mixed(cell: Cell, accuracy: float = 0.5) -> Made:
    """What the mixing runner returns, the same for all draws but for one without an edge."""
    draws = cell.params["draws"]
    names = ("auprc", "shd", "true_edges", "noise_ratio", "first_over_last", "effect")
    known = np.where(np.arange(draws) == 0, np.nan, accuracy)
    return Made(cell, {"draws": draws}, {**dict.fromkeys(names, np.full(draws, 2)), "order_accuracy": known})


def shown(cell: Cell) -> Made:
    """What the runner of the example returns: lift links cable and case, the others know the truth."""
    truth = np.zeros((6, 6))
    truth[[1, 2], 0] = 0.35
    rng = np.random.default_rng([5, cell.params["seed"]])
    lift = np.ones((6, 6)) + 10 * truth + 0.01 * rng.random((6, 6))
    lift[[1, 2], [2, 1]] = 2.0 + 0.1 * rng.random(2)
    noise = 0.01 * rng.standard_normal((6, 6))
    arrays = {"truth": truth, "lift": lift, "regression": truth + noise, "regression_decayed": truth + 2 * noise}
    return Made(cell, {"steps": 100}, arrays | {"w": truth.copy()})


def clocked(cell: Cell) -> Made:
    """What the cost runner returns: a cube."""
    return Made(cell, {}, {"seconds": 1e-9 * np.array(cell.params["nodes"], dtype=float) ** 3})


def claimed(cell: Cell, quality: float = 0.5, **metrics: Any) -> Made:
    """What the runner of graph claims returns."""
    p, found = cell.params, dict[str, Any]()
    part = "fresh" if "fresh" in p["dataset"] else "test"
    arrays = {f"{part}_{seen}": ranks(quality, p["seed"]) for seen in ("kept", "filtered")}
    if p["part"] == "fitted":
        found |= {"edges": 60, "follows_cause": 0.5, "follows_effect": 0.25, "on_cycle": 0.1}
    if p["dataset"]["name"] == "behaviour":
        scores = {f"auprc_{name}": 0.5 for name in ("w", "lift", "regression", "chance")}
        found |= {"fitted": scores, "twin": {"best_ndcg10": 0.8}}.get(p["part"], {})
    return Made(cell, found | metrics, arrays)


def made_up(cell: Cell) -> Made:
    """A result of the cell's runner, without anything particular."""
    runners = {"structure": graphs, "attribution": attributed, "mixing": mixed, "cost": clocked, "example": shown}
    runners |= {"graph_claims": claimed, "confidence": resampled, "misses": missed}
    return runners.get(cell.runner, model)(cell)


def failed(cell: Cell) -> Made:
    """A cell that failed."""
    return Made(cell, record=Record("", {}, "failed"))


def dataset(name: str, repeats_share: float = 0.0) -> Provenance:
    """A dataset that was found."""
    statistics = {
        "users": USERS, "items": 200, "actions": 9000, "repeats_share": repeats_share, "ties_share": None,
    }  # fmt: skip
    return Provenance(name, f"{name}/file", "0" * 64, "made up", "reader", "order", "kept", 5, 5, statistics, name)


FIXED = replace(
    PRESETS["hour"],
    name="fixed",
    structure=replace(
        PRESETS["hour"].structure, draws=60, families=(("er", 2), ("chain", 1)), nodes=(10, 20), samples=(30, 1000),
        ratios=(1.0, 4.0, 16.0, 64.0), stress_nodes=20, placement_nodes=(10, 20), features=(64, 1024),
    ),
    world_seeds=5,
    sweep_seeds=5,
    alphas=(1e-8, 1.0, 100.0, 1e8),
    sparsities=(0.0, 0.001, 0.01, 0.1, 1.0),
    real=replace(
        PRESETS["hour"].real, seeds=3, trials=2, shortened=1, splits=SPLITS,
        controls=("shuffled", "filter", "raw", "random", "halves"),
    ),
)  # fmt: skip


def bare(preset: Preset | str = FIXED) -> Setup:
    """A setup without data, of sizes that no tuning of the presets changes."""
    return Setup(PRESETS[preset] if isinstance(preset, str) else preset, 0, "cpu")


def with_data(preset: Preset | str = FIXED, names: tuple[str, ...] = DATASETS) -> Setup:
    """A setup with these datasets; on Foursquare users repeat items."""
    found = {name: dataset(name, 0.1 if name.startswith("foursquare") else 0.0) for name in names}
    return replace(bare(preset), found=found)


def plan_all(experiment: str, setup: Setup) -> list[Cell]:
    """All cells of an experiment, those included that depend on results."""
    found = find_experiment(experiment)
    cells = found.plan(setup)
    while True:
        known = set(cells)
        more = [cell for cell in found.refine(setup, [made_up(cell) for cell in cells]) if cell not in known]
        if not more:
            return cells
        cells += more


def find(experiment: str, setup: Setup, results: list[Made]) -> list[Finding]:
    """What an experiment finds, with the outcomes that the register's rules give it."""
    return [finding for verdict in judged(experiment, setup, results).values() for finding in verdict.findings]


def outcomes(found: list[Finding], claim: str) -> dict[str, str]:
    """The outcomes of one claim's findings by part and where."""
    return {finding.title: finding.outcome for finding in found if finding.claim == claim}


def recovered(setup: Setup, rate: Callable[[int | None], float]) -> list[Made]:
    """Results of `recovery`: the share of exactly recovered graphs by n, None being the exact covariance."""
    made = []
    for cell in find_experiment("recovery").plan(setup):
        draws = cell.params["draws"]
        wrong = draws - round(rate(cell.params["samples"]) * draws)
        made.append(graphs(cell, shd=3 * (np.arange(draws) < wrong)))
    return made


def judged(
    experiment: str, setup: Setup, results: list[Made], register: Register | None = None
) -> dict[str, Verdict]:
    """Verdicts by claim from the findings and gaps of one experiment, every gate of a run being open."""
    register = register or read_register()
    asked = find_experiment(experiment)
    found = asked.findings(setup, results, register)
    gates = dict.fromkeys(register.gates, Gate(True, ""))
    return {verdict.claim.id: verdict for verdict in judge(register, found, asked.gaps(setup), gates=gates)}
