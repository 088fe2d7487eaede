"""From a preset and the data at hand to cells, and from records back to results."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import learners as learner_names
from bench import own_recommender, peer_recommenders
from bench.cell import Cell
from bench.console import duration
from bench.datasets import REPEATS, Loaded, Provenance, data_folder, load, load_own
from bench.errors import DataMissing, InputError
from bench.presets import Preset
from bench.store import Record, Store
from bench.tables import Table, Value
from causalrec.training import pick_device

DATA_VARIABLE = "CAUSALREC_DATA"
OWN_VARIABLE = "CAUSALREC_OWN_FILE"
OWN = "own file"
SPLITS = ("leave_one_out", "temporal")


@dataclass(frozen=True)
class Preparation:
    """How datasets are prepared where their own defaults are not wanted, and how they are split.

    repeats: "kept" or "dropped". user_core, item_core: fewest actions. split: a name of `SPLITS`.
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
    """What a plan is made from: the preset, the root seed, the device, the datasets found and those missing.

    learners: names of `bench.learners` that were asked for beside an experiment's own. recommenders: classes of the
    user's own, see `bench.own_recommender`. rectools: the version of RecTools where there is one.
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

    def beside(self, ours: tuple[str, ...]) -> tuple[str, ...]:
        """An experiment's own learners and after them those asked for, each once."""
        return tuple(dict.fromkeys((*ours, *self.learners)))


def make_setup(
    preset: Preset,
    root: int,
    data_dir: Path | None = None,
    device: str = "auto",
    preparation: Preparation | None = None,
    own: Mapping[str, Any] | None = None,
    learners: tuple[str, ...] = (),
    recommenders: tuple[str, ...] = (),
) -> Setup:
    """Read the preset's datasets once, to know which are there and what they hold; workers are told where.

    `own` names a user's own file and its columns: path, user, item, time. `learners` are names of `bench.learners`
    and `recommenders` of `bench.own_recommender`, each loaded once here, so that one that is not there is an InputError
    now and not a failure in every cell.
    A missing dataset, or under the temporal split one without times, is noted with what to do about it; a bad file
    raises InputError.
    """
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
            missing[name] = str(error)
    if own is not None:
        place = dict(own) | {"path": str(Path(own["path"]).resolve())}
        os.environ[OWN_VARIABLE] = json.dumps(place)
        loaded = load_own(**place | {"path": Path(place["path"])}, **prepared.of_readers)
        _check_times(loaded, prepared.split)
        found[OWN] = loaded.provenance
    asked = (tuple(dict.fromkeys(learners)), tuple(dict.fromkeys(recommenders)))
    return Setup(preset, root, pick_device(device), found, missing, prepared.split, *asked, peer_recommenders.version())


def _check_times(loaded: Loaded, split: str) -> None:
    if split == "temporal" and loaded.sequences.times is None:
        raise DataMissing(f"{loaded.provenance.file} has no times, which the temporal split needs; use leave_one_out")


def check_used(setup: Setup, names: tuple[str, ...]) -> None:
    """Raise InputError where the user's own file, or a model asked for, is in no cell of the experiments `names`.

    The error tells which experiments would use it.
    """
    from bench.experiments import EXPERIMENTS, load_experiment

    def users(uses: Callable[[Cell], bool], among: tuple[str, ...]) -> list[str]:
        return [name for name in among if any(uses(cell) for cell in load_experiment(name).plan(setup))]

    asked: dict[str, Callable[[Cell], bool]] = {
        f"--learner {name}": lambda cell, name=name: cell.params.get("learner") == name  # type: ignore[misc]
        for name in setup.learners
    }
    for name in setup.recommenders:
        asked[f"--recommender {name}"] = lambda cell, name=name: cell.params.get("model") == name  # type: ignore[misc]
    if OWN in setup.found:
        asked["--data"] = lambda cell: cell.params.get("dataset", {}).get("name") == OWN
    for option, uses in asked.items():
        if not users(uses, names):
            where = ", ".join(users(uses, EXPERIMENTS)) or "none at this preset"
            raise InputError(f"{', '.join(names)} would not use {option}; experiments that use it: {where}")


@dataclass(frozen=True, eq=False)
class Result:
    """A planned cell and its record, if it ran."""

    cell: Cell
    record: Record | None
    store: Store

    @property
    def ok(self) -> bool:
        """Whether the cell ran to its end."""
        return self.record is not None and self.record.ok

    @property
    def params(self) -> Mapping[str, Any]:
        """The cell's parameters."""
        return self.cell.params

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The record's metrics; empty where the cell failed or did not run."""
        return self.record.metrics if self.record is not None else {}

    @cached_property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays beside the record, read when first asked for."""
        return self.store.arrays(self.record) if self.record is not None else {}


def collect(cells: list[Cell], store: Store) -> list[Result]:
    """The results of `cells`, in their order."""
    return [Result(cell, store.get(cell), store) for cell in cells]


def select(results: list[Result], **wanted: Any) -> list[Result]:
    """The results that ran and whose parameters have these values."""
    return [r for r in results if r.ok and all(r.params[name] == value for name, value in wanted.items())]


def stacked(results: list[Result], name: str) -> NDArray[np.float64]:
    """One array of several results end to end, float64."""
    return np.concatenate([np.asarray(r.arrays[name], dtype=np.float64) for r in results])


def plan_table(
    setup: Setup, planned: Mapping[str, list[Cell]], store: Store | None, jobs: int, more: str = ""
) -> Table:
    """What would run: cells by experiment, those whose records are there, and the expected time of the rest.

    `more` is said of the whole plan, after its time.
    """
    rows: list[tuple[Value, ...]] = []
    counted: set[str] = set()
    total = 0.0
    for name, cells in planned.items():
        new = [cell for cell in dict.fromkeys(cells) if cell.key not in counted]
        counted |= {cell.key for cell in new}
        left = [cell for cell in new if store is None or (record := store.get(cell)) is None or not record.ok]
        seconds = sum(cell.cost for cell in left)
        total += seconds
        rows.append((name, len(set(cells)), len(new), len(new) - len(left), duration(seconds / jobs)))
    seeds = setup.preset.real.seeds
    note = (
        f"{setup.preset.about}. About {duration(total / jobs)} on {jobs} workers; the recommenders chosen in tuning "
        f"then run on {seeds - 1} more seeds. " + (f"{more} " if more else "")
        + "; ".join([f"Datasets found: {', '.join(setup.found) or 'none'}", *setup.missing.values()]) + "."
    )  # fmt: skip
    columns = ("experiment", "cells", "of its own", "there already", "expected time of the rest")
    return Table("plan", f"Plan of {setup.preset.name}, seed {setup.root}, {setup.device}", columns, tuple(rows), note)
