"""The named sizes of a run: smoke (CI), quick (a reviewer's first look), standard (a night), paper (a GPU)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.errors import InputError
from bench.methods.recommenders import RIVALS
from causalrec.methods.fit import SPLITS


@dataclass(frozen=True)
class Structure:
    """Sizes of the experiments on recovery; a draw is one SCM.

    Args:
        draws: SCMs per cell.
        families: kinds of graph, (family, edges per node) each.
        nodes: sizes of graphs.
        samples: numbers of samples n, ascending.
        ratios: largest over smallest noise variance, ascending.
        stress_nodes: nodes of the graphs of `variance`, `violations` and of LayerNorm's affine and pooling.
        placement_nodes: sizes of graphs, or tokens, of `layernorm` and `mixing`.
        features: features per row there, which are its samples.
        strengths: of a violation, ascending from 0, none, to below 1.
        further: names of learners that recovery compares beside its own. Default none.
    """

    draws: int
    families: tuple[tuple[str, int], ...]
    nodes: tuple[int, ...]
    samples: tuple[int, ...]
    ratios: tuple[float, ...]
    stress_nodes: int
    placement_nodes: tuple[int, ...]
    features: tuple[int, ...]
    strengths: tuple[float, ...]
    further: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """The map of the limits: ER graphs at every combination of these.

    Args:
        draws: SCMs per cell.
        nodes: sizes of graphs.
        samples: numbers of samples n, ascending.
        densities: edges per node, ascending.
        ratios: largest over smallest noise variance, ascending.
    """

    draws: int
    nodes: tuple[int, ...]
    samples: tuple[int, ...]
    densities: tuple[int, ...]
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class Attribution:
    """ER2 graphs whose misses are traced to a cause.

    Args:
        draws: SCMs per cell.
        nodes: of each graph, at most 14, since all causal orders are searched.
        samples: numbers of samples n, ascending.
    """

    draws: int
    nodes: int
    samples: tuple[int, ...]


@dataclass(frozen=True)
class Confidence:
    """ER2 graphs whose edges are found on resamples of the rows.

    Args:
        draws: SCMs per cell.
        nodes: of each graph.
        samples: numbers of samples n, ascending.
        learners: names of learners.
        resamples: of the rows.
        worlds: simulated from the graph found, to calibrate on.
    """

    draws: int
    nodes: int
    samples: tuple[int, ...]
    learners: tuple[str, ...]
    resamples: int
    worlds: int


@dataclass(frozen=True)
class Misses:
    """Graphs whose exact covariance NOTEARS has, and may still miss.

    Args:
        draws: SCMs per cell.
        families: kinds of graph, (family, edges per node) each.
        nodes: of each graph.
    """

    draws: int
    families: tuple[tuple[str, int], ...]
    nodes: int


@dataclass(frozen=True)
class Sizes:
    """ER2 graphs of rising size.

    Args:
        draws: SCMs per cell, fewer of large ones.
        nodes: sizes of graphs, ascending.
        most_seconds: CPU-seconds per graph that a learner may be expected to cost.
    """

    draws: int
    nodes: tuple[int, ...]
    most_seconds: float


@dataclass(frozen=True)
class Cost:
    """How h(W) is timed.

    Args:
        nodes: sizes of W, ascending.
        repeats: timings of each size.
    """

    nodes: tuple[int, ...]
    repeats: int


@dataclass(frozen=True)
class World:
    """A behaviour world and how a model is trained on it.

    Args:
        items: in the catalogue.
        users: with one history each.
        length: actions per history.
        width: features per item of a model.
        epochs: of training.
        knobs: those of `synth.behaviour.draw_world` that differ from its defaults. Default none.
        batch: histories per step. Default 64.
        learning_rate: of every model. Default 0.003.
        fresh: users who are asked beside those trained on, drawn by the same law and after a shift. Default none.
    """

    items: int
    users: int
    length: int
    width: int
    epochs: int
    knobs: dict[str, Any] = field(default_factory=dict)
    batch: int = 64
    learning_rate: float = 3e-3
    fresh: int = 0

    @property
    def dataset(self) -> dict[str, Any]:
        """As a cell's parameter."""
        sizes = {"items": self.items, "users": self.users, "length": self.length}
        sizes |= {"fresh": self.fresh} if self.fresh else {}
        return {"name": "behaviour", **sizes, "knobs": self.knobs}


