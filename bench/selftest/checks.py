"""Checks of the self-test on models, graphs and ranking: known answers and invariants, each in well under a second.

A check's docstring says what must hold; it measures through the suite's public functions and knows of no fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from causalrec.acyclicity import FORMS, is_acyclic, truncated_exponential
from causalrec.attention import Block, Boost
from causalrec.interactions import LeakError, Sequences, check_leaks, from_rows, leave_one_out
from causalrec.lagrangian import Lagrangian
from causalrec.model import CausalRec, CausalRecOptions, SASRec, SASRecOptions
from causalrec.negatives import draw_others, draw_unseen
from causalrec.ranking import Ranks, hit_rate, ndcg, rank_targets
from causalrec.rivals.popularity import Popularity
from causalrec.structure import Problems, threshold_to_dag
from causalrec.structure.registry import load
from causalrec.training import TrainingOptions, train
from synth.scm import LinearSCM
from synth.scoring import order_accuracy, shd

ITEMS, LENGTH = 12, 6


@dataclass(frozen=True)
class Measured:
    """What a check found.

    Args:
        holds: whether the check holds.
        words: what it measured, in words.
    """

    holds: bool
    words: str


Check: TypeAlias = Callable[[], Measured]


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(2510)


def _histories() -> Tensor:
    """Two sequences (2, length), the second padded on the left."""
    return torch.tensor([[1, 2, 3, 4, 5, 6], [0, 0, 7, 8, 9, 10]])


def _sasrec() -> SASRec:
    return SASRec(SASRecOptions(ITEMS, LENGTH, width=8, normalised=1), _rng()).eval()


def _causalrec(weights: Tensor | None = None, **options: Any) -> CausalRec:
    """A model of `_sasrec`'s initial weights; with `weights` (items, items) its W is fixed and taught nothing."""
    if weights is not None:
        options |= {"source": "fixed", "beta": 0.0}
    model = CausalRec(CausalRecOptions(ITEMS, LENGTH, width=8, **options), _rng()).eval()
    if weights is not None:
        model.fix(weights)
    return model


def _one_cause(effect: int, cause: int) -> Tensor:
    """W (items, items) in which one item causes another."""
    weights = torch.zeros(ITEMS, ITEMS)
    weights[effect - 1, cause - 1] = 1.0
    return weights


