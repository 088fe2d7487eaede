"""The timing of engines: the run that it calls bare keeps no record, and times are of what they say."""

from bench.dev import speed_engine


def test_the_bare_run_writes_no_record_and_the_other_one_each(monkeypatch):
    kept = []

    def counted(cells, store, *more, **named):
        summary = run_cells(cells, store, *more, **named)
        kept.append(len(list(store.records())))
        return summary

    run_cells = speed_engine.run_cells
    monkeypatch.setattr(speed_engine, "run_cells", counted)
    spent = [speed_engine.ours(6, 0.05, 2, execute) for execute in (speed_engine.nap, speed_engine.nap_unrecorded)]
    assert kept == [6, 0]
    assert all(one.cell >= 0.02 for one in spent)
    assert all(one.start > 0 for one in spent)


def test_the_records_alone_take_time():
    assert speed_engine.records(5, 2).cell > 0
