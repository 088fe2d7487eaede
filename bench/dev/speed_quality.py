"""What a recommender is worth for a budget of CPU time: python -m bench.dev.speed_quality --data ml-1m --budget 700

An epoch on a part of the users is timed, and as many are trained as the budget holds, so that the schedule of the
learning rate ends within it. As in the suite, the model that is tested was trained on validation too; to choose a
setting, `--choose` trains without it and ranks validation. The recipe is that of the suite
(`causalrec.methods.recipes`); `--option` and `--train` change it. CPU-seconds of one thread, one seed, leave-one-out
unless `--split temporal`, full catalogue. `--json` prints one document.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.datasets.load import data_folder, load
from bench.dev.timing import Goal, command_line, cpu_seconds
from bench.errors import InputError
from bench.methods.options import build, parse
from bench.methods.recommenders import ENTRIES, NEURAL
from causalrec.interactions import Split, Targets, train_on_validation
from causalrec.methods.fit import SPLITS, fit, make_model, make_split
from causalrec.methods.recipes import DROPOUT, TRAINING, loss
from causalrec.ranking import Scorer, hit_rate, ndcg, rank_targets
from causalrec.recommender import Recommender
from causalrec.training import Progress, TrainingOptions, make_scorer, place_windows

# HR@10 and NDCG@10 that SASRec is to reach at width 64 with seen items filtered, and the CPU-seconds it may take.
GOALS = {"ml-1m": (Goal(0.315), Goal(0.184), 600.0), "beauty": (Goal(0.0926), Goal(0.0575), 1200.0)}
PART = 16  # of the users are in the epoch that is timed
MARGIN = 0.04  # of the budget, for what is not training and for steps slower than those timed


def main() -> None:
    """Train on one dataset for a budget and print test HR@10 and NDCG@10."""
    torch.set_num_threads(1)
    parser = command_line(__doc__)
    parser.add_argument("--data", default="ml-1m", help="a dataset's name")
    parser.add_argument("--data-dir", type=Path, help="where it lies")
    parser.add_argument("--model", default="sasrec", choices=NEURAL)
    parser.add_argument("--split", default=SPLITS[0], choices=SPLITS)
    parser.add_argument("--option", action="append", default=[], help="key=value of the model")
    parser.add_argument("--train", action="append", default=[], help="key=value of the training")
    parser.add_argument("--budget", type=float, default=600.0, help="CPU-seconds of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--choose", action="store_true", help="rank validation, and do not train on it")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    asked = parser.parse_args()
    try:
        entry, training = ENTRIES[asked.model], parse("training", TrainingOptions, asked.train)
        options = parse(asked.model, entry.options_of, asked.option, ("items",))
        split = make_split(load(asked.data, data_folder(asked.data_dir)).sequences, asked.split)
        options = recipe_options(asked.data, asked.model, split.num_items) | options
        found = quality(split, asked.model, options, training, asked.budget, asked.seed, asked.choose, asked.json)
    except InputError as error:
        parser.error(str(error))
    found = {"data": asked.data, "model": asked.model, "split": asked.split, "seed": asked.seed, **found}
    print(json.dumps(found) if asked.json else "\n".join(words(found)))


def recipe_options(data: str, name: str, items: int) -> dict[str, Any]:
    """The options of a model that the suite's recipe sets for a dataset.

    Args:
        data: the dataset's name.
        name: of the model.
        items: in the catalogue.
    """
    return {"dropout": DROPOUT.get(data, 0.2), **loss(ENTRIES[name], items)}


def words(found: Mapping[str, Any]) -> list[str]:
    """What was found, a line each, with the goals where there are any.

    Args:
        found: as `quality` returns it, with the names of data, model and split.
    """
    where = f"{found['model']} on {found['data']}, {found['split']}, {found['ranked']}"
    lines = [f"{where}: {found['epochs']} epochs, {found['cpu_s']:.0f} CPU-s"]
    for seen in ("filtered", "kept"):
        hr, gain = found[seen]["hr10"], found[seen]["ndcg10"]
        told = [f"{hr:.4f}", f"{gain:.4f}"]
        what = tuple(found[key] for key in ("model", "split", "ranked"))
        if (*what, seen) == ("sasrec", SPLITS[0], "test", "filtered") and found["data"] in GOALS:
            of_hr, of_ndcg, most = GOALS[found["data"]]
            if found["cpu_s"] <= most:
                told = [f"{told[0]}, {of_hr.judge(hr)}", f"{told[1]}, {of_ndcg.judge(gain)}"]
        lines.append(f"seen {seen:8}  HR@10 {told[0]}  NDCG@10 {told[1]}")
    return lines


def quality(
    split: Split,
    name: str,
    options: Mapping[str, Any],
    training: Mapping[str, Any],
    budget: float,
    seed: int,
    choose: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train for a budget of CPU time, on validation too, and rank test; or to choose a setting, not on it and rank it.

    Args:
        split: what to train and test on.
        name: of a model.
        options: of the model.
        training: options of the training, over the recipe.
        budget: CPU-seconds of training.
        seed: of initial weights, batches and dropout.
        choose: rank validation instead of test; default False.
        quiet: print nothing of the course; default False.

    Returns:
        What `measure` returns, epochs, CPU-seconds, and the options of model and training.
    """
    entry, axes, asked = ENTRIES[name], {"seed": seed}, split.validation if choose else split.test
    split = split if choose else train_on_validation(split)
    settings = {**entry.options, **options, "items": split.num_items}
    built, how = build(entry.options_of, settings, name), {**TRAINING, **training}
    if "epochs" not in how:
        model = make_model(entry.kind, built, "cpu", seed, axes)
        seconds = epoch_seconds(model, split, build(TrainingOptions, how, "training"))
        how["epochs"] = max(1, int(budget * (1 - MARGIN) / seconds))
    model, trained = make_model(entry.kind, built, "cpu", seed, axes), build(TrainingOptions, how, "training")
    start = time.process_time()

    def tell(progress: Progress) -> None:
        if not quiet:
            said = f"epoch {progress.epoch:3d} of {how['epochs']} {time.process_time() - start:7.0f} CPU-s"
            print(f"{said}  loss {progress.trace[-1]['recommendation']:.4f}", flush=True)

    fit(model, split, trained, seed, axes, on_epoch=tell)
    seconds = time.process_time() - start
    about = {"ranked": "validation" if choose else "test", "options": settings, "training": how}
    return measure(make_scorer(model), asked) | {"cpu_s": seconds, "epochs": how["epochs"]} | about


def measure(score: Scorer, asked: Targets) -> dict[str, Any]:
    """HR@10 and NDCG@10 by what is done with items that a user has seen.

    Args:
        score: a trained model.
        asked: what it is asked.
    """
    ranks = rank_targets(score, asked)
    return {
        seen: {"hr10": float(hit_rate(found).mean()), "ndcg10": float(ndcg(found).mean())}
        for seen, found in (("filtered", ranks.filtered), ("kept", ranks.kept))
    }


def epoch_seconds(model: Recommender, split: Split, training: TrainingOptions) -> float:
    """CPU-seconds of an epoch, from one on a part of the users, by the targets that it holds.

    Args:
        model: fresh, and of no use afterwards.
        split: what to train on.
        training: how.
    """
    users = np.arange(0, len(split.train), PART)
    part = split.train.take(users, split.train.lengths()[users])
    once = replace(training, epochs=1)
    seconds = cpu_seconds(lambda: fit(model, replace(split, train=part), once, 0, {}))
    rows, some = (place_windows(of, model.options.length, training.windows) for of in (split.train, part))
    return seconds * float((rows >= 0).sum() - len(rows)) / float((some >= 0).sum() - len(some))


if __name__ == "__main__":
    main()
