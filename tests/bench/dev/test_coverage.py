"""Every interval covers what it says, by simulation; one that is too narrow is seen to be."""

import pytest

from bench.dev.coverage import SITUATIONS, Situation, coverage_table, measure
from bench.judge.intervals import t_interval
from bench.show.tables import to_text

# Least and most that each interval may cover of 2,000 draws; 95 % +- 1 % is what chance makes of 95 %.
BOUNDS = {
    "t": (0.93, 0.97),
    "Clopper-Pearson": (0.94, 1.0),
    "seeds and users crossed": (0.91, 0.98),  # three seeds that lead are the hardest
    "mean over datasets": (0.93, 0.98),
    "relative gain, crossed": (0.93, 1.0),  # users common to all seeds cancel, and the interval does not know
    "crossing of one half": (0.93, 1.0),  # the bounds it crosses are Clopper and Pearson's
    "sparse differences": (0.95, 1.0),
    "edges that share causes and effects": (0.94, 1.0),  # few hits have Poisson's interval
    "largest of several means": (0.94, 1.0),  # Bonferroni's
    "worlds added until decided": (0.94, 1.0),
}


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda s: f"{s.interval}, {s.data}")
def test_intervals_cover_what_is_true(situation):
    least, most = BOUNDS[situation.interval]
    assert least <= measure(situation).estimate <= most


def test_too_narrow_an_interval_is_seen():
    narrow = Situation("narrow", "5 values", 0.0, lambda rng: t_interval(rng.normal(size=5), level=0.8))
    assert measure(narrow, draws=500).below(0.9)


def test_the_table_repeats_and_has_a_row_for_each():
    table = coverage_table(SITUATIONS[:2], draws=20)
    assert table == coverage_table(SITUATIONS[:2], draws=20)
    assert table != coverage_table(SITUATIONS[:2], draws=20, root=1)
    assert [row[0] for row in table.rows] == ["t", "t"]
    assert "Share of 20 simulated data sets" in to_text(table)
