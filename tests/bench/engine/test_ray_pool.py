"""Cells on Ray: what the local engine guarantees, on a Ray of two workers of this machine; skipped without Ray."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from bench.cells.fingerprint import ROOT
from bench.cells.store import Store
from bench.engine.ray_pool import RayPool, _Actor, _death
from bench.engine.run import Event, make_pool, run_cells
from bench.engine.workers import THREAD_VARIABLES
from bench.errors import InputError
from tests.bench.engine.test_run import content
from tests.bench.toy_cells import execute, toy

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")


@pytest.fixture(scope="module")
def pool() -> Iterator[RayPool]:
    with RayPool() as opened:
        yield opened


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def run(cells, store, pool, jobs=2, **more):
    return run_cells(cells, store, execute, jobs, pool=pool, **more)


@needs_ray
@pytest.mark.slow
def test_records_are_those_of_the_local_engine_and_are_found_again(store, pool, tmp_path):
    kinds = ["draw"] * 6 + ["refuse", "leave", "exhaust", "nan", "nothing"]
    cells = [toy(number, kind=kind) for number, kind in enumerate(kinds)]
    here = Store(tmp_path / "here")
    run_cells(cells, here, execute, 2)
    summary = run(cells, store, pool)
    assert (len(summary.done), len(summary.failed)) == (6, 5)
    assert content(store) == content(here)
    told = [{cell.key: place.get(cell).error["message"] for cell in cells[6:]} for place in (store, here)]
    assert told[0] == told[1]
    events: list[Event] = []
    assert len(run(cells[:6], store, pool, on_event=events.append).cached) == 6
    assert {event.status for event in events} == {"cached"}


@needs_ray
@pytest.mark.slow
def test_a_cell_that_kills_its_worker_costs_itself_alone_and_a_timeout_is_recorded(store, capfd):
    events: list[Event] = []
    deadly, slow = toy(17, kind="die"), toy(18, kind="sleep", seconds=60.0, timeout=0.5)
    cells = [deadly, slow, *(toy(number) for number in range(10))]
    with RayPool() as inner:  # which turns stdout away anew: pytest has put another in its place since `pool` did
        summary = run(cells, store, inner, on_event=events.append)
        time.sleep(1.0)  # Ray tells of a dead worker when it pleases
    assert (len(summary.done), set(summary.failed)) == (10, {deadly, slow})
    died, stopped = store.get(deadly), store.get(slow)
    assert (died.status, died.error["type"], died.error["traceback"]) == ("failed", "WorkerDied", "")
    assert died.error["message"].startswith("worker died (")
    assert " 2 times" in died.error["message"]
    assert (stopped.status, stopped.error["type"]) == ("timed_out", "Timeout")
    assert 0.5 <= stopped.wall_s < 30
    assert sum(event.status == "started" for event in events) == 13
    out, err = capfd.readouterr()
    assert out == ""
    assert "A worker died" in err


@needs_ray
@pytest.mark.slow
def test_a_crash_that_does_not_repeat_leaves_a_result(store, pool, tmp_path):
    cell = toy(1, kind="die_once", mark=str(tmp_path / "mark"))
    assert run([cell], store, pool).done == [cell]


@needs_ray
@pytest.mark.slow
def test_threads_are_each_cells_own_and_workers_stay_warm(store, pool):
    cells = [toy(number, kind="threads", threads=number) for number in (1, 2)]
    warm = [toy(number, kind="pid") for number in (3, 4)]
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    run([*cells, *warm], store, pool, jobs=1)
    assert [store.get(cell).metrics["threads"] for cell in cells] == [1, 2]
    first, second = (store.get(cell).metrics["pid"] for cell in warm)
    assert first == second != os.getpid()
    assert {name: os.environ.get(name) for name in THREAD_VARIABLES} == before


@needs_ray
@pytest.mark.slow
def test_what_workers_cannot_do_ends_the_run_with_a_typed_error(store, pool):
    with pytest.raises(InputError, match=r"workers cannot import .*lambda"):
        run_cells([toy(1)], store, lambda cell: cell, pool=pool)
    cell = toy(1)
    vars(cell)["key"] = "0" * 64
    with pytest.raises(InputError, match=r"sources of bench\.cells\.unit changed during the run"):
        run([cell], store, pool)
    with pytest.raises(InputError, match="memory is watched for workers of this machine only"):
        run([toy(2)], store, pool, memory_mb=400)
    assert list(store.records()) == []
    assert [path.name for path in store.folder.iterdir()] == ["records"]


@needs_ray
@pytest.mark.slow
def test_real_cells_give_the_document_of_the_local_engine(tmp_path):
    """Whole commands, each in a process of its own; nothing but the document on stdout."""
    told = []
    for engine in ("local", "ray"):
        words = ["run", "mixing", "--preset", "smoke", "--jobs", "2", "--json", "--out", engine, "--engine", engine]
        done = subprocess.run(
            [sys.executable, ROOT / "cli.py", *words], cwd=tmp_path, capture_output=True, check=True, timeout=300
        )
        told.append(done.stdout)
    assert told[0] == told[1]


@needs_ray
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_records_and_no_process(tmp_path):
    words = ["run", "mixing", "--preset", "smoke", "--jobs", "1", "--out", "runs", "--engine", "ray"]
    program = "import signal, cli; signal.signal(signal.SIGINT, signal.default_int_handler); cli.main()"
    started = subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    records = tmp_path / "runs" / "records"
    until = time.monotonic() + 120
    while not list(records.glob("??/*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (130, b"")
    assert b"interrupted; what has finished is kept" in err
    assert 0 < len(list(Store(records.parent).records())) < 36


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"--engine ray needs Ray .*pip install -c constraints\.txt -e '\.\[ray\]'"):
        make_pool("ray")


@pytest.mark.parametrize("address", ["", "nonsense", "ray://host:10001", "host:", "host:port", "a b:1"])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(InputError, match="give HOST:PORT, or auto"):
        make_pool("ray", address)


@needs_ray
def test_an_address_where_nobody_answers_is_a_typed_error(store):
    with RayPool("127.0.0.1:1") as opened, pytest.raises(InputError, match=r"no Ray cluster at '127.* \(Connection"):
        opened.default_jobs("cpu")


def test_a_worker_that_does_not_see_the_results_folder_says_so(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    proof = store.folder / "proof"
    what, _, line = _Actor().start(execute, store.folder, proof, tmp_path)
    assert what == "broken"
    assert "give an --out that all machines share" in line
    what, _, line = _Actor().start(execute, store.folder, proof, tmp_path / "none")
    assert what == "broken"
    assert "No such file or directory" in line
    proof.touch()
    assert _Actor().start(execute, store.folder, proof, tmp_path) == ("ready", 0.0, "")


def test_a_death_is_told_on_one_short_line():
    said = "Died.\n\tpid: 3\nWorker exit type: X Worker exit detail: End of\nfile. Some common causes include: (1) a"
    assert _death(RuntimeError(said)) == "End of file"
    assert _death(RuntimeError("one\n\ttwo " + "x" * 900)) == "one two " + "x" * 292


def test_importing_the_engine_does_not_import_ray():
    code = "import sys, bench.engine.run; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
