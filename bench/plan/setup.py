"""From a preset and the data at hand to cells, and from records back to results."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.datasets.load import REPEATS, Loaded, Provenance, data_folder, load, load_own
from bench.errors import DataMissing, InputError
from bench.methods import learners as learner_names
from bench.methods import rectools, seq2cause
from bench.methods import user_recommender as own_recommender
from bench.plan.sizes import Preset
from causalrec.methods.fit import SPLITS
from causalrec.training import pick_device

DATA_VARIABLE = "CAUSALREC_DATA"
OWN_VARIABLE = "CAUSALREC_OWN_FILE"
OWN = "own file"
SETTLED_ON, APART = ("smoke", "quick", "hour"), 1_000_000
NARROWED = ("datasets", "rivals", "seeds", "seeds_by", "trials")  # what `narrow` changes of a preset's real data


@dataclass(frozen=True)
class Preparation:
    """How datasets are prepared where their own defaults are not wanted, and how they are split.

    Args:
        repeats: "kept" or "dropped". Default the dataset's own.
        user_core: fewest actions per user. Default the dataset's own.
        item_core: fewest actions per item. Default the dataset's own.
        split: a name of `SPLITS`. Default "leave_one_out".

    Raises:
        InputError: an unknown name, or a core below 1.
    """

    repeats: str | None = None
    user_core: int | None = None
    item_core: int | None = None
    split: str = "leave_one_out"

    def __post_init__(self) -> None:
        if self.repeats not in (None, *REPEATS):
            raise InputError(f"repeats must be one of {', '.join(REPEATS)}, got {self.repeats!r}")
        if self.split not in SPLITS:
            raise InputError(f"split must be one of {', '.join(SPLITS)}, got {self.split!r}")
        for name in ("user_core", "item_core"):
            if (core := getattr(self, name)) is not None and core < 1:
                raise InputError(f"{name} must be at least 1, got {core}")

    @property
    def of_readers(self) -> dict[str, Any]:
        """What readers are told: only what was asked for."""
        asked = {"repeats": self.repeats, "user_core": self.user_core, "item_core": self.item_core}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Setup:
    """What a plan is made from.

    Args:
        preset: sizes.
        root: the seed of all random streams.
        device: "cpu" or "cuda", where neural models are trained.
        found: datasets that are there, by name. Default none.
        missing: datasets that are not, by name, and what to do about it. Default none.
        split: a name of `SPLITS`.
        learners: names of `bench.methods.learners` that were asked for beside an experiment's own.
        recommenders: classes of the user's own, see `bench.methods.user_recommender`.
        rectools: the version of RecTools where there is one.
        seq2cause: the version of seq2cause where there is one.
        perturb: size of relative noise on initial weights, which stands for another processor's rounding. Default 0.
        tuned: the split whose trials choose the settings. Default "", its own.
    """

    preset: Preset
    root: int
    device: str
    found: Mapping[str, Provenance] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    split: str = "leave_one_out"
    learners: tuple[str, ...] = ()
    recommenders: tuple[str, ...] = ()
    rectools: str | None = None
    seq2cause: str | None = None
    perturb: float = 0.0
    tuned: str = ""

    def beside(self, ours: tuple[str, ...]) -> tuple[str, ...]:
        """An experiment's own learners and after them those asked for, each once.

        Args:
            ours: names of learners.
        """
        return tuple(dict.fromkeys((*ours, *self.learners)))

    @property
    def places(self) -> tuple[str, ...]:
        """Where recommenders run: the behaviour worlds, and every dataset found."""
        return ("behaviour", *self.found)

    @property
    def further(self) -> list["Setup"]:
        """The same under each other split of the preset, on the datasets found that it can split, with its settings.

        Behaviour worlds know no split; who reads one of these leaves them out.
        """
        timed = {name: p for name, p in self.found.items() if p.statistics["ties_share"] is not None}
        others = [split for split in self.preset.real.splits if split != self.split]
        return [
            replace(self, split=split, tuned=self.split, found=timed if split == "temporal" else self.found)
            for split in others
        ]

    def seeds(self, name: str) -> int:
        """The seeds on a dataset; under a further split the fewest that the preset has on any.

        Args:
            name: of the dataset.
        """
        real = self.preset.real
        return real.seeds if self.tuned else real.seeds_by.get(name, real.seeds)

    @property
    def judged(self) -> list[str]:
        """The datasets that claims are judged on: a user's own file is shown beside them and judges nothing."""
        return [name for name in self.found if name != OWN]

    @property
    def alone(self) -> bool:
        """Whether a user's own file is the only real data that was asked for."""
        return OWN in self.found and not self.preset.real.datasets

    @property
    def stream(self) -> int:
        """Root of the random streams of cells.

        Rules were settled on runs of the small presets, so that larger ones draw worlds of their own; no seed under a
        million meets another's.
        """
        return self.root if self.preset.name in SETTLED_ON else self.root + APART

    @property
    def asked(self) -> dict[str, Any]:
        """What `restored` needs beside preset, seed, device and data."""
        real = {name: getattr(self.preset.real, name) for name in NARROWED}
        mine = ("split", "learners", "recommenders", "rectools", "seq2cause", "perturb")
        return {"about": self.preset.about, "real": real, **{name: getattr(self, name) for name in mine}}

    @property
    def lacking(self) -> str:
        """What to know of the datasets that are missing, a sentence each; empty where none is."""
        return " ".join(f"{text}." for text in self.missing.values())

    def statistic(self, name: str, what: str) -> float:
        """A figure of a dataset found, 0 where it has none.

        Args:
            name: of the dataset.
            what: a name of its statistics, such as "users", "items" or "actions".
        """
        return float(self.found[name].statistics[what] or 0)


