"""The public Python API: a notebook needs `import causalrec` and nothing else of this package."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import causalrec


def test_a_notebook_trains_ranks_and_learns_a_graph():
    rng = np.random.default_rng(0)
    sequences = causalrec.from_rows([(np.arange(6) + start) % 8 + 1 for start in rng.integers(8, size=30)], num_items=8)
    split = causalrec.leave_one_out(sequences)
    causalrec.check_leaks(split, sequences)

    draws = torch.Generator().manual_seed(0)
    small = {"items": 8, "length": 6, "width": 8, "heads": 1}
    options = causalrec.TrainingOptions(epochs=2, batch=16, patience=None)
    scorers = {"popularity": causalrec.Popularity(split.train)}
    for model in (
        causalrec.SASRec(causalrec.SASRecOptions(**small), draws),
        causalrec.CausalRec(causalrec.CausalRecOptions(**small, boost=causalrec.Boost("raw", alpha=0.5)), draws),
    ):
        progress = causalrec.train(model, split, options, shuffle=rng, dropout=draws)
        assert progress.epoch == 2
        scorers[type(model).__name__] = causalrec.make_scorer(model)
    for score in scorers.values():
        ranks = causalrec.rank_targets(score, split.test).kept
        assert causalrec.ndcg(ranks).shape == causalrec.hit_rate(ranks).shape == (30,)
    assert model.item_graph().shape == (8, 8)

    cause = rng.standard_normal(200)
    problems = causalrec.Problems.from_samples(np.stack([cause, 2 * cause + rng.standard_normal(200)], 1))
    fits = causalrec.load("eqvar").fit(problems, rng)
    assert np.argwhere(causalrec.threshold(fits.W[0])).tolist() == [[1, 0]]


def test_every_public_name_is_there():
    assert {"CausalRec", "SASRec", "EASE", "load", "train"} <= set(causalrec.__all__) <= set(dir(causalrec))
    for name in causalrec.__all__:
        assert getattr(causalrec, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Causalrec'; it offers"):
        causalrec.Causalrec  # noqa: B018


def test_reading_data_and_errors_needs_no_torch():
    code = "import sys, causalrec.errors, causalrec.interactions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
