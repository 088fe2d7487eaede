"""What a user asks for: options that several commands share, each declared once, as fields of typed objects.

The help text of a field documents it. Nothing here takes long to import, so that help appears at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bench.show.terminal import option, output

if TYPE_CHECKING:
    from bench.plan.setup import Preparation, Setup

scope = partial(option, panel="What to run")
data = partial(option, panel="Data")
of_dataset = partial(data, default="the dataset's own")
as_trained = partial(data, default="as trained")
found = partial(data, default="found, and told")
method = partial(option, panel="Models and learners")
where = partial(option, panel="Where and how it runs")

Words = list[str] | None
Out = Annotated[Path, output("Results folder.")]
Seed = Annotated[int, scope("Root of every random stream.", least=0)]
Device = Annotated[str, where("auto, cpu or cuda.")]
Split = Annotated[str, data("How real data are split and claims judged: leave_one_out or temporal.")]
DataDir = Annotated[Path | None, data("Folder of real datasets.", default="$CAUSALREC_DATA, otherwise data/")]
RESULTS = Path("results/runs")
FORMAT = "Your own file: table (with a header), pairs (user item) or lists (user item item ...), both without."
DELIMITER = "comma, tab, semicolon, blank or double-colon between columns of your own file."
MOST = 1000  # workers of one machine, seeds or trials; more would be a slip


@dataclass(frozen=True)
class DataOptions:
    """Where named datasets are, and which actions are kept."""

    data_dir: DataDir = None
    repeats: Annotated[str | None, of_dataset("Repeated actions: kept or dropped.")] = None
    user_core: Annotated[int | None, of_dataset("Fewest actions per user.")] = None
    item_core: Annotated[int | None, of_dataset("Fewest actions per item.")] = None

    def preparation(self, split: str | None = None) -> "Preparation":
        """How datasets are prepared and split.

        Args:
            split: "leave_one_out" or "temporal"; None for the first.

        Raises:
            InputError: an option has no such value.
        """
        from bench.plan.setup import Preparation
        from causalrec.methods.fit import SPLITS

        return Preparation(self.repeats, self.user_core, self.item_core, split or SPLITS[0])

    def asked(self, file: Mapping[str, str | None], split: str | None = None) -> Mapping[str, object]:
        """How data that a model is trained on or applied to are read; None where the data or the model decide.

        Args:
            file: how a user's own file is read, as `Columns` has it.
            split: "leave_one_out" or "temporal".

        Raises:
            InputError: an option has no such value.
        """
        return {**file, "split": split, **self.preparation(split).of_readers}


@dataclass(frozen=True)
class Columns:
    """How a user's own file is read."""

    user: Annotated[str | None, found("Column of users in your own file.")] = None
    item: Annotated[str | None, found("Column of items in your own file.")] = None
    time: Annotated[str | None, found("Column of times; none: actions are in file order.")] = None
    format: Annotated[str | None, data(FORMAT, default="table")] = None
    delimiter: Annotated[str | None, found(DELIMITER)] = None


UserColumn = Annotated[str | None, as_trained("Column of users in your own file.")]
ItemColumn = Annotated[str | None, as_trained("Column of items in your own file.")]
TimeColumn = Annotated[str | None, as_trained("Column of times in your own file; none: actions are in file order.")]
Format = Annotated[str | None, as_trained(FORMAT)]
Delimiter = Annotated[str | None, as_trained(DELIMITER)]


@dataclass(frozen=True)
class TrainedColumns:
    """How a user's own file is read that a trained model is applied to."""

    user: UserColumn = None
    item: ItemColumn = None
    time: TimeColumn = None
    format: Format = None
    delimiter: Delimiter = None


@dataclass(frozen=True)
class NamedColumns:
    """The same, where --user names a user and not a column."""

    user_column: UserColumn = None
    item_column: ItemColumn = None
    time_column: TimeColumn = None
    format: Format = None
    delimiter: Delimiter = None

    @property
    def file(self) -> Mapping[str, str | None]:
        """The values as `Columns` names them."""
        return {name.removesuffix("_column"): value for name, value in vars(self).items()}


