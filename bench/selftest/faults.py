"""Faults that the self-test puts into the suite, each into one function or method; all are plausible mistakes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.judge import claims, intervals
from bench.judge.bars import Part
from causalrec import acyclicity, attention, discovery, interactions, negatives, ranking, relation, structure, training
from causalrec.acyclicity import LogDeterminant
from causalrec.attention import Block
from causalrec.discovery import DiscoveryBlock
from causalrec.lagrangian import Lagrangian
from causalrec.methods import streams
from causalrec.model import two_way_mask
from causalrec.ranking import expected_rank
from causalrec.structure import threshold
from causalrec.structure.eqvar import EqVar
from synth import scoring
from synth.scm import LinearSCM
from synth.violations import AttentionRows


@dataclass(frozen=True)
class Fault:
    """A mistake, and where it is made.

    Args:
        name: what is wrong, in words.
        owner: module or class that holds the function to be replaced.
        target: the function's name there.
        make: returns the substitute, given the original.
    """

    name: str
    owner: ModuleType | type
    target: str
    make: Callable[[Any], Any]


def _target_among_negatives(_: Any) -> Any:
    def sampled_rank(
        scores: Tensor, target: Tensor, seen: Tensor, negatives: int, generator: np.random.Generator
    ) -> NDArray[np.float64]:
        keys = np.where(seen.cpu().numpy(), 2.0, generator.random(seen.shape))
        drawn = torch.from_numpy(np.argsort(keys, axis=1)[:, :negatives])
        candidates = torch.cat([scores.gather(1, target[:, None]), scores.gather(1, drawn)], 1)
        return expected_rank(candidates, torch.zeros_like(target))

    return sampled_rank


def _optimistic(expected: Any) -> Any:
    """Lift the target by less than any difference of scores, so that it passes the items that tie with it."""

    def expected_rank(scores: Tensor, target: Tensor, excluded: Tensor | None = None) -> Any:
        lift = torch.full((len(target), 1), 1e-9, dtype=torch.float64)
        return expected(scores.double().scatter_add(1, target[:, None], lift), target, excluded)

    return expected_rank


OTHER_PLACE = {"exogenous": "mixed", "mixed": "exogenous", "raw": "raw"}
IDEAL = float((1 / np.log2(1 + np.arange(1, 11))).sum())

FAULTS: tuple[Fault, ...] = (
    Fault("the boost is ignored", attention, "attend", lambda attend: lambda q, k, v, mask, *_: attend(q, k, v, mask)),
    Fault("R is transposed", relation, "relate", lambda relate: lambda *given: relate(*given).mT),
    Fault("the causal mask lets the future in", attention, "causal_mask",
          lambda _: lambda valid, dtype: two_way_mask(valid, dtype)),  # noqa: PLW0108, `replaced` wants a new function
    Fault("h in the loss is always 0", acyclicity, "truncated_exponential", lambda h: lambda W: 0 * h(W)),
    Fault("h of NOTEARS is always 0", LogDeterminant, "value_and_gradient",
          lambda both: lambda self, W: tuple(0 * part for part in both(self, W))),
    Fault("cycles are left uncut", structure, "threshold_to_dag",
          lambda cut: lambda W, tau=0.3: (threshold(W, tau), cut(W, tau)[1])),
    Fault("LayerNorm on V is skipped", Block, "exogenous", lambda _: lambda self, y: self.value(y)),
    Fault("LayerNorm stands on Z", DiscoveryBlock, "__init__",
          lambda init: lambda self, *given: init(self, *given[:-1], replace(given[-1], placement="mixed"))),
    Fault("the worlds of LayerNorm on V and on Z are swapped", AttentionRows, "sample",
          lambda sample: lambda self, *given: sample(replace(self, placement=OTHER_PLACE[self.placement]), *given)),
    Fault("ties rank optimistically", ranking, "expected_rank", _optimistic),
    Fault("test items are in training", interactions, "leave_one_out",
          lambda split: lambda sequences, min_length=3: replace(split(sequences, min_length), train=sequences)),
    Fault("leaks are not refused", interactions, "check_leaks", lambda _: lambda split, sequences=None: None),
    Fault("early stopping looks at the test items", training, "validate",
          lambda validate: lambda score, split, how: validate(score, replace(split, validation=split.test), how)),
    Fault("all axes share a stream of numpy", streams, "derive_seed",
          lambda derive: lambda *, root, **_: derive(root=root)),
    Fault("draws share a stream of numpy", streams, "derive_seed",
          lambda derive: lambda **axes: derive(**axes | {"draw": 0})),
    Fault("seeds share a stream of torch", streams, "torch_generator",
          lambda make: lambda **axes: make(**axes | {"seed": 0})),
    Fault("SHD counts a reversal twice", scoring, "shd",
          lambda shd: lambda truth, estimate, reversal_cost=1: shd(truth, estimate, 2)),
    Fault("SHD is always 0", scoring, "shd", lambda shd: lambda *given, **named: 0 * shd(*given, **named)),
    Fault("NDCG is divided by the ideal of ten relevant items", ranking, "ndcg",
          lambda ndcg: lambda ranks, k=10: ndcg(ranks, k) / IDEAL),
    Fault("the filtered ranking does not filter", ranking, "seen_items",
          lambda seen: lambda *given: torch.zeros_like(seen(*given))),
    Fault("the target is among its sampled negatives", ranking, "sampled_rank", _target_among_negatives),
    Fault("training draws the target as a negative", negatives, "draw_others",
          lambda _: lambda target, items, k, rng: torch.randint(items, (len(target), k), generator=rng)),
    Fault("the gradient of the fit is let through", discovery, "fit_error",
          lambda fit: lambda W, z, valid, mask="time", stop=True: fit(W, z, valid, mask, stop=False)),
    Fault("rho of the Lagrangian never grows", Lagrangian, "update",
          lambda update: lambda self, h: replace(update(self, h), rho=self.rho)),
    Fault("EqVar answers in the transposed convention", EqVar, "fit",
          lambda fit: lambda *given: replace(fits := fit(*given), W=fits.W.mT)),
    Fault("the effects of a world are transposed", LinearSCM, "mixing",
          lambda mixing: property(lambda self: mixing.func(self).T)),
    Fault("t intervals are of 90 % whatever is asked", intervals, "t_interval",
          lambda t_interval: lambda values, level=0.95: t_interval(values, 0.9)),
    Fault("everything is judged as claimed", claims, "judge",
          lambda judge: lambda *given: [replace(verdict, judgement="as claimed") for verdict in judge(*given)]),
    Fault("an effect against the claim counts as none", Part, "judge",
          lambda judge: lambda self, found: {"opposite": "no effect"}.get(outcome := judge(self, found), outcome)),
    Fault("one part that comes out is enough", claims, "combine",
          lambda combine: lambda claim, outcomes: combine(replace(claim, combine="any"), outcomes)),
    Fault("every gate passes", claims.Gate, "__init__",
          lambda init: lambda self, passed, detail: init(self, True, detail)),
)  # fmt: skip
