"""Item sequences of users, generated from an item-level SCM, with known truth at item level and at position level.

Items are 1..I and 0 is padding. G[i, j] = P(child i | parent j): row = effect, column = cause. The candidates of a step
are those of the last `horizon` tokens whose item has children, weighted a_tau by decay^age. With probability
`causal_share` the step points to one of them and draws its item from that parent's column of G; otherwise, and where
there is no candidate, it draws from the user's exogenous law m. If there is a candidate,
E[x_t | past] = (1 - r) m + r sum_tau a_tau G x_tau: linear in the one-hot tokens.

At `persistence` p = 0 the pointer is drawn anew at each step, so which events caused the past says nothing about the
next item once a_tau is known: no graph R of them, not even the true one, can improve a ranking by a_tau. That is the
negative control. At p > 0 a cause goes on acting: with probability p the next step, if causal, has the same cause, of
whatever age, as the step before it (a phone, then its cable, then its case). What caused the last step is then worth
knowing. That is the positive control; `synth.behaviour_filter` has the exact law and what Bayes' rule makes of it.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synth.behaviour_filter import law_of_next_cause
from synth.errors import InputError
from synth.graphs import Adjacency, Indices

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Behaviour:
    """Sequences and what caused them.

    Args:
        items: (users, length) int64 in 1..I.
        pointers: (users, length) int64, the earlier position whose item caused this one; -1 if none did or it was
            hidden.
        hidden: (users, length) int64, the unobserved event at the same time as the position, I + 1.., 0 if there was
            none; no model may see it.
        segments: (users,) int64.
    """

    items: Indices
    pointers: Indices
    hidden: Indices
    segments: Indices

    @property
    def relation(self) -> Adjacency:
        """Truth at position level, (users, length, length) bool: [u, t, tau] says that tau caused t."""
        return np.asarray(self.pointers[:, :, None] == np.arange(self.items.shape[1]))


@dataclass(frozen=True, eq=False)
class BehaviourWorld:
    """The law of behaviour, as the top of this file explains; `draw_world` draws one.

    Args:
        children: (1 + I + hidden, most children) int64: the items that each parent item causes, 0 where there are
            fewer. Row 0 is padding, rows above I are hidden parents.
        child_law: the probabilities of these children, float64, of the same shape.
        popularity: (I,), the common part of m.
        segment_laws: (segments, I), the part of m that differs by segment.
        confounding: share of the segment's law in m, 0 to 1.
        causal_share: r, the probability that a step points to a candidate, 0 to 1.
        decay: factor of a candidate's weight per step of age, above 0 to 1.
        horizon: number of tokens back that a new cause can lie, at least 1.
        hidden_rate: probability per position that a hidden parent occurs.
        persistence: p, the probability that a step, if causal, has the cause of the step before it where that had one;
            0 to 1, default 0.
        forced_item: item that interventions force, 0 (default) for none.
        forced_share: share of all steps that it takes, whatever the past; default 0.
    """

    children: Indices
    child_law: Floats
    popularity: Floats
    segment_laws: Floats
    confounding: float
    causal_share: float
    decay: float
    horizon: int
    hidden_rate: float
    persistence: float = 0.0
    forced_item: int = 0
    forced_share: float = 0.0

    @property
    def num_items(self) -> int:
        """The number of items that can be observed, I."""
        return len(self.popularity)

    @cached_property
    def transition(self) -> Floats:
        """G, (I, I + hidden): [i, j] is the probability that item i + 1 follows when a step points to item j + 1."""
        G = np.zeros((self.num_items + 1, len(self.children)))
        np.add.at(G, (self.children, np.arange(len(self.children))[:, None]), self.child_law)
        return G[1:, 1:]

    @property
    def graph(self) -> Adjacency:
        """Truth at item level, (I, I) bool: [i, j] says that item j + 1 causes item i + 1. Hidden parents are left out.
        """
        return np.asarray(self.transition[:, : self.num_items] > 0)

    @property
    def exogenous_law(self) -> Floats:
        """m by segment, (segments, I): (1 - confounding) popularity + confounding segment law."""
        return (1 - self.confounding) * self.popularity + self.confounding * self.segment_laws

    def cut_effects(self, item: int) -> "BehaviourWorld":
        """Return the world in which an item no longer causes anything.

        Args:
            item: 1..I.

        Raises:
            InputError: an unknown item.
        """
        self._check_item(item)
        child_law = self.child_law.copy()
        child_law[item] = 0
        return replace(self, child_law=child_law)

    def force(self, item: int, share: float) -> "BehaviourWorld":
        """Return the world under do(item occurs with probability `share` at each step, whatever the past).

        This is graph surgery: every cause of the item is cut and the laws that lose it are normalised again (a parent
        with no other child loses its effect); the item keeps its own effects.

        Args:
            item: 1..I.
            share: probability, 0 to below 1.

        Raises:
            InputError: an unknown item or a share out of range.
        """
        self._check_item(item)
        _require(0 <= share < 1, f"share: got {share}; expected a probability below 1.")
        without = np.arange(1, self.num_items + 1) != item
        return replace(
            self,
            child_law=_normalise(np.where(self.children == item, 0.0, self.child_law)),
            popularity=_normalise(self.popularity * without),
            segment_laws=_normalise(self.segment_laws * without),
            forced_item=item,
            forced_share=share,
        )

    def shifted(self, rng: np.random.Generator) -> "BehaviourWorld":
        """Return the world with popularity and each segment's law in a new random order of the items, all else kept.

        Args:
            rng: source of randomness.

        Raises:
            InputError: an item is forced; shift first, then force.
        """
        _require(not self.forced_item, f"shifted: item {self.forced_item} is forced; shift first, then force.")
        return replace(
            self,
            popularity=rng.permutation(self.popularity),
            segment_laws=rng.permuted(self.segment_laws, axis=1),
        )

    def sample(self, rng: np.random.Generator, users: int, length: int) -> Behaviour:
        """Draw sequences, vectorised over users.

        Every step uses the same random numbers whatever happens in it. So a world and the same world under an
        intervention, sampled from equal generators, differ only where the intervention has an effect.

        Args:
            rng: source of randomness.
            users: number of sequences, at least 1.
            length: tokens per sequence, at least 1.

        Raises:
            InputError: no users or no tokens.
        """
        _require(users >= 1 and length >= 1, f"sample: got {users} users, length {length}; expected at least 1 each.")
        past = self.horizon
        segments = rng.integers(len(self.segment_laws), size=users)
        # Position t is in column past + t; the columns before are padding.
        items, hidden = np.zeros((2, users, past + length), dtype=np.int64)
        pointers = np.full((users, length), -1, dtype=np.int64)
        last_parent = np.zeros(users, dtype=np.int64)  # that of the step before, 0 if it had none
        exogenous_cdf = (np.cumsum(self.exogenous_law, axis=1) + np.arange(len(self.segment_laws))[:, None]).ravel()
        hidden_items = len(self.children) - 1 - self.num_items

        for t in range(length):
            u_forced, u_causal, u_cause, u_child, u_exogenous, u_event, u_hidden = rng.random((7, users))
            window = np.concatenate([items[:, t : t + past], hidden[:, t : t + past]], axis=1)
            weights = self.pointing_law(window)
            forced = u_forced < self.forced_share
            persists = (last_parent > 0) & (u_cause < self.persistence)
            causal = (u_causal < self.causal_share) & (persists | weights.any(axis=1)) & ~forced
            # Where a cause could have persisted, what is left of u_cause is uniform on [p, 1).
            anew = (last_parent > 0) & ~persists
            u_cause[anew] = (u_cause[anew] - self.persistence) / (1 - self.persistence)

            cause = _pick(weights[causal], u_cause[causal])
            parent = np.where(persists[causal], last_parent[causal], window[causal, cause])
            child = self.children[parent, _pick(self.child_law[parent], u_child[causal])]
            exogenous = np.searchsorted(exogenous_cdf, segments + u_exogenous, side="right")
            exogenous = np.clip(exogenous - segments * self.num_items, 0, self.num_items - 1) + 1

            items[:, past + t] = np.where(forced, self.forced_item, exogenous)
            items[causal, past + t] = child
            new_pointer = np.where(cause < past, t - past + cause, -1)
            pointers[causal, t] = np.where(persists[causal], pointers[causal, t - 1], new_pointer)
            last_parent = np.zeros(users, dtype=np.int64)
            last_parent[causal] = parent
            event = u_event < self.hidden_rate
            hidden[:, past + t] = np.where(event, self.num_items + 1 + (u_hidden * hidden_items).astype(np.int64), 0)
        return Behaviour(items[:, past:].copy(), pointers, hidden[:, past:].copy(), segments)

    def step_distribution(
        self, history: ArrayLike, segments: ArrayLike, hidden: ArrayLike | None = None
    ) -> Floats:
        """Return the exact E[x_t | past], (rows, I): the law of the token that follows each history.

        Args:
            history: (rows, L) items, left-padded with 0, the latest last; with persistence, all since the first step.
            segments: (rows,) segment of each history.
            hidden: (rows, L) as in `Behaviour`, needed only if the world has hidden parents; None (default) says that
                none occurred.

        Raises:
            InputError: an array that does not fit this world.
        """
        past = self._check_history(history, self.num_items)
        silent = np.zeros_like(past) if hidden is None else self._check_history(hidden, len(self.children) - 1)
        groups = np.asarray(segments)
        _require(
            groups.shape == past.shape[:1] and bool(((groups >= 0) & (groups < len(self.segment_laws))).all()),
            f"segments: got shape {groups.shape}; expected one of 0..{len(self.segment_laws) - 1} for each history.",
        )
        _require(silent.shape == past.shape, f"hidden: got shape {silent.shape}; expected {past.shape} as history.")
        if not self.persistence:  # older tokens then say nothing
            past, silent = past[:, -self.horizon :], silent[:, -self.horizon :]
        tokens = np.pad(np.stack([past, silent], axis=1), ((0, 0), (0, 0), (self.horizon, 0)))
        exogenous = self.exogenous_law[groups]
        weights, share = law_of_next_cause(self, tokens, exogenous)
        flat = np.arange(len(past))[:, None, None, None] * (self.num_items + 1) + self.children[tokens]
        caused = np.bincount(
            flat.ravel(),
            weights=(weights[..., None] * self.child_law[tokens]).ravel(),
            minlength=len(past) * (self.num_items + 1),
        ).reshape(len(past), -1)[:, 1:]
        law: Floats = (1 - self.forced_share) * ((1 - share)[:, None] * exogenous + self.causal_share * caused)
        if self.forced_item:
            law[:, self.forced_item - 1] += self.forced_share
        return law

    def best_ranking_scores(
        self, history: ArrayLike, segments: ArrayLike, hidden: ArrayLike | None = None
    ) -> Floats:
        """Score the items so that no model can do better on average: (rows, I + 1), column 0 (padding) below all
        others.

        Scores are the probabilities of `step_distribution`; ranking by them is best for HR@k, NDCG@k and MRR over the
        full catalogue. In a world with hidden parents this bound needs `hidden`.

        Args:
            history: (rows, L) items, left-padded with 0, the latest last.
            segments: (rows,) segment of each history.
            hidden: (rows, L) as in `Behaviour`; default None.
        """
        law = self.step_distribution(history, segments, hidden)
        return np.concatenate([np.full((len(law), 1), -1.0), law], axis=1)

    def pointing_law(self, window: Indices) -> Floats:
        """Return the weights a_tau of the candidates, (rows, 2 horizon); all 0 in a row without any.

        Args:
            window: (rows, 2 horizon) the last `horizon` observed, then as many hidden tokens, 0 for none.
        """
        by_age = self.decay ** np.arange(self.horizon - 1, -1, -1)
        has_children = np.asarray(self.child_law.any(axis=1))
        return _normalise(has_children[window] * np.tile(by_age, 2))

    def _check_history(self, history: ArrayLike, highest: int) -> Indices:
        s = np.asarray(history)
        _require(s.ndim == 2 and s.dtype.kind in "iu", f"history: got {s.dtype} {s.shape}; expected int64 (rows, L).")
        _require(
            s.size == 0 or (s.min() >= 0 and s.max() <= highest),
            f"history: got items outside 0..{highest}; 0 is padding and this world has no others.",
        )
        return s.astype(np.int64)

    def _check_item(self, item: int) -> None:
        _require(1 <= item <= self.num_items, f"item: got {item}; expected one of 1..{self.num_items}.")


def draw_world(
    rng: np.random.Generator,
    items: int = 100,
    *,
    parents: float = 0.45,
    fan_out: tuple[int, int] = (2, 3),
    concentration: float = 5.0,
    zipf: float = 1.0,
    segments: int = 4,
    confounding: float = 0.3,
    causal_share: float = 0.7,
    decay: float = 0.5,
    horizon: int = 5,
    hidden_parents: int = 0,
    hidden_rate: float = 0.2,
    persistence: float = 0.0,
) -> BehaviourWorld:
    """Draw a world over a random DAG order of the items.

    Args:
        rng: source of randomness.
        items: number of items I, default 100.
        parents: share of items that cause others, default 0.45.
        fan_out: fewest and most children of a parent, from 2, default (2, 3); drawn uniformly among later items.
        concentration: Dirichlet parameter of each column of G, above 0, default 5.
        zipf: exponent of popularity and of each segment's law, each over its own random order; at least 0, default 1.
        segments: number of segments, at least 1, default 4.
        confounding: share of the segment's law in the exogenous law, default 0.3.
        causal_share: r, the probability that a step points to a candidate, default 0.7.
        decay: factor of a candidate's weight per step of age, above 0 to 1, default 0.5.
        horizon: number of tokens back that a new cause can lie, at least 1, default 5.
        hidden_parents: number of further parents that act but are never observed, with children drawn among all items;
            default 0.
        hidden_rate: probability per position that one of them, drawn uniformly, occurs; default 0.2.
        persistence: p, the probability that a step, if causal, has the cause of the step before it; default 0.

    Raises:
        InputError: an option out of range.
    """
    fewest, most = fan_out
    num_parents = round(parents * items)
    _require(2 <= fewest <= most, f"fan_out: got {fan_out}; expected (fewest, most) with 2 <= fewest <= most.")
    _require(
        0 <= parents <= 1 and num_parents <= items - most,
        f"parents: got {parents} of {items} items; at most {items - most} items have {most} later ones to cause.",
    )
    shares = {"confounding": confounding, "causal_share": causal_share, "hidden_rate": hidden_rate}
    for name, share in {**shares, "persistence": persistence}.items():
        _require(0 <= share <= 1, f"{name}: got {share}; expected a share from 0 to 1.")
    _require(0 < decay <= 1, f"decay: got {decay}; expected a number above 0, at most 1.")
    _require(concentration > 0 and zipf >= 0, f"got concentration {concentration}, zipf {zipf}; expected > 0 and >= 0.")
    _require(
        segments >= 1 and horizon >= 1 and hidden_parents >= 0,
        f"got segments {segments}, horizon {horizon}, hidden_parents {hidden_parents}; expected >= 1, >= 1, >= 0.",
    )

    order = rng.permutation(items) + 1
    places = np.sort(rng.choice(items - most, num_parents, replace=False))
    children = np.zeros((1 + items + hidden_parents, most), dtype=np.int64)
    child_law = np.zeros(children.shape)
    families = [(int(order[place]), order[place + 1 :]) for place in places]
    families += [(items + 1 + k, order) for k in range(hidden_parents)]
    for parent, eligible in families:
        size = rng.integers(fewest, most + 1)
        children[parent, :size] = rng.choice(eligible, size, replace=False)
        child_law[parent, :size] = rng.dirichlet(np.full(size, concentration))

    by_rank = _normalise(np.arange(1, items + 1) ** -float(zipf))
    laws = np.stack([by_rank[rng.permutation(items)] for _ in range(1 + segments)])
    return BehaviourWorld(
        children, child_law, laws[0], laws[1:], confounding, causal_share, decay, horizon,
        hidden_rate if hidden_parents else 0.0, persistence,
    )  # fmt: skip


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


def _normalise(weights: ArrayLike) -> Floats:
    """Scale the last axis to sum 1 where it does not sum to 0."""
    w = np.asarray(weights, dtype=np.float64)
    total = w.sum(axis=-1, keepdims=True)
    return np.asarray(w / np.where(total > 0, total, 1.0))


def _pick(weights: Floats, uniform: Floats) -> Indices:
    """Draw one column per row of `weights` (rows, k) by inverting the cumulated weights; column 0 of a row of zeros."""
    cumulated = np.cumsum(weights, axis=1)
    # Rounding may raise uniform * total to the total itself, beyond the last column; hence at most one step below it.
    mark = np.minimum(uniform * cumulated[:, -1], np.nextafter(cumulated[:, -1], 0))
    return np.asarray((cumulated > mark[:, None]).argmax(axis=1))
