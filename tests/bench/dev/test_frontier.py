"""The frontier of quality over CPU time: runs that are known are not done again, and every run is a point."""

import sys

import pytest

from bench.dev import frontier
from bench.dev.frontier import COLUMNS, OURS, THEIRS, Run, append, do, do_missing, draw, read
from bench.methods import rectools
from bench.methods.recommenders import ENTRIES
from causalrec.interactions import from_rows, leave_one_out
from causalrec.rivals.popularity import Popularity

SPLIT = leave_one_out(from_rows([[1 + (user + step) % 5 for step in range(8)] for user in range(16)], num_items=5))


def row(model="sasrec", by=OURS, budget="75", seed="0", cpu_s="70", ndcg10="0.1"):
    known = Run("ml-1m", model, by, budget, seed)._asdict()
    return dict.fromkeys(COLUMNS, "0.2") | known | {"epochs": "3", "cpu_s": cpu_s, "ndcg10_filtered": ndcg10}


def test_only_runs_without_a_row_are_done(tmp_path, monkeypatch):
    done, path = [], tmp_path / "new" / "frontier.csv"
    append(path, row())

    def fake(run, split):
        done.append(run)
        return row(**{name: getattr(run, name) for name in ("model", "by", "budget", "seed")})

    monkeypatch.setattr(frontier, "do", fake)
    runs = [Run("ml-1m", "sasrec", OURS, budget, seed) for seed in "01" for budget in ("75", "150")]
    do_missing(runs, SPLIT, path)
    assert done == runs[1:]
    do_missing(runs, SPLIT, path)
    assert done == runs[1:]
    assert len(read(path)) == 4
    assert read(path)[0] == row()


@pytest.mark.parametrize("by", [OURS, THEIRS])
def test_a_run_is_a_row_of_numbers(by, monkeypatch):
    asked = []

    def quality(split, model, options, training, budget, seed, quiet):
        asked.append((model, budget, seed))
        return {**frontier.measure(Popularity(split.train), split.test), "epochs": 3, "cpu_s": 6.5}

    def peer(name, split, options, training, seed):
        asked.append((name, training["epochs"], seed))
        assert {"length", "width", "layers", "heads", "dropout"} == options.keys()
        assert len(split.train.items) == len(split.test.history.items)  # trained on validation too
        return Popularity(split.train)

    monkeypatch.setattr(frontier, "quality", quality)
    monkeypatch.setattr(rectools, "RecTools", peer)
    found = do(Run("ml-1m", "sasrec", by, "7", "1"), SPLIT)
    assert asked == [("sasrec", 7.0, 1) if by == OURS else ("rectools_sasrec", 7, 1)]
    assert found["epochs"] == (3 if by == OURS else 7)
    assert tuple(sorted(found)) == tuple(sorted(COLUMNS))
    assert all(0 <= float(found[name]) <= 1 for name in COLUMNS[7:])


def test_every_run_is_a_point_of_its_curve_and_published_figures_are_levels():
    rows = [row(cpu_s="140", ndcg10="0.16"), row(cpu_s="70", ndcg10="0.15"), row(by=THEIRS, cpu_s="900", ndcg10="0.14")]
    (panel,) = draw("frontier", "ml-1m", rows).panels
    title = ENTRIES["sasrec"].title
    assert [(s.label, s.x, s.y) for s in panel.series] == [
        (f"{title}: {OURS}", (70.0, 140.0), (0.15, 0.16)),
        (f"{title}: {THEIRS}", (900.0,), (0.14,)),
    ]
    heights = [height for height, _ in panel.levels]
    assert heights == sorted(heights, reverse=True)
    assert 0.182 in heights
    assert 0.0948 not in heights  # of the temporal split
    assert 0.162 not in heights  # of BERT4Rec, which was not run


def test_the_figure_is_drawn_from_the_csv_alone(tmp_path, monkeypatch, capsys):
    path = tmp_path / "frontier-ml-1m.csv"
    append(path, row())
    monkeypatch.setattr(sys, "argv", ["frontier", "--draw", "--out", str(path)])
    frontier.main()
    assert {file.name for file in tmp_path.iterdir()} == {f"frontier-ml-1m.{kind}" for kind in ("csv", "svg", "png")}
    monkeypatch.setattr(sys, "argv", ["frontier", "--draw", "--out", str(path), "--data", "beauty"])
    with pytest.raises(SystemExit):
        frontier.main()
    assert "no run on beauty" in capsys.readouterr().err
