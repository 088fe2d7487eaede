"""The calibration error, by hand and as a property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.calibration import BINS, bin_pairs, calibration_error
from synth.errors import InputError


def test_the_error_by_hand():
    """Two at 0.25 of which one is true, one at 1 that is false: (|0.5 − 1| + |1 − 0|) / 3."""
    binned = bin_pairs([0.25, 0.25, 1.0], [True, False, False])
    assert binned[:, 2].tolist() == [2.0, 0.5, 1.0]
    assert binned[:, 9].tolist() == [1.0, 1.0, 0.0]
    assert calibration_error(binned) == pytest.approx(0.5)


def test_half_of_those_at_one_half_is_no_error_and_no_pair_has_none():
    assert calibration_error(bin_pairs([0.5, 0.5], [True, False])) == 0
    assert np.isnan(calibration_error(bin_pairs([], [])))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_every_pair_is_in_one_bin_and_the_error_is_a_share(pairs):
    p, true = (np.array(side) for side in zip(*pairs, strict=True))
    binned = bin_pairs(p, true)
    assert binned.shape == (3, BINS)
    assert binned.sum(1) == pytest.approx([len(p), p.sum(), true.sum()])
    assert (binned[2] <= binned[0]).all()
    assert abs(p.mean() - true.mean()) - 1e-9 <= calibration_error(binned) <= 1 + 1e-9


@pytest.mark.parametrize(("p", "true"), [([0.5], [True, False]), ([1.5], [True]), ([np.nan], [True])])
def test_what_is_no_probability_is_refused(p, true):
    with pytest.raises(InputError, match="expected"):
        bin_pairs(p, true)
