"""What the size of a run is made of: a class per kind of experiment, and `Preset`, which holds one of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from causalrec.methods.fit import SPLITS

DROPOUTS = (0.1, 0.2, 0.3, 0.5)


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
        trials: settings tried per model and seed, of the dropouts and learning rates here; CausalRec's have a reading
            each as well.
        length: the latest actions that a history keeps.
        width: features per item.
        epochs: of training.
        learning_rates: those that trials draw from.
        dropouts: likewise, of `DROPOUTS`. Default all.
        seeds_by: on some datasets, by name. Default none.
        shortened: a trial takes this part of the epochs, under a schedule of its own that ends at 0. Default 1: all.
        batch: histories per step. Default 32.
        windows: of a history that are trained on, see `causalrec.training.TrainingOptions`. Default "last".
        training_by: which of these fields differ on some datasets, by name, such as {"beauty": {"epochs": 20}}. Default
            none.
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
    dropouts: tuple[float, ...] = DROPOUTS
    seeds_by: Mapping[str, int] = field(default_factory=dict)
    shortened: int = 1
    batch: int = 32
    windows: str = "last"
    training_by: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    controls: tuple[str, ...] = ()
    agreement: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ("sasrec",)
    splits: tuple[str, ...] = SPLITS[:1]

    def on(self, name: str) -> "Real":
        """The same with what differs on a dataset.

        Args:
            name: of the dataset.
        """
        return replace(self, **self.training_by.get(name, {}))


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
        without: names of experiments that `reproduce` leaves out; `run` runs them at this size. Default none.
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
    without: tuple[str, ...] = ()