@dataclass(frozen=True)
class FitOptions:
    """How a recommender is trained."""

    epochs: Annotated[int, method("Epochs to train.", least=1)] = 40
    learning_rate: Annotated[float, method("Learning rate, at its highest.")] = 4e-3
    schedule: Annotated[str, method("Learning rate falls to 0 at the last epoch (decay), or is constant.")] = "decay"
    optimiser: Annotated[str, method("muon for the matrices of layers and Adam for the rest, or adam.")] = "muon"
    batch: Annotated[
        int | None, method("Windows per step; of fpmc, actions.", default="128; of fpmc, 1024", least=1)
    ] = None  # fmt: skip
    patience: Annotated[int, method("Stop after so many epochs without improvement; 0: never.", least=0)] = 0
    precision: Annotated[str, method("float32, or bf16 in the full softmax.")] = "float32"
    windows: Annotated[str, method("Train on each user's last actions (last), or on all (all).")] = "all"

    def given(self) -> Mapping[str, object]:
        """The values by name, as `causalrec.training.TrainingOptions` has them: patience None trains every epoch."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return given | {"patience": self.patience or None}


@dataclass(frozen=True)
class PlanOptions:
    """What is planned: how much, on which data, with which models, from which seed."""

    preset: Annotated[str, scope("Size of the run: smoke, quick, hour, standard or paper.")] = "quick"
    dataset: Annotated[Words, scope("Real dataset; may be repeated.", default="those of the preset")] = None
    rival: Annotated[Words, scope("Trained rival; may be repeated.", default="those of the preset")] = None
    seeds: Annotated[int | None, scope("Seeds on real data.", default="those of the preset", least=1, most=MOST)] = None
    trials: Annotated[
        int | None, scope("Settings tried per model and seed.", default="those of the preset", least=1, most=MOST)
    ] = None  # fmt: skip
    seed: Seed = 0
    split: Split = "leave_one_out"
    learner: Annotated[
        Words, method("Further learner, or your own as package.module:function; may be repeated.")
    ] = None  # fmt: skip
    recommender: Annotated[
        Words, method("Recommender of your own as package.module:Class; may be repeated.")
    ] = None  # fmt: skip
    perturb: Annotated[
        float, scope("Relative noise on initial weights, such as 1e-6: another processor's rounding.", least=0)
    ] = 0.0  # fmt: skip
    device: Device = "auto"
    jobs: Annotated[
        int | None, where("Worker processes.", default="one per core; on a GPU, 1", least=1, most=MOST)
    ] = None  # fmt: skip
    out: Out = RESULTS

    def setup(self, data: DataOptions, own: Mapping[str, str | None] | None = None) -> "Setup":
        """Read the data and make what a plan is made from.

        Args:
            data: where the data are, and how they are prepared.
            own: a user's own file as `path`, and how it is read, as `Columns` has it; None for none. It takes the place
                of the preset's datasets; those that were asked for stay beside it.

        Raises:
            InputError: an option has no such value, or data or a model cannot be read.
        """
        from bench.plan.presets import find_preset, narrow
        from bench.plan.setup import make_setup

        prepared = data.preparation(self.split)
        named = None if own and not self.dataset else tuple(self.dataset or ())
        preset = narrow(find_preset(self.preset), named, tuple(self.rival or ()), self.seeds, self.trials)
        models = (tuple(self.learner or ()), tuple(self.recommender or ()))
        return make_setup(
            preset, self.seed, data.data_dir, self.device, prepared, own, *models, self.perturb, bool(self.dataset)
        )  # fmt: skip


@dataclass(frozen=True)
class RunOptions:
    """Where cells run, and what makes a run fail."""

    engine: Annotated[str, where("Where cells run: local, or ray (docs/run-on-a-cluster.md).")] = "local"
    address: Annotated[str | None, where("Ray cluster, HOST:PORT or auto.", default="a Ray started here")] = None
    memory: Annotated[
        float | None, where("MiB that a worker may hold before its cell is stopped.", default="no limit", least=1)
    ] = None  # fmt: skip
    hours: Annotated[
        float | None, where("Start no cell after so many hours; the same command goes on later.", default="no limit")
    ] = None  # fmt: skip
    any_code: Annotated[
        bool, where("Train nothing again that other code than today's has trained; `judge` does so too.", "--any-code")
    ] = False  # fmt: skip
    shard: Annotated[str | None, where("i/n: run only this share of the cells, and write no tables.")] = None
    expect: Annotated[
        Path | None, output("Folder of another run: exit code 1 if a verdict differs from it beyond noise.")
    ] = None  # fmt: skip
    across_registers: Annotated[
        bool, output("With --expect: compare with a run that was judged by other rules.", "--across-registers")
    ] = False  # fmt: skip
    require_data: Annotated[
        bool, output("Exit code 3 if a dataset of the preset is missing.", "--require-data")
    ] = False  # fmt: skip
    get_data: Annotated[
        bool, data("First download what the preset needs and is not there, as far as it can be had.", "--get-data")
    ] = False  # fmt: skip
    paper: Annotated[
        bool, output("Write the figures for a paper as well: figures/paper/*.pdf, 3.3 inches wide.", "--paper")
    ] = False  # fmt: skip
    tables: Annotated[
        bool, output("Print every table, not the verdicts alone.", "--tables")
    ] = False  # fmt: skip
