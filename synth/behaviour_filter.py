"""The exact filter of a behaviour world: what caused each observed step, and so what will cause the next.

Let q_t(tau) be the probability, given the items up to step t, that the event tau caused step t, and Q_t its sum. With
p = `persistence` and the weights a_tau of the candidates, the next causal step has the cause tau with probability

    prior(tau) = p q_t(tau) + (1 - p Q_t) a_tau,

and seeing its item s turns that into q_{t+1}(tau) by Bayes' rule, in proportion to r prior(tau) G[s, s_tau], against
(1 - r) m[s] for no cause. As far as the weights of one step are those of the next and the entries of G that are not 0
are alike, the first step of this has prior(tau) in proportion to a_tau (1 + alpha R_tau), where R_tau says that s_tau
is a cause of the latest item: to boost attention by R is Bayes' rule in such a world.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.graphs import Indices

if TYPE_CHECKING:
    from synth.behaviour import BehaviourWorld

Floats = NDArray[np.float64]


def law_of_next_cause(world: "BehaviourWorld", tokens: Indices, exogenous: Floats) -> tuple[Floats, Floats]:
    """Return what each event is likely to be to the step after the last, given everything that was observed.

    Args:
        world: the law of behaviour.
        tokens: (rows, 2, horizon + L) int64, observed items [:, 0] and hidden events [:, 1], `horizon` columns of
            padding before the L steps.
        exogenous: (rows, I), the exogenous law m of each row.

    Returns:
        The probability of each event to be the cause of the next step if that is causal, in the shape of `tokens`, and
        the probability of each row (rows,) that it is causal.
    """
    G = np.pad(world.transition, ((1, 0), (1, 0)))
    m = np.pad(exogenous, ((0, 0), (1, 0)))
    caused = np.zeros(tokens.shape)
    for t in range(world.horizon, tokens.shape[2]):
        prior, share = _prior(world, tokens[:, :, :t], caused[:, :, :t])
        item = tokens[:, 0, t]
        by_cause = (1 - world.forced_share) * world.causal_share * prior * G[item[:, None, None], tokens[:, :, :t]]
        by_none = (1 - world.forced_share) * (1 - share) * m[np.arange(len(m)), item]
        by_force = world.forced_share * (item == world.forced_item)
        evidence = by_cause.sum(axis=(1, 2)) + by_none + by_force
        caused[:, :, :t] = by_cause / np.where(evidence > 0, evidence, 1.0)[:, None, None]
    return _prior(world, tokens, caused)


def _prior(world: "BehaviourWorld", tokens: Indices, caused: Floats) -> tuple[Floats, Floats]:
    """Return the law of the next cause and the probability of one, by what `caused` the last step (q_t)."""
    window = tokens[:, :, -world.horizon :]
    weights = world.pointing_law(window.reshape(len(window), -1)).reshape(window.shape)
    prior = world.persistence * caused
    # Rounding may bring a sum to just above 1.
    stays = np.minimum(prior.sum(axis=(1, 2)), 1.0)
    prior[:, :, -world.horizon :] += (1 - stays)[:, None, None] * weights
    return prior, world.causal_share * np.where(weights.any(axis=(1, 2)), 1.0, stays)
