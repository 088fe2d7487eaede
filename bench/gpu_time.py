"""How long a plan takes on a GPU, from what `bench.device_check` measured on one and from nothing else."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cell import ROOT, Cell
from bench.console import duration
from bench.errors import InputError
from bench.json_files import read_object, take
from bench.models import NEURAL

MEASURED = ROOT / "bench" / "GPU.json"  # `device_check.json` of a run on a GPU, once there is one
LARGEST = 1 << 20
KINDS = ("sasrec", "causalrec")


@dataclass(frozen=True)
class Card:
    """A GPU: its name, and by kind of model how many CPU seconds of the plan one of its seconds stands for."""

    name: str
    gains: dict[str, float]


def read_card(path: Path = MEASURED) -> Card | None:
    """The card that was measured, None where none was.

    Raises InputError for a file that `bench.device_check` did not write on a GPU.
    """
    if not path.exists():
        return None
    told = read_object(path, LARGEST, "what bench.device_check wrote")
    if not take(path, told, "cuda", bool):
        raise InputError(f"{path}: is of a CPU; put there what bench.device_check wrote on a GPU, or remove it")
    found: dict[str, Any] = take(path, told, "gains", dict)
    gains = {kind: take(path, found, kind, float) for kind in KINDS}
    if not all(gain > 0 for gain in gains.values()):
        raise InputError(f"{path}: gains are {gains}; expected positive numbers")
    return Card(take(path, told, "device", str), gains)


def gpu_words(cells: Iterable[Cell], seeds: int, trials: int, card: Card | None) -> str:
    """About how long the cells take with one such GPU: models are trained on it one at a time, the rest on the CPUs.

    cells: each counts once. seeds, trials: the settings chosen in tuning then run on seeds - 1 more seeds.
    """
    if card is None:
        return "On a GPU: no estimate, since no figure of one has been measured yet (bench/GPU.md)."
    trained, rest = 0.0, 0.0
    for cell in dict.fromkeys(cells):
        model = cell.params.get("model")
        if model in NEURAL:
            more = (seeds - 1) / trials if cell.params["training"].get("patience") else 0.0
            trained += cell.cost * (1 + more) / card.gains.get(model, card.gains["sasrec"])
        else:
            rest += cell.cost
    workers = os.cpu_count() or 1
    return (
        f"With one {card.name}, by the figures of bench/GPU.md: {duration(trained)} of training on it, all seeds "
        f"included, and {duration(rest / workers)} on {workers} CPU workers for the rest."
    )
