"""Popularity and item-kNN by hand."""

import numpy as np
import pytest
import torch

from causalrec.errors import InputError
from causalrec.interactions import from_rows
from causalrec.rivals.item_knn import ItemKNN
from causalrec.rivals.popularity import Popularity

TRAIN = from_rows([[1, 2], [1, 2, 3], [1, 3], [4]], num_items=5)


def test_popularity_counts_training_actions():
    scores = Popularity(TRAIN)(TRAIN, slice(0, 2))
    assert scores.tolist() == [[3, 2, 2, 1, 0]] * 2


def test_item_knn_by_hand():
    knn = ItemKNN(TRAIN, neighbours=5, window=5, shrinkage=0.0)
    s12, s13, s23 = 2 / np.sqrt(6), 2 / np.sqrt(6), 1 / 2
    assert knn.similarity[:4, :4] == pytest.approx(
        np.array([[0, s12, s13, 0], [s12, 0, s23, 0], [s13, s23, 0, 0], [0, 0, 0, 0]]), abs=1e-6
    )
    history = from_rows([[1, 2]], num_items=5)
    assert knn(history, slice(0, 1))[0].tolist() == pytest.approx([s12, s12, s13 + s23, 0, 0], abs=1e-6)


def test_the_window_forgets_older_items():
    history = from_rows([[4, 1, 2]], num_items=5)
    one = ItemKNN(TRAIN, neighbours=5, window=1, shrinkage=0.0)(history, slice(0, 1))
    only_last = ItemKNN(TRAIN, neighbours=5, window=9, shrinkage=0.0)(from_rows([[2]], num_items=5), slice(0, 1))
    assert torch.equal(one, only_last)


def test_fewer_neighbours_keep_the_most_similar():
    knn = ItemKNN(TRAIN, neighbours=1, window=5, shrinkage=0.0)
    assert (knn.similarity[1] > 0).tolist() == [True, False, False, False, False]


def test_neighbours_below_one_are_refused():
    with pytest.raises(InputError, match="neighbours"):
        ItemKNN(TRAIN, neighbours=0)
