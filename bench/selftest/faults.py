"""Faults that the self-test puts into the suite, each into one function or method; every one is a plausible mistake."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalrec.lagrangian import Lagrangian
from causalrec.model import two_way_mask
from causalrec.ranking import expected_rank
from causalrec.structure import threshold


@dataclass(frozen=True)
class Fault:
    """What is wrong in words, where it is put ("module:function" or "module:Class.method"), and what makes it.

    `make` is given the original and returns what stands in its place.
    """

    name: str
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
    """The target is lifted by less than any difference of scores, so that it passes what ties with it."""

    def expected_rank(scores: Tensor, target: Tensor, excluded: Tensor | None = None) -> Any:
        lift = torch.full((len(target), 1), 1e-9, dtype=torch.float64)
        return expected(scores.double().scatter_add(1, target[:, None], lift), target, excluded)

    return expected_rank


def _rho_stays(update: Any) -> Any:
    def updated(self: Lagrangian, h: float | Tensor) -> Lagrangian:
        state: Lagrangian = update(self, h)
        return replace(state, rho=self.rho)

    return updated


def _transposed(fit: Any) -> Any:
    def transposed(self: Any, problems: Any, generator: np.random.Generator) -> Any:
        fits = fit(self, problems, generator)
        return replace(fits, W=fits.W.mT)

    return transposed


def _normalise_z(init: Any) -> Any:
    def __init__(self: Any, width: int, heads: int, dropout: float, normalised: bool, reading: Any) -> None:
        init(self, width, heads, dropout, normalised, replace(reading, placement="mixed"))

    return __init__


OTHER_PLACE = {"exogenous": "mixed", "mixed": "exogenous", "raw": "raw"}
IDEAL = float((1 / np.log2(1 + np.arange(1, 11))).sum())

FAULTS: tuple[Fault, ...] = (
    Fault(
        "the boost is ignored",
        "causalrec.attention:attend",
        lambda attend: lambda q, k, v, mask, *_: attend(q, k, v, mask),
    ),
    Fault(
        "R is transposed",
        "causalrec.relation:relate",
        lambda relate: lambda *given: relate(*given).mT,
    ),
    Fault(
        "the causal mask lets the future in",
        "causalrec.attention:causal_mask",
        lambda _: lambda valid, dtype: two_way_mask(valid, dtype),  # noqa: PLW0108, `replaced` wants a new function
    ),
    Fault(
        "h in the loss is always 0",
        "causalrec.acyclicity:truncated_exponential",
        lambda h: lambda W: 0 * h(W),
    ),
    Fault(
        "h of NOTEARS is always 0",
        "causalrec.acyclicity:LogDeterminant.value_and_gradient",
        lambda both: lambda self, W: tuple(0 * part for part in both(self, W)),
    ),
    Fault(
        "cycles are left uncut",
        "causalrec.structure:threshold_to_dag",
        lambda cut: lambda W, tau=0.3: (threshold(W, tau), cut(W, tau)[1]),
    ),
    Fault(
        "LayerNorm on V is skipped",
        "causalrec.attention:Block.exogenous",
        lambda _: lambda self, y: self.value(y),
    ),
    Fault(
        "LayerNorm stands on Z",
        "causalrec.discovery:DiscoveryBlock.__init__",
        _normalise_z,
    ),
    Fault(
        "the worlds of LayerNorm on V and on Z are swapped",
        "synth.violations:AttentionRows.sample",
        lambda sample: lambda self, rng, samples: sample(
            replace(self, placement=OTHER_PLACE[self.placement]), rng, samples
        ),
    ),
    Fault(
        "ties rank optimistically",
        "causalrec.ranking:expected_rank",
        _optimistic,
    ),
    Fault(
        "test items are in training",
        "causalrec.interactions:leave_one_out",
        lambda split: lambda sequences, min_length=3: replace(split(sequences, min_length), train=sequences),
    ),
    Fault(
        "leaks are not refused",
        "causalrec.interactions:check_leaks",
        lambda _: lambda split, sequences=None: None,
    ),
    Fault(
        "early stopping looks at the test items",
        "causalrec.training:validate",
        lambda validate: lambda score, split, options: validate(score, replace(split, validation=split.test), options),
    ),
    Fault(
        "all axes share a stream of numpy",
        "bench.cells.streams:derive_seed",
        lambda derive: lambda *, root, **_: derive(root=root),
    ),
    Fault(
        "draws share a stream of numpy",
        "bench.cells.streams:derive_seed",
        lambda derive: lambda *, root, **axes: derive(root=root, **axes | {"draw": 0}),
    ),
    Fault(
        "seeds share a stream of torch",
        "bench.cells.streams:torch_generator",
        lambda make: lambda *, root, **axes: make(root=root, **axes | {"seed": 0}),
    ),
    Fault(
        "SHD counts a reversal twice",
        "synth.scoring:shd",
        lambda shd: lambda truth, estimate, reversal_cost=1: shd(truth, estimate, 2),
    ),
    Fault(
        "SHD is always 0",
        "synth.scoring:shd",
        lambda shd: lambda truth, estimate, reversal_cost=1: 0 * shd(truth, estimate, reversal_cost),
    ),
    Fault(
        "NDCG is divided by the ideal of ten relevant items",
        "causalrec.ranking:ndcg",
        lambda ndcg: lambda ranks, k=10: ndcg(ranks, k) / IDEAL,
    ),
    Fault(
        "the filtered ranking does not filter",
        "causalrec.ranking:seen_items",
        lambda seen: lambda history, rows, device: torch.zeros_like(seen(history, rows, device)),
    ),
    Fault(
        "the target is among its sampled negatives",
        "causalrec.ranking:sampled_rank",
        _target_among_negatives,
    ),
    Fault(
        "training draws the target as a negative",
        "causalrec.negatives:draw_others",
        lambda _: lambda target, items, k, generator: torch.randint(items, (len(target), k), generator=generator),
    ),
    Fault(
        "the gradient of the fit is let through",
        "causalrec.discovery:fit_error",
        lambda fit: lambda W, z, valid, mask="time", stop=True: fit(W, z, valid, mask, stop=False),
    ),
    Fault(
        "rho of the Lagrangian never grows",
        "causalrec.lagrangian:Lagrangian.update",
        _rho_stays,
    ),
    Fault(
        "EqVar answers in the transposed convention",
        "causalrec.structure.eqvar:EqVar.fit",
        _transposed,
    ),
    Fault(
        "the effects of a world are transposed",
        "synth.scm:LinearSCM.mixing",
        lambda mixing: property(lambda self: mixing.func(self).T),
    ),
    Fault(
        "t intervals are of 90 % whatever is asked",
        "bench.judge.intervals:_t_quantile",
        lambda quantile: lambda df, level: quantile(df, 0.9),
    ),
    Fault(
        "everything is judged reproduced",
        "bench.judge.claims:_verdict",
        lambda verdict: lambda *given: replace(verdict(*given), judgement="reproduced"),
    ),
)