def _furthest(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


@torch.no_grad()
def alpha_zero_is_sasrec() -> Measured:
    """Scores at alpha = 0, and at alpha = 10 where R is empty, are SASRec's to the bit; with edges in R they differ."""
    items, plain = _histories(), _sasrec().scores(_histories())
    chain = torch.ones(ITEMS, ITEMS).tril(-1)
    off = _causalrec(chain, boost=Boost(alpha=0.0)).scores(items)
    empty = _causalrec(torch.zeros(ITEMS, ITEMS), boost=Boost(alpha=10.0)).scores(items)
    boosted = _furthest(_causalrec(chain, boost=Boost(alpha=10.0)).scores(items), plain)
    moved = max(_furthest(off, plain), _furthest(empty, plain))
    words = f"without a boost scores differ by {moved:.2g} from SASRec's; alpha 10 moves them by {boosted:.2g}"
    return Measured(moved == 0 and boosted > 1e-4, words)


@torch.no_grad()
def the_cause_is_the_column() -> Measured:
    """Where item 1 causes item 2, R of the sequence (1, 2) is [2, 1] alone, and R of (2, 1) is empty."""
    model = _causalrec(_one_cause(effect=2, cause=1))
    places = [(model.graph(torch.tensor([row])).relation_bij[0].nonzero() + 1).tolist() for row in ([1, 2], [2, 1])]
    there, back = (" ".join(map(str, found)) or "empty" for found in places)
    return Measured((there, back) == ("[2, 1]", "empty"), f"R of (1, 2): {there}; of (2, 1): {back}")


@torch.no_grad()
def the_past_does_not_see_the_future() -> Measured:
    """Hidden states before a place are bitwise the same whatever items stand from there on, in both models."""
    items, changed = _histories(), _histories()
    changed[:, 4:] = torch.tensor([11, 12])
    moved, after = 0.0, 1.0
    for model in (_sasrec(), _causalrec(boost=Boost(alpha=10.0), tau=0.0, delta=0.0)):
        one, other = model.encode(items)[0], model.encode(changed)[0]
        moved = max(moved, _furthest(one[:, :4], other[:, :4]))
        after = min(after, _furthest(one[:, 4:], other[:, 4:]))
    return Measured(moved == 0 and after > 0, f"later items move earlier states by {moved:.2g}, later by {after:.1g}")


def h_of_a_two_cycle() -> Measured:
    """h of the 2-cycle of weight 1/2 is 2 cosh(1/4) - 2, -log(1 - 1/16) and 1/32 in its three forms, and 0 of a DAG."""
    cycle, dag = torch.tensor([[0.0, 0.5], [0.5, 0.0]]), torch.tensor([[0.0, 0.0], [0.5, 0.0]])
    wanted = {"exponential": 2 * np.cosh(0.25) - 2, "log_determinant": -np.log1p(-1 / 16), "polynomial": 1 / 32}
    found = {name: float(FORMS[name].value_and_gradient(cycle.double())[0]) for name in wanted}
    trained, of_dag = float(truncated_exponential(cycle)), float(truncated_exponential(dag))
    right = all(np.isclose(found[name], wanted[name]) for name in wanted) and of_dag == 0
    right &= bool(np.isclose(trained, wanted["exponential"], rtol=1e-4))
    said = ", ".join(f"{found[name]:.4f} for {wanted[name]:.4f}" for name in wanted)
    return Measured(right, f"{said}; in the loss {trained:.4f}; of a DAG {of_dag:g}")


def cycles_are_cut_at_the_weakest_edge() -> Measured:
    """A 2-cycle of 0.9 and 0.4 is no DAG; cut, its edge of 0.9 is left alone."""
    W = np.array([[0.0, 0.9], [0.4, 0.0]])
    dag, removed = threshold_to_dag(W)
    left = dag[dag != 0].tolist()
    seen = not bool(is_acyclic(torch.from_numpy(W)))
    words = f"cycle {'' if seen else 'not '}seen; {int(removed)} edge cut, left {' and '.join(map(str, left))}"
    return Measured(seen and left == [0.9] and int(removed) == 1, words)


@torch.no_grad()
def layernorm_stands_on_v() -> Measured:
    """The rows of V have variance 1 to 1e-4; those of Z, which attention averages, have less."""
    model = _causalrec()
    items = _histories()[:1]
    block = cast(Block, model.blocks[0])
    v = block.exogenous(block.attention_norm(model.embed(items)[1])).var(-1, correction=0)
    z = model.graph(items).z_bld.var(-1, correction=0)[:, 1:].mean()
    return Measured(
        _furthest(v, torch.ones_like(v)) < 1e-4 and float(z) < 0.9,
        f"variance of V {float(v.min()):.3f} to {float(v.max()):.3f}, of Z after the first row {float(z):.3f}",
    )


def the_fit_does_not_drain_z() -> Measured:
    """L_fit sends gradient into W, and none into the values that Z is mixed from; with stop off it does."""
    said = {}
    for stop in (True, False):
        model = _causalrec(stop=stop, delta=0.0)
        model.graph(_histories()).fit_b.mean().backward()  # type: ignore[no-untyped-call]
        into = (cast(Block, model.blocks[0]).value.weight.grad, model.discovery.effect.weight.grad)
        said[stop] = [0.0 if grad is None else float(grad.abs().max()) for grad in into]
    holds = said[True][0] == 0 < min(said[True][1], said[False][0])
    return Measured(holds, f"largest gradient in W_v {said[True][0]:.2g} (stop off: {said[False][0]:.2g})")


def the_multiplier_rule_by_hand() -> Measured:
    """From gamma 0 and rho 1, h = 0.5, 0.4 and 0.05 lead to gamma 0.5, 0.9 and 1.4 and to rho 1, 10 and 10."""
    state, course = Lagrangian(), []
    for h in (0.5, 0.4, 0.05):
        state = state.update(h)
        course.append((round(float(state.gamma), 9), float(state.rho)))
    said = ", ".join(f"({gamma:g}, {rho:g})" for gamma, rho in course)
    return Measured(course == [(0.5, 1.0), (0.9, 10.0), (1.4, 10.0)], f"(gamma, rho): {said}")


def eqvar_recovers_a_known_scm() -> Measured:
    """From the exact covariance of 5 nodes, edge 3 -> 0 among them, EqVar finds B to 1e-9 and a causal order."""
    B = np.zeros((5, 5))
    for effect, cause, weight in ((0, 3, 1.5), (1, 0, -0.8), (4, 0, 0.7), (4, 3, 1.1), (2, 4, -1.3)):
        B[effect, cause] = weight
    scm = LinearSCM(B, np.ones(5))
    fits = load("eqvar").fit(Problems(scm.covariance[None]), np.random.default_rng(0))
    error = float(np.abs(fits.W[0] - B).max())
    accuracy = None if fits.order is None else order_accuracy(B != 0, fits.order[0])
    return Measured(error < 1e-9 and accuracy == 1, f"largest error of W {error:.2g}, order accuracy {accuracy}")


def shd_by_hand() -> Measured:
    """Of a graph of 4 edges: SHD to itself 0, to its reversal 4 (8 where that counts twice), to no edge 4."""
    B = np.zeros((4, 4), dtype=bool)
    B[[1, 2, 3, 3], [0, 0, 1, 2]] = True
    found = [int(d) for d in (shd(B, B), shd(B, B.T), shd(B, B.T, reversal_cost=2), shd(B, np.zeros_like(B)))]
    return Measured(found == [0, 4, 8, 4], f"{', '.join(map(str, found))} for 0, 4, 8, 4")


def _constant(scores: Tensor) -> Callable[[Sequences, slice], Tensor]:
    """A scorer that gives every user the same scores (items,)."""
    return lambda _, rows: scores.expand(rows.stop - rows.start, -1)


def _asked(scores: Tensor, negatives: int | None = None) -> Ranks:
    """Ranks of 20 users who have seen items 1 and 2 and whose target is item 3."""
    split = leave_one_out(from_rows([[1, 2, 3]] * 20, num_items=ITEMS))
    return rank_targets(_constant(scores), split.test, negatives=negatives, generator=np.random.default_rng(0))


def constant_scores_earn_no_hit() -> Measured:
    """Under constant scores the target of 12 items has rank 6.5, so that nobody has a hit among the first 5."""
    rank = _asked(torch.zeros(ITEMS)).kept
    return Measured(bool((rank == 6.5).all()), f"rank {rank.mean():g}, HR@5 {hit_rate(rank, 5).mean():g}")


def ndcg_by_hand() -> Measured:
    """NDCG@10 of ranks 1, 3 and 11 is 1, 1/2 and 0: there is one relevant item, so the ideal is 1."""
    found = ndcg(np.array([1.0, 3.0, 11.0]))
    return Measured(bool(np.allclose(found, [1, 0.5, 0])), ", ".join(f"{value:.3f}" for value in found))


def seen_items_leave_the_ranking() -> Measured:
    """A target below its user's two seen items and above all else has rank 3, and 1 where what is seen is filtered."""
    ranks = _asked(-torch.arange(float(ITEMS)))
    kept, filtered = float(ranks.kept.mean()), float(ranks.filtered.mean())
    return Measured((kept, filtered) == (3, 1), f"rank {kept:g} with what is seen, {filtered:g} without")


def negatives_are_others() -> Measured:
    """A target above all unseen items is first among sampled ones; no loss draws a row's target, nor BCE its inputs."""
    sampled = _asked(-torch.arange(float(ITEMS)), negatives=9).sampled
    rank = 0.0 if sampled is None else float(sampled.mean())
    target = torch.arange(200) % 3
    others = draw_others(target, 3, 4, _rng())
    row = torch.tensor([[1, 2, 3]])
    unseen = draw_unseen(row, row + 1, 6, 50, _rng()) + 1
    own, inside = int((others == target[:, None]).sum()), int((unseen <= 4).sum())
    words = f"mean rank {rank:g}; {own} of 800 draws are the target, {inside} of 150 in the row"
    return Measured(rank == 1 and not own and not inside, words)


def what_is_tested_is_not_trained() -> Measured:
    """30 users end on an item met nowhere else: popularity, fitted to the training rows, has HR@1 = 0 on it."""
    rows = [[1 + (user + step) % (ITEMS - 1) for step in range(5)] + [ITEMS] for user in range(30)]
    split = leave_one_out(from_rows(rows, num_items=ITEMS))
    ranks = rank_targets(Popularity(split.train), split.test)
    hits, counted = float(hit_rate(ranks.kept, 1).mean()), int((split.train.items == ITEMS).sum())
    return Measured(hits == 0 and counted == 0, f"HR@1 {hits:g}; the test item is {counted} times in training")


def a_leak_is_refused() -> Measured:
    """`check_leaks` lets a leave-one-out split pass, and refuses it once training rows go on to the test item."""
    sequences = from_rows([[1, 2, 3, 4], [5, 6, 7, 8]], num_items=ITEMS)
    split = leave_one_out(sequences)
    check_leaks(split, sequences)
    try:
        check_leaks(replace(split, train=sequences), sequences)
    except LeakError as error:
        return Measured(True, f"refused: {error}")
    return Measured(False, "a split that trains on the test item passed")


def test_items_steer_nothing() -> Measured:
    """Training with other test items gives the same validation scores, epoch by epoch, and the same weights."""

    def fitted(shift: int) -> tuple[list[float], Tensor]:
        rows = [[1 + (user + step) % ITEMS for step in range(5)] for user in range(24)]
        split = leave_one_out(from_rows([[*row[:-1], 1 + (row[-1] + shift) % ITEMS] for row in rows], num_items=ITEMS))
        net, options = _sasrec(), TrainingOptions(epochs=2, batch=24, learning_rate=0.01, patience=2)
        progress = train(net, split, options, shuffle=np.random.default_rng(0), dropout=_rng())
        return [epoch["validation"] for epoch in progress.trace], net.item.weight.detach()

    (scores, weights), (others, moved) = fitted(0), fitted(5)
    said = "; ".join(", ".join(f"{value:.4f}" for value in part) for part in (scores, others))
    return Measured(scores == others and torch.equal(weights, moved), f"validation NDCG@10 by epoch: {said}")


CHECKS: tuple[Check, ...] = (
    alpha_zero_is_sasrec, the_cause_is_the_column, the_past_does_not_see_the_future, h_of_a_two_cycle,
    cycles_are_cut_at_the_weakest_edge, layernorm_stands_on_v, the_fit_does_not_drain_z, the_multiplier_rule_by_hand,
    eqvar_recovers_a_known_scm, shd_by_hand, constant_scores_earn_no_hit, ndcg_by_hand, seen_items_leave_the_ranking,
    negatives_are_others, what_is_tested_is_not_trained, a_leak_is_refused, test_items_steer_nothing,
)  # fmt: skip