def make_setup(
    preset: Preset,
    root: int,
    data_dir: Path | None = None,
    device: str = "auto",
    preparation: Preparation | None = None,
    own: Mapping[str, Any] | None = None,
    learners: tuple[str, ...] = (),
    recommenders: tuple[str, ...] = (),
    perturb: float = 0.0,
    required: bool = False,
) -> Setup:
    """Read the preset's datasets once, to know which are there and what they hold, and tell workers where they are.

    A missing dataset, or under the temporal split one without times, is noted with what to do about it. Each learner
    and recommender is loaded once here, so that one that is not there is one error and not a failure in every cell.

    Args:
        preset: sizes.
        root: the seed of all random streams.
        data_dir: folder of the datasets. Default that of the environment, see `data_folder`.
        device: "cpu", "cuda" or "auto".
        preparation: of the datasets. Default their own.
        own: a user's own file as `path`, and fields of `FileForm`. Default none.
        learners: names of `bench.methods.learners`.
        recommenders: names of `bench.methods.user_recommender`.
        perturb: as in `Setup`.
        required: refuse to go on without one of the preset's datasets.

    Raises:
        InputError: a bad file, or a data folder that was named, a required dataset, a learner, recommender or device
            that is not there.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"--data-dir {data_dir}: there is no such folder; name the one that holds the datasets")
    prepared = preparation or Preparation()
    for name in learners:
        learner_names.load(name)
    for name in recommenders:
        own_recommender.version(name)
        own_recommender.load(name)
    folder = data_folder(data_dir)
    os.environ[DATA_VARIABLE] = str(folder.resolve())
    found, missing = {}, {}
    for name in preset.real.datasets:
        try:
            loaded = load(name, folder, **prepared.of_readers)
            _check_times(loaded, prepared.split)
            found[name] = loaded.provenance
        except DataMissing as error:
            if required:
                raise
            missing[name] = str(error)
    if own is not None:
        place = dict(own) | {"path": str(Path(own["path"]).resolve())}
        os.environ[OWN_VARIABLE] = json.dumps(place)
        loaded = load_own(**place | {"path": Path(place["path"])}, **prepared.of_readers)
        _check_times(loaded, prepared.split)
        found[OWN] = loaded.provenance
    asked = (tuple(dict.fromkeys(learners)), tuple(dict.fromkeys(recommenders)))
    peers = (rectools.PEER.version(), seq2cause.PEER.version())
    return Setup(preset, root, pick_device(device), found, missing, prepared.split, *asked, *peers, perturb)


def _check_times(loaded: Loaded, split: str) -> None:
    if split == "temporal" and loaded.sequences.times is None:
        raise DataMissing(
            f"{loaded.provenance.file} has no times, which the temporal split needs; use leave_one_out, or name "
            "the column of times of your own file with --time"
        )


