import numpy as np
import pytest

from synth.behaviour import draw_world
from synth.behaviour_controls import lift, onehot_regression
from synth.errors import InputError
from synth.scoring import edge_auprc, orientation_accuracy, parent_is_row_maximum


def test_lift_by_hand():
    # Pairs within 2 steps (cause, effect): 1-2, 1-1, 2-1 and 1-2. Padding is no token.
    scores = lift([[0, 1, 2, 1], [0, 0, 1, 2]], num_items=3, horizon=2)
    expected = np.ones((3, 3))
    expected[1, 0] = (2 + 1) / (2 * 3 / 4 + 1)
    expected[0, 0] = (1 + 1) / (2 * 3 / 4 + 1)
    expected[0, 1] = (1 + 1) / (2 * 1 / 4 + 1)
    expected[1, 1] = (0 + 1) / (2 * 1 / 4 + 1)
    np.testing.assert_allclose(scores, expected)


def test_onehot_regression_is_ridge_least_squares_with_a_free_intercept():
    items, decay, ridge = np.random.default_rng(0).integers(1, 5, (30, 6)), 0.5, 2.0
    rows, targets = [], []
    for sequence in items:
        for t in range(1, 6):
            past = np.zeros(4)
            for age in range(min(3, t)):
                past[sequence[t - 1 - age] - 1] += decay**age
            rows.append(past)
            targets.append(np.eye(4)[sequence[t] - 1])
    X, Y = np.array(rows), np.array(targets)
    # An intercept without penalty: append a column of ones that the ridge rows leave out.
    steps, penalty = np.pad(X, ((0, 0), (0, 1)), constant_values=1), np.sqrt(ridge) * np.eye(4, 5)
    weights = np.linalg.lstsq(np.vstack([steps, penalty]), np.vstack([Y, np.zeros((4, 4))]), rcond=None)[0][:4]
    np.testing.assert_allclose(onehot_regression(items, 4, 3, decay, ridge), weights.T, atol=1e-12)


@pytest.mark.parametrize("control", [lift, onehot_regression])
def test_padding_and_users_out_of_order_change_nothing(control):
    items = np.random.default_rng(0).integers(1, 9, (20, 7))
    padded = np.pad(items[::-1], ((0, 0), (5, 0)))
    np.testing.assert_allclose(control(items, 10), control(padded, 10), atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_controls_find_the_edges_until_order_and_users_are_lost(seed):
    rng = np.random.default_rng(seed)
    world = draw_world(rng)
    behaviour = world.sample(rng, 3000, 40)
    base_rate = world.graph.sum() / 9900

    scores = lift(behaviour.items, 100)
    assert edge_auprc(world.graph, scores) > 0.7
    assert orientation_accuracy(world.graph, scores) > 0.95
    regression = onehot_regression(behaviour.items, 100)
    assert edge_auprc(world.graph, regression) > 0.95
    assert orientation_accuracy(world.graph, regression) > 0.99
    assert parent_is_row_maximum(world.graph, regression) > 0.95

    # Without an order, co-occurrence within users is left: it still finds pairs, but lift cannot turn them.
    untimed = lift(rng.permuted(behaviour.items, axis=1), 100)
    assert 10 * base_rate < edge_auprc(world.graph, untimed) < 0.4
    assert orientation_accuracy(world.graph, untimed) == pytest.approx(0.5, abs=0.2)

    dealt = rng.permuted(behaviour.items, axis=0)
    assert edge_auprc(world.graph, lift(dealt, 100)) < 2 * base_rate
    assert edge_auprc(world.graph, onehot_regression(dealt, 100)) < 4 * base_rate


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lift([[1, 4]], 3), "expected .users, length. of 0..3"),
        (lambda: lift([[1.0, 2.0]], 3), "items: got float64"),
        (lambda: lift([[1], [2]], 3), "2 tokens or more"),
        (lambda: lift([[1, 2]], 3, horizon=0), "horizon 0"),
        (lambda: onehot_regression([[1, 2]], 3, decay=0), "decay 0"),
        (lambda: onehot_regression([[1, 2]], 3, ridge=0), "ridge: got 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
