"""The named sizes of a run: smoke (CI), quick (a first look), hour (all of it), standard (a day), paper (a GPU)."""

from dataclasses import replace
from typing import Any

from bench.errors import InputError
from bench.methods.recommenders import RIVALS
from bench.plan.sizes import (
    Attribution,
    Confidence,
    Cost,
    Limits,
    Misses,
    Preset,
    Real,
    Sizes,
    Structure,
    World,
)
from causalrec.methods.fit import SPLITS

# Few users and many items, so that a graph is worth knowing, and causes that go on acting. Width, epochs and rate were
# chosen on two worlds, for accuracy without a graph and for speed: twice of each gave less accuracy and the same gain.
CONTROL = World(
    items=300, users=300, length=25, width=32, epochs=30, batch=32, learning_rate=5e-3, fresh=3000,
    knobs={
        "persistence": 0.9, "horizon": 20, "decay": 1.0, "parents": 0.4, "fan_out": [5, 7], "concentration": 1.0,
    },
)  # fmt: skip
LASTING = {name: CONTROL.knobs[name] for name in ("persistence", "horizon", "decay")}

SMOKE = Preset(
    "smoke",
    "every path once, in about two minutes; its verdicts mean little",
    Structure(
        draws=40, families=(("er", 2),), nodes=(10,), samples=(100, 1000), ratios=(1.0, 16.0), stress_nodes=10,
        placement_nodes=(10,), features=(64, 1024), strengths=(0.0, 0.4),
    ),
    Limits(draws=30, nodes=(5, 10), samples=(100, 1000), densities=(1,), ratios=(1.0, 16.0)),
    Attribution(draws=30, nodes=6, samples=(1000,)),
    Confidence(draws=5, nodes=10, samples=(100,), learners=("eqvar",), resamples=20, worlds=1),
    Misses(draws=5, families=(("er", 2),), nodes=8),
    Sizes(draws=3, nodes=(10,), most_seconds=1.0),
    Cost(nodes=(32, 64, 128), repeats=5),
    world=World(items=30, users=150, length=12, width=16, epochs=3), world_seeds=2,
    sweep=World(items=40, users=100, length=10, width=16, epochs=2, fresh=100), sweep_seeds=2, most_worlds=3,
    control=replace(CONTROL, items=40, users=60, length=12, width=16, epochs=2, fresh=100), control_worlds=(2, 3),
    alphas=(1e-8, 1.0, 1e8), sparsities=(0.001, 0.1), taus=(0.3,), schedules=((100.0, 10.0),),
    real=Real((), seeds=2, trials=1, length=20, width=16, epochs=2, learning_rates=(3e-3,), controls=("shuffled",)),
    timeout=120.0,
)  # fmt: skip
HOUR = Preset(
    "hour",
    "every experiment, on 2 cores in about an hour, 40 minutes of it without real data",
    Structure(
        draws=40, families=(("er", 1), ("er", 2), ("sf", 2), ("chain", 1)), nodes=(10, 20),
        samples=(30, 100, 300, 1000, 10_000), ratios=(1.0, 4.0, 16.0, 64.0, 256.0), stress_nodes=20,
        placement_nodes=(10, 20), features=(64, 256, 1024), strengths=(0.0, 0.1, 0.2, 0.4, 0.8),
    ),
    Limits(30, nodes=(5, 10, 20, 40), samples=(30, 100, 300, 1000, 3000), densities=(1, 2), ratios=(1.0, 4.0, 16.0)),
    Attribution(draws=30, nodes=8, samples=(100, 1000)),
    Confidence(16, nodes=20, samples=(100, 1000), learners=("eqvar", "eqvar_lasso"), resamples=50, worlds=2),
    Misses(draws=40, families=(("er", 2), ("sf", 2), ("chain", 1)), nodes=20),
    Sizes(draws=10, nodes=(20, 50), most_seconds=1.0),
    Cost(nodes=(64, 128, 256, 512, 1024), repeats=5),
    world=World(items=100, users=1000, length=30, width=32, epochs=30), world_seeds=5,
    sweep=World(items=50, users=250, length=20, width=32, epochs=38, batch=32, fresh=3000), sweep_seeds=5,
    most_worlds=15,
    control=CONTROL, control_worlds=(5, 15),
    alphas=(1e-8, 1e-2, 1.0, 1e2, 1e8), sparsities=(0.0, 0.001, 0.01, 0.1, 1.0),
    taus=(0.1, 0.3), schedules=((100.0, 10.0), (1e4, 1.0)),
    real=Real(
        ("ml-100k", "foursquare-nyc"), seeds=3, trials=2, length=50, width=64, epochs=10,
        learning_rates=(4e-3, 6e-3, 8e-3), shortened=2, windows="all",
        training_by={"foursquare-nyc": {"windows": "last"}}, controls=("shuffled",),
    ),
    timeout=600.0,
)  # fmt: skip
# What is left out compares readings, strengths or learners; no theory, control or real data is.
QUICK = replace(
    HOUR,
    name="quick",
    about="a first look, on 2 cores in about 13 minutes, without sweeps and without a search for settings",
    without=(
        "sizes", "attribution", "misses", "confidence", "sensitivity", "ablation", "graph_claims", "readings",
        "multiverse", "agreement",
    ),
    structure=replace(
        HOUR.structure, draws=24, families=(("er", 2), ("sf", 2)), samples=(100, 1000, 10_000),
        ratios=(1.0, 16.0, 256.0), strengths=(0.0, 0.2, 0.8),
    ),
    limits=replace(HOUR.limits, draws=20, samples=(100, 1000), ratios=(1.0, 16.0)),
    world_seeds=3, sweep_seeds=3, most_worlds=7,
    real=replace(
        HOUR.real, trials=1, learning_rates=(6e-3,), dropouts=(0.3,), controls=(),
        training_by={"foursquare-nyc": {"windows": "last", "epochs": 6}},
    ),
)  # fmt: skip
# What is worth its time, by quality over CPU time, of SASRec and of the slowest learners: results/evidence/training. On
# Foursquare no rate is above 6e-3, where CausalRec's W explodes in two runs of five (there too, rates.jsonl).
BY_DATASET: dict[str, dict[str, Any]] = {
    "ml-100k": {"epochs": 16, "batch": 32, "learning_rates": (2e-3, 3e-3, 4e-3, 6e-3, 8e-3)},
    "foursquare-nyc": {
        "epochs": 12, "shortened": 2, "batch": 32, "windows": "last", "learning_rates": (3e-3, 4e-3, 5e-3, 6e-3),
    },
    "beauty": {"epochs": 20},
    "ml-1m": {"epochs": 12},
}
STANDARD = Preset(
    "standard",
    "all rivals and finer grids, a day on 2 cores; ML-1M and Beauty as well",
    Structure(
        draws=100, families=(("er", 1), ("er", 2), ("er", 4), ("sf", 2), ("sf", 4), ("chain", 1), ("layered", 2)),
        nodes=(10, 20, 50), samples=(30, 100, 300, 1000, 3000, 10_000),
        ratios=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0), stress_nodes=20, placement_nodes=(10, 20, 50),
        features=(64, 256, 1024, 4096), strengths=(0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.95),
        further=("eqvar_bottom_up", "golem_ev", "golem_nv", "dagma"),
    ),
    Limits(
        draws=100, nodes=(5, 10, 20, 50, 100, 200, 500, 1000), samples=(30, 100, 300, 1000, 3000, 10_000),
        densities=(1, 2, 4), ratios=(1.0, 4.0, 16.0),
    ),
    Attribution(draws=100, nodes=12, samples=(30, 100, 300, 1000, 3000, 10_000)),
    Confidence(
        draws=20, nodes=20, samples=(100, 1000), learners=("eqvar", "eqvar_lasso", "notears"), resamples=100, worlds=2,
    ),
    Misses(draws=100, families=(("er", 1), ("er", 2), ("sf", 2), ("chain", 1)), nodes=20),
    Sizes(draws=40, nodes=(20, 50, 100, 200, 500, 1000), most_seconds=60.0),
    Cost(nodes=(64, 128, 256, 512, 1024, 2048), repeats=10),
    world=World(items=100, users=3000, length=30, width=64, epochs=40), world_seeds=5,
    sweep=World(items=100, users=500, length=20, width=32, epochs=40, fresh=3000), sweep_seeds=10,
    most_worlds=40,
    control=CONTROL, control_worlds=(10, 40),
    alphas=tuple(10.0**exponent for exponent in range(-8, 9)), sparsities=(0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
    taus=(0.01, 0.1, 0.2, 0.3, 0.5), schedules=((1.0, 2.0), (100.0, 10.0), (1e4, 1.0)),
    real=Real(
        ("ml-100k", "foursquare-nyc", "beauty", "ml-1m"), seeds=3, trials=4, length=50, width=64, epochs=24,
        learning_rates=(1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3), seeds_by={"ml-100k": 10, "foursquare-nyc": 5}, shortened=4,
        batch=128, windows="all", training_by=BY_DATASET,
        controls=("shuffled", "filter", "halves"), agreement=("ml-100k",), rivals=RIVALS, splits=SPLITS,
    ),
    timeout=3600.0, all_readings=True,
)  # fmt: skip
PAPER = replace(
    STANDARD,
    name="paper",
    about="all datasets, ten seeds, on a GPU",
    structure=replace(
        STANDARD.structure, draws=200, nodes=(10, 20, 50, 100), samples=(30, 100, 300, 1000, 3000, 10_000, 30_000),
        stress_nodes=50,
    ),
    limits=replace(
        STANDARD.limits, draws=200, ratios=(1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0),
        samples=(30, 100, 300, 1000, 3000, 10_000, 30_000),
    ),
    attribution=replace(STANDARD.attribution, draws=200, nodes=14),
    cost=Cost(nodes=(64, 128, 256, 512, 1024, 2048, 4096), repeats=10),
    world=World(items=100, users=3000, length=40, width=64, epochs=60), world_seeds=10,
    sweep=World(items=100, users=3000, length=40, width=64, epochs=60, fresh=3000), sweep_seeds=10,
    real=replace(
        STANDARD.real, datasets=("ml-100k", "foursquare-nyc", "foursquare-tky", "kgrec-music", "beauty", "ml-1m"),
        seeds=10, seeds_by={}, trials=20, shortened=1, length=200, epochs=60, training_by={},
        controls=("shuffled", "filter", "raw", "random", "halves"), agreement=("ml-100k", "ml-1m"),
    ),
    timeout=6 * 3600.0,
)  # fmt: skip
PRESETS = {preset.name: preset for preset in (SMOKE, QUICK, HOUR, STANDARD, PAPER)}


