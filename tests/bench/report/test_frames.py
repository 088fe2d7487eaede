"""A run as DataFrames: what its file holds, by name."""

import pandas as pd
import pytest

import bench.report
from bench.errors import InputError
from bench.report.run_files import REFERENCE

QUICK = REFERENCE / "hour"


def test_a_run_has_its_verdicts_and_tables_as_data_frames():
    run = bench.report.load_run(QUICK)
    verdicts = run.verdicts
    assert list(verdicts) == ["claim", "kind", "verdict", "statement", "found"]
    assert verdicts["claim"].is_unique
    assert len(verdicts) == len(run.file.verdicts)
    assert verdicts["found"].str.len().gt(0).all()
    for name in run.tables:
        table = run.table(name)
        assert isinstance(table, pd.DataFrame)
        assert len(table) == len(run.file.tables[name].rows)
        for column in (column.removesuffix(" low") for column in table if column.endswith(" low")):
            bounded = table[table[f"{column} low"].notna()]
            assert (bounded[f"{column} low"] <= bounded[f"{column} high"]).all()


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="has no table 'x'; choose one of"):
        bench.report.load_run(QUICK).table("x")
    with pytest.raises(InputError, match="there is no such file"):
        bench.report.load_run(tmp_path)
    with pytest.raises(AttributeError, match="has no attribute 'load'; it offers Run, load_run"):
        bench.report.load  # noqa: B018