@dataclass(frozen=True)
class Real:
    """How recommenders are compared on real data, with one budget of settings for every trained model.

    Args:
        datasets: names of `bench.datasets`.
        seeds: on each of which every model is tuned and trained.
        trials: settings tried per model and seed, of 4 dropouts and the learning rates here; CausalRec's have a reading
            each as well.
        length: the latest actions that a history keeps.
        width: features per item.
        epochs: of training.
        learning_rates: those that trials draw from.
        seeds_by: on some datasets, by name. Default none.
        shortened: a trial takes this part of the epochs, under a schedule of its own that ends at 0. Default 1: all.
        epochs_by: of training on some datasets, by name. Default none.
        batch: histories per step. Default 32.
        windows: of a history that are trained on, see `causalrec.training.TrainingOptions`. Default "last".
        controls: what is trained beside the chosen settings: every model on "shuffled" histories, of `recommend`; and
            CausalRec with "filter", "raw" and "random" of `ablation`, and on "halves" of the users of `audit`. Default
            none.
        agreement: datasets on which implementations are compared. Default none.
        rivals: names of `RIVALS`. Default SASRec.
        splits: names of `SPLITS`; `recommend` runs under each, and is judged under the one that is asked for. Default
            leave-one-out alone.
    """

    datasets: tuple[str, ...]
    seeds: int
    trials: int
    length: int
    width: int
    epochs: int
    learning_rates: tuple[float, ...]
    seeds_by: Mapping[str, int] = field(default_factory=dict)
    shortened: int = 1
    epochs_by: Mapping[str, int] = field(default_factory=dict)
    batch: int = 32
    windows: str = "last"
    controls: tuple[str, ...] = ()
    agreement: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ("sasrec",)
    splits: tuple[str, ...] = SPLITS[:1]

    def epochs_on(self, name: str) -> int:
        """The epochs of training on a dataset.

        Args:
            name: of the dataset.
        """
        return self.epochs_by.get(name, self.epochs)


@dataclass(frozen=True)
class Preset:
    """Everything that a run's size is made of.

    Args:
        name: as users give it.
        about: what it is for, in words.
        structure: sizes of the experiments on recovery.
        limits: sizes of the map of the limits.
        attribution: sizes of the search for causes of misses.
        confidence: sizes of the graphs whose edges are found on resamples.
        misses: sizes of the graphs whose misses are attributed by certificates.
        sizes: sizes of the graphs on which all learners are compared.
        cost: sizes at which h(W) is timed.
        world: the behaviour world of most experiments.
        world_seeds: how many such worlds.
        sweep: the behaviour world of sweeps and variants.
        sweep_seeds: how many such worlds.
        most_worlds: how many of them, and of those of `world`, at most where a claim is undecided.
        control: the behaviour world of `positive_control`, whose causes persist.
        control_worlds: how many of them at first, and at most.
        alphas: strengths of the boost that are tried, ascending.
        sparsities: lambdas that are tried beside the default.
        taus: thresholds of R that are tried beside the default.
        schedules: (rho at first, its growth) that are tried beside the default.
        real: how recommenders are compared on real data.
        timeout: seconds after which a cell is stopped.
        all_readings: whether `readings` compares all of them and not only the few. Default False.
    """

    name: str
    about: str
    structure: Structure
    limits: Limits
    attribution: Attribution
    confidence: Confidence
    misses: Misses
    sizes: Sizes
    cost: Cost
    world: World
    world_seeds: int
    sweep: World
    sweep_seeds: int
    most_worlds: int
    control: World
    control_worlds: tuple[int, int]
    alphas: tuple[float, ...]
    sparsities: tuple[float, ...]
    taus: tuple[float, ...]
    schedules: tuple[tuple[float, float], ...]
    real: Real
    timeout: float
    all_readings: bool = False


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
QUICK = Preset(
    "quick",
    "a first look, on 2 cores in about an hour, without real data in half of one",
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
        ("ml-100k", "foursquare-nyc"), seeds=3, trials=2, length=50, width=64, epochs=16,
        learning_rates=(2e-3, 4e-3), controls=("shuffled",),
    ),
    timeout=600.0,
)  # fmt: skip
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
        epochs_by={"ml-1m": 12, "foursquare-nyc": 16, "beauty": 20}, batch=128, windows="all",
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
        seeds=10, seeds_by={}, trials=20, shortened=1, length=200, epochs=60, epochs_by={},
        controls=("shuffled", "filter", "raw", "random", "halves"), agreement=("ml-100k", "ml-1m"),
    ),
    timeout=6 * 3600.0,
)  # fmt: skip
PRESETS = {preset.name: preset for preset in (SMOKE, QUICK, STANDARD, PAPER)}


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
