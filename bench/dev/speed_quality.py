"""What a recommender is worth after a budget of CPU time: python -m bench.dev.speed_quality --train batch=32

Training stops at the end of the epoch that spends the budget, validation included; the model is that of the best
validation NDCG@10 by then. CPU-seconds of one thread, one seed, leave-one-out, full catalogue.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.apply.train import rank
from bench.datasets.load import data_folder, load
from bench.dev.timing import Goal, command_line
from bench.errors import InputError
from bench.methods.options import build, parse
from bench.methods.recommenders import SAVED
from causalrec.interactions import Split, leave_one_out
from causalrec.training import Progress, TrainingOptions, make_scorer, train

# HR@10 and NDCG@10 that SASRec is to reach on ML-1M at length 50 in 900 CPU-seconds.
GOAL = {"data": "ml-1m", "model": "sasrec", "length": 50, "budget": 900.0}
GOALS = {"filtered": (Goal(0.28), Goal(0.16)), "kept": (Goal(0.217), Goal(0.104))}
EVERY = 10  # epochs between two lines of the course


def quality(
    split: Split, model: str, asked: Mapping[str, Any], how: Mapping[str, Any], budget: float, seed: int
) -> dict[str, tuple[float, float]]:
    """Train for a budget of CPU time and rank the test items; print the course.

    Args:
        split: what to train and test on.
        model: a model's name.
        asked: options of the model, over its defaults.
        how: options of the training, over its defaults and "filtered" validation.
        budget: CPU-seconds.
        seed: of initial weights, batches and dropout.

    Returns:
        Test HR@10 and NDCG@10, by what is done with items that a user has seen.
    """
    kind, options = SAVED[model].kind, SAVED[model].options_of
    assert options is not None
    built = kind(build(options, {**asked, "items": split.num_items}, model), torch.Generator().manual_seed(seed))
    training = build(TrainingOptions, {"epochs": 10_000, "patience": 10_000, "seen": "filtered", **how}, "training")
    start = time.process_time()

    def spent(progress: Progress) -> bool:
        seconds, last = time.process_time() - start, progress.trace[-1]
        if progress.epoch % EVERY == 0 or seconds >= budget:
            print(f"epoch {progress.epoch:4d} {seconds:7.0f} CPU-s  loss {last['recommendation']:.4f}  validation "
                  f"NDCG@10 {last['validation']:.4f}, best {progress.best:.4f} in epoch {progress.best_epoch}",
                  flush=True)  # fmt: skip
        return seconds >= budget

    draws = torch.Generator().manual_seed(seed + 1)
    train(built, split, training, shuffle=np.random.default_rng(seed), dropout=draws, on_epoch=spent)
    print(f"spent {time.process_time() - start:.0f} CPU-seconds")
    figures = rank(make_scorer(built), split.test, "test", model)
    return {f.seen: (f.hr10.estimate, f.ndcg10.estimate) for f in figures}


def main() -> None:
    """Train on one dataset for a budget and print test HR@10 and NDCG@10."""
    torch.set_num_threads(1)
    parser = command_line(__doc__)
    parser.add_argument("--data", default=GOAL["data"], help="a dataset's name")
    parser.add_argument("--data-dir", type=Path, help="where it lies")
    parser.add_argument("--model", default=GOAL["model"], choices=sorted(SAVED))
    parser.add_argument("--option", action="append", default=[], help="key=value of the model")
    parser.add_argument("--train", action="append", default=[], help="key=value of the training")
    parser.add_argument("--budget", type=float, default=GOAL["budget"], help="CPU-seconds")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        kind = SAVED[options.model].options_of
        assert kind is not None
        asked = parse(options.model, kind, options.option, ("items",))
        how = parse("training", TrainingOptions, options.train)
        split = leave_one_out(load(options.data, data_folder(options.data_dir)).sequences)
        found = quality(split, options.model, asked, how, options.budget, options.seed)
    except InputError as error:
        parser.error(str(error))
    length = build(kind, {**asked, "items": split.num_items}, options.model).length
    given = {"data": options.data, "model": options.model, "length": length, "budget": options.budget}
    for seen, figures in found.items():
        told = [f"{value:.4f}" for value in figures]
        if given == GOAL:
            told = [f"{text}, {goal.judge(v)}" for text, goal, v in zip(told, GOALS[seen], figures, strict=True)]
        print(f"seen {seen:8}  HR@10 {told[0]}  NDCG@10 {told[1]}")


if __name__ == "__main__":
    main()