def lasting(world: World) -> World:
    """The world with causes that go on acting.

    Args:
        world: any.
    """
    return replace(world, knobs=world.knobs | LASTING)


PERSIST, ANEW = CAUSES = ("persist", "drawn anew")  # what causes do in the worlds of sweeps and readings


def swept(preset: Preset, causes: str) -> World:
    """The world of sweeps and readings.

    Args:
        preset: any.
        causes: one of `CAUSES`; where they are drawn anew no graph can help.
    """
    return lasting(preset.sweep) if causes == PERSIST else preset.sweep


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Args:
        name: of a preset.

    Raises:
        InputError: an unknown name; the error lists the valid ones.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r} is unknown; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def narrow(
    preset: Preset,
    datasets: tuple[str, ...] | None = (),
    rivals: tuple[str, ...] = (),
    seeds: int | None = None,
    trials: int | None = None,
) -> Preset:
    """The preset with other datasets, rivals, seeds or trials on real data.

    What differs is said beside the preset's description, and so below every verdict.

    Args:
        preset: any.
        datasets: names; none: the preset's own. None: not one, since a user's own file stands alone.
        rivals: names of `RIVALS`; none: the preset's own.
        seeds: on real data; None: the preset's own.
        trials: settings tried per model and seed; None: the preset's own.

    Raises:
        InputError: an unknown rival.
    """
    if unknown := [name for name in rivals if name not in RIVALS]:
        raise InputError(f"rival {unknown[0]!r} is unknown; choose among {', '.join(RIVALS)}")
    if datasets is not None and not (datasets or rivals or seeds or trials):
        return preset
    real = replace(
        preset.real,
        seeds_by={} if seeds else preset.real.seeds_by,
        datasets=() if datasets is None else tuple(dict.fromkeys(datasets)) or preset.real.datasets,
        rivals=tuple(name for name in RIVALS if name in rivals) or preset.real.rivals,
        seeds=seeds or preset.real.seeds,
        trials=trials or preset.real.trials,
    )
    where = "a file of your own" if datasets is None else ", ".join(real.datasets) or "no real data"
    said = f"here on {where} against {', '.join(real.rivals)} alone"
    said += f", {real.seeds} seeds" if seeds else ""
    said += f", {real.trials} trials" if trials else ""
    return replace(preset, real=real, about=f"{preset.about}; {said}")
