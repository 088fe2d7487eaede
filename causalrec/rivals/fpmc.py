"""FPMC: matrix factorisation plus a factorised Markov chain (Rendle, Freudenthaler & Schmidt-Thieme 2010)."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from causalrec.checkpoints import Checkpoint
from causalrec.errors import InputError
from causalrec.interactions import Sequences, Split
from causalrec.losses import linear_cross_entropy
from causalrec.negatives import draw_others
from causalrec.optimisers import rate
from causalrec.training import (
    Diverged,
    Progress,
    TrainingOptions,
    TrainingState,
    out_of_patience,
    take_step,
    validate,
)

LOSSES = ("sbpr", "full")


@dataclass(frozen=True)
class FPMCOptions:
    """Options of FPMC.

    Args:
        width: features of each of the four factor matrices, default 64.
        regularisation: weight of |factors|² in the loss of an action, default 1e-3.
        loss: `sbpr` (default), as published: -log s(score of the next item - score of one uniform other item), s the
            logistic function; or `full`, the softmax over all items, as SASRec is trained.

    Raises:
        InputError: an option out of range.
    """

    width: int = 64
    regularisation: float = 1e-3
    loss: str = "sbpr"

    def __post_init__(self) -> None:
        if self.width < 1 or not 0 <= self.regularisation < math.inf:
            raise InputError(
                f"width = {self.width}, regularisation = {self.regularisation}; expected at least 1 and at least 0"
            )
        if self.loss not in LOSSES:
            raise InputError(f"loss = {self.loss!r}; expected one of {', '.join(LOSSES)}")


class FPMC:
    """score(i | user u, last item j) = user_u · a_i + last_j · b_i, trained here by Adam, on the CPU, in float32.

    `context` is (user_u, last_j) and row i - 1 of `item` is (a_i, b_i). Users are known by their label; a user without
    training actions, and the place before a user's first action, have zero vectors. Every training action is one
    example. Validation, patience, the epoch kept and `checkpoint` work as in `causalrec.training.train`; `progress`
    holds the trace.

    Args:
        split: training rows and validation questions.
        options: size and loss of the model.
        training: how to train; `batch` counts actions.
        generator: source of the first factors, the order and the negatives, on the CPU.
        checkpoint: where the state is saved after every epoch; default None.

    Raises:
        InputError: the split has no training actions.
        Diverged: the loss is not finite.
    """

    def __init__(
        self,
        split: Split,
        options: FPMCOptions,
        training: TrainingOptions,
        generator: torch.Generator,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        train, width = split.train, options.width
        if not len(train.items):
            raise InputError("there are no training actions; lower the k-core or give longer sequences")
        self.options, self.training, self.generator = options, training, generator
        self.rows = {label: row for row, label in enumerate(train.user_labels, 1) if train.lengths()[row - 1]}
        sizes = ((len(train) + 1, width), (train.num_items + 1, width), (train.num_items, 2 * width))
        self.user, self.last, self.item = (
            torch.randn(size, generator=generator).mul_(0.1 * width**-0.5).requires_grad_() for size in sizes
        )
        self.progress = self._train(split, checkpoint)

    def context(self, user_t: Tensor, last_t: Tensor) -> Tensor:
        """Return (user_u, last_j), shape (t, 2 width).

        Args:
            user_t: users 1.., 0 for none.
            last_t: last items 1.., 0 for none.
        """
        return torch.cat([
            functional.embedding(user_t, self.user, padding_idx=0) * (user_t != 0)[:, None],
            functional.embedding(last_t, self.last, padding_idx=0) * (last_t != 0)[:, None],
        ], 1)  # fmt: skip

    def loss(self, user_t: Tensor, last_t: Tensor, target_t: Tensor) -> Tensor:
        """Return the mean loss of actions, regularisation included.

        Args:
            user_t: users 1.., 0 for none.
            last_t: last items 1.., 0 for none.
            target_t: the items taken, as rows of `item`.
        """
        context, right = self.context(user_t, last_t), functional.embedding(target_t, self.item)
        size = context.square().sum() + right.square().sum()
        if self.options.loss == "full":
            loss = linear_cross_entropy(context, self.item, target_t)
        else:
            wrong = functional.embedding(draw_others(target_t, len(self.item), 1, self.generator)[:, 0], self.item)
            size = size + wrong.square().sum()
            loss = functional.softplus((context * (wrong - right)).sum(1)).mean()
        return loss + self.options.regularisation * size / len(target_t)

    def _train(self, split: Split, checkpoint: Checkpoint | None) -> Progress:
        train, options = split.train, self.training
        user = torch.from_numpy(np.repeat(np.arange(1, len(train) + 1), train.lengths()))
        target = torch.from_numpy(train.items - 1)
        last = torch.from_numpy(np.concatenate([np.zeros(1, np.int64), train.items[:-1]]))
        last[1:][user[1:] != user[:-1]] = 0
        factors = {"user": self.user, "last": self.last, "item": self.item}
        optimiser = torch.optim.Adam(factors.values(), lr=options.learning_rate, fused=True)
        identity = ["FPMC", asdict(self.options), options.identity]
        state = TrainingState(identity, factors, [optimiser], self.generator)
        if options.patience is not None:
            state.keep_best()
        if checkpoint is not None:
            state.resume(checkpoint)
        progress = state.progress
        while progress.epoch < options.epochs and not out_of_patience(progress, options):
            total, steps = 0.0, -(-len(target) // options.batch)
            order = torch.randperm(len(target), generator=self.generator)
            for number, rows in enumerate(torch.split(order, options.batch), start=1 + progress.epoch * steps):
                optimiser.zero_grad()
                loss = self.loss(user[rows], last[rows], target[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                share = number / (options.epochs * steps)
                take_step([optimiser], options.learning_rate * rate(share, options.schedule))
                total += float(loss.detach()) * len(rows)
            progress.epoch += 1
            if not math.isfinite(total):
                raise Diverged(f"loss not finite in epoch {progress.epoch}; lower the learning rate")
            progress.trace.append({"recommendation": total / len(target)})
            if options.validates(progress.epoch):
                progress.trace[-1]["validation"] = score = validate(self, split, options)
                if score > progress.best:
                    progress.best, progress.best_epoch = score, progress.epoch
                    state.keep_best()
            if checkpoint is not None:
                checkpoint.save(state.snapshot())
        if options.patience is not None:
            state.restore_best()
        self.user, self.last, self.item = (factor.detach() for factor in factors.values())
        return progress

    def __call__(self, history: Sequences, rows: slice) -> Tensor:
        """Return scores (rows, items), float32."""
        users = range(rows.start, min(rows.stop, len(history)))
        user = [self.rows.get(history.user_labels[row], 0) for row in users]
        last = [int(past[-1]) if len(past := history.row(row)) else 0 for row in users]
        with torch.inference_mode():
            return self.context(torch.tensor(user), torch.tensor(last)) @ self.item.T
