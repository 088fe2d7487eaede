import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cells.files import StoreError
from bench.cells.fingerprint import ROOT
from bench.cells.record import Record
from bench.cells.store import Store
from bench.engine import run as engine
from bench.engine.local import LocalPool
from bench.engine.run import Event, RunSummary, run_cells
from bench.engine.workers import THREAD_VARIABLES
from bench.errors import InputError
from tests.bench.toy_cells import execute, toy


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def run(cells, store, jobs=2, **more):
    return run_cells(cells, store, execute, jobs, **more)


def content(store: Store) -> dict:
    """All records and arrays, times apart."""
    return {
        record.key: (
            record.status, record.cell, record.metrics, record.arrays_sha256,
            {name: array.tobytes() for name, array in store.arrays(record).items()},
        )
        for record in store.records()
    }  # fmt: skip


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_told(mark: Path) -> int:
    """What a worker writes there, once it has."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if mark.exists() and (told := mark.read_text()):
            return int(told)
        time.sleep(0.02)
    raise AssertionError(f"nothing in {mark}")


@given(order=st.permutations(range(8)), jobs=st.integers(1, 3), split=st.integers(0, 8))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_workers_and_interruption_leave_every_number_unchanged(tmp_path_factory, order, jobs, split):
    cells = [toy(number, root=5) for number in range(8)]
    straight, mixed = (Store(tmp_path_factory.mktemp("runs")) for _ in range(2))
    run(cells, straight, jobs=1)
    shuffled = [toy(number, root=5, cost=1.0 + number % 3) for number in order]
    run(shuffled[:split], mixed, jobs)
    summary = run(shuffled, mixed, jobs)
    assert (len(summary.done), len(summary.cached)) == (8 - split, split)
    assert content(mixed) == content(straight)
    assert len(content(mixed)) == 8


def test_of_forty_cells_one_that_kills_its_worker_costs_itself_alone(store):
    events: list[Event] = []
    cells = [toy(number, kind="die" if number == 17 else "draw") for number in range(40)]
    summary = run(cells, store, on_event=events.append)
    assert len(summary.done) == 39
    assert [cell.params["number"] for cell in summary.failed] == [17]
    record = store.get(cells[17])
    assert record.status == "failed"
    assert "worker died (SIGKILL) 2 times" in record.error["message"]
    assert sum(event.status == "started" for event in events) == 41


def test_a_crash_that_does_not_repeat_leaves_a_result(store, tmp_path):
    cell = toy(1, kind="die_once", mark=str(tmp_path / "mark"))
    assert run([cell], store).done == [cell]
    assert store.get(cell).ok


def test_a_cell_whose_worker_died_waits_for_a_worker_that_served_no_other(store, tmp_path):
    """Whatever kills two workers one after the other finds the cell in the first of them only."""
    first = [toy(number, kind="sleep", seconds=0.2, cost=99.0) for number in range(10)]
    crashing = toy(10, kind="die_once", mark=str(tmp_path / "mark"), cost=50.0)
    rest = [toy(number, kind="sleep", seconds=0.2) for number in range(11, 21)]
    served = []
    with LocalPool() as pool:

        def note(event: Event) -> None:
            if event.status == "started" and event.cell == crashing:
                served.extend(worker.served for worker in pool._workers if worker.cell == crashing and not worker.ended)

        summary = run([*first, crashing, *rest], store, on_event=note, pool=pool)
    assert (len(summary.done), summary.failed) == (21, [])
    assert served[0] > 0
    assert served[1:] == [0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_killed_between_two_cells_costs_nothing(store, tmp_path):
    mark = tmp_path / "pid"

    def kill_the_first(event: Event) -> None:
        if event.status == "ok" and event.cell.params["kind"] == "sleep":
            os.kill(int(mark.read_text()), signal.SIGKILL)
            while alive(int(mark.read_text())):
                time.sleep(0.01)

    cells = [toy(0, kind="sleep", seconds=0.01, mark=str(mark), cost=9.0), *(toy(number) for number in range(1, 6))]
    summary = run(cells, store, jobs=1, on_event=kill_the_first)
    assert len(summary.done) == 6
    assert not summary.failed


def test_a_worker_that_dies_after_writing_its_record_has_done_its_cell(store):
    cell, events = toy(1, kind="die"), []

    def write_its_record(event: Event) -> None:
        events.append(event.status)
        store.put(Record(cell.key, cell.fields, "ok"))

    assert run([cell], store, on_event=write_its_record).done == [cell]
    assert events == ["started", "ok"]


def test_workers_stay_warm_until_one_runs_out_of_memory(store):
    kinds = ["pid", "pid", "exhaust", "pid"]
    cells = [toy(number, kind=kind, cost=9.0 - number) for number, kind in enumerate(kinds)]
    run(cells, store, jobs=1)
    first, second, third = (store.get(cells[index]).metrics["pid"] for index in (0, 1, 3))
    assert first == second != third


def test_a_worker_that_ran_code_not_ours_serves_no_further_cell(store):
    told = [{"model": "peer.one"}, {}, {}, {"learner": "peer.two"}, {}]
    cells = [toy(number, kind="pid", cost=9.0 - number, **more) for number, more in enumerate(told)]
    run(cells, store, jobs=1)
    pids = [store.get(cell).metrics["pid"] for cell in cells]
    assert pids[1] == pids[2] == pids[3]
    assert len(set(pids)) == 3


def test_an_edited_module_of_the_users_ends_the_run(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "edited_by_a_user.py"
    module.write_text("def learn(X): ...\n")
    named = {"kind": "pid", "learner": "edited_by_a_user:learn"}
    identity = hashlib.sha256(module.read_bytes()).hexdigest()
    assert len(run([toy(1, identity=identity, **named)], store).done) == 1
    module.write_text("def learn(X): return 0\n")
    with pytest.raises(InputError, match="the source of edited_by_a_user:learn changed during the run; start it again"):
        run([toy(2, identity=identity, **named)], store)
    assert len(list(store.records())) == 1


def test_a_module_of_the_users_that_is_broken_by_now_fails_its_cell_by_its_own_words(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_by_a_user.py").write_text("def learn(X: ...\n")
    cell = toy(1, kind="own", learner="broken_by_a_user:learn", identity="0" * 64)
    assert run([cell], store).failed == [cell]
    assert "broken_by_a_user cannot be imported" in store.get(cell).error["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_stopped_cell_had_started_is_stopped_too(store, tmp_path):
    mark = tmp_path / "pid"
    assert len(run([toy(1, kind="child", mark=str(mark), timeout=1.0)], store).failed) == 1
    until = time.monotonic() + 5
    while alive(int(mark.read_text())) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(int(mark.read_text()))


def test_a_death_by_a_signal_without_a_name_is_the_cells_alone(store):
    deadly = toy(1, kind="real_time_signal")
    assert run([deadly, toy(2)], store).failed == [deadly]
    assert f"worker died (signal {signal.SIGRTMIN + 6}) 2 times" in store.get(deadly).error["message"]


def test_a_cell_that_leaves_no_file_to_open_costs_itself_alone(store):
    leaky = toy(1, kind="leak_files", cost=9.0)
    summary = run([leaky, toy(2), toy(3)], store, jobs=1)
    assert (len(summary.done), summary.failed) == (2, [leaky])
    error = store.get(leaky).error
    assert error["type"] == "Unrecorded"
    assert "could not write its record" in error["message"]
    assert "Too many open files" in error["message"]


def test_a_timeout_stops_its_cell_and_no_other(store):
    slow = toy(0, kind="sleep", seconds=60.0, timeout=0.3, cost=60.0)
    started = time.monotonic()
    summary = run([slow, *(toy(number) for number in range(1, 9))], store)
    assert time.monotonic() - started < 20
    assert summary.failed == [slow]
    assert len(summary.done) == 8
    record = store.get(slow)
    assert record.status == "timed_out"
    assert 0.3 <= record.wall_s < 5


def test_a_worker_that_holds_too_much_costs_its_cell_alone(store):
    greedy = toy(1, kind="hold", megabytes=600)
    summary = run([greedy, *(toy(number) for number in range(2, 6))], store, memory_mb=400)
    assert (len(summary.done), summary.failed) == (4, [greedy])
    record = store.get(greedy)
    assert record.status == "out_of_memory"
    assert re.fullmatch(r"stopped at \d{3,} MiB; the limit of a worker is 400 MiB", record.error["message"])
    assert run([greedy], store, memory_mb=4000).done == [greedy]


def test_memory_that_another_cell_left_is_not_held_against_a_cell(store):
    cells = [toy(1, kind="keep", megabytes=200, cost=9.0), toy(2, kind="hold", megabytes=200)]
    events: list[Event] = []
    summary = run(cells, store, jobs=1, memory_mb=400, on_event=events.append)
    assert (summary.done, summary.failed) == (cells, [])
    assert [event.status for event in events] == ["started", "ok", "started", "started", "ok"]


def test_a_cell_that_is_too_large_is_tried_again_once_by_a_worker_that_served_no_other(store, monkeypatch):
    monkeypatch.setattr(engine, "LOOK_S", 0.1)
    small = [toy(number, kind="sleep", seconds=0.3, cost=99.0 - number) for number in range(6)]
    greedy = toy(9, kind="hold", megabytes=600, cost=50.0)
    more = [toy(number, kind="sleep", seconds=0.3, cost=1.0) for number in range(10, 34)]
    events: list[Event] = []
    summary = run([*small, greedy, *more], store, jobs=3, memory_mb=400, on_event=events.append)
    assert (len(summary.done), summary.failed) == (30, [greedy])
    assert [event.status for event in events if event.cell == greedy] == ["started", "started", "out_of_memory"]


def test_a_dead_group_that_may_not_be_signalled_is_passed_over(store, monkeypatch):
    """As macOS has it."""

    def forbid(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", forbid)
    deadly = toy(1, kind="die")
    assert run([deadly, toy(2)], store).failed == [deadly]


def test_a_worker_left_full_serves_no_further_cell(store, monkeypatch):
    monkeypatch.setattr(engine, "LOOK_S", 60.0)  # not while a cell runs
    cells = [toy(1, kind="keep", megabytes=500, cost=9.0), toy(2, kind="pid"), toy(3, kind="pid")]
    assert run(cells, store, jobs=1, memory_mb=400).done == cells
    first, second, third = (store.get(cell).metrics["pid"] for cell in cells)
    assert first != second == third


@pytest.mark.parametrize(
    ("limit", "words"), [(0, "memory is 0 MiB; give a positive number"), (5, "MiB before its first cell; give it more")]
)
def test_a_memory_limit_under_which_nothing_runs_is_refused(store, limit, words):
    with pytest.raises(InputError, match=words):
        run([toy(1)], store, memory_mb=limit)


@pytest.mark.parametrize(
    ("kind", "status", "error", "words"),
    [
        ("refuse", "failed", "ValueError", "number 1 refused"), ("leave", "failed", "SystemExit", "3"),
        ("exhaust", "out_of_memory", "MemoryError", "no more"), ("nan", "failed", "InputError", "mean is nan"),
        ("nothing", "failed", "InputError", "returned a NoneType"),
    ],
)  # fmt: skip
def test_a_failure_is_a_record_with_its_traceback(store, kind, status, error, words, capfd):
    cells = [toy(1, kind=kind, cost=2.0), toy(2)]
    summary = run(cells, store, jobs=1)
    assert (summary.failed, summary.done) == ([cells[0]], [cells[1]])
    record = store.get(cells[0])
    assert (record.status, record.error["type"], record.metrics) == (status, error, {})
    assert words in record.error["message"]
    assert "Traceback" in record.error["traceback"]
    assert capfd.readouterr().out == ""


def test_failures_run_again_and_results_do_not(store):
    refused, drawn = toy(1, kind="refuse"), toy(2)
    assert run([refused, drawn], store, jobs=1).failed == [refused]
    events: list[Event] = []
    again = run([refused, drawn], store, jobs=1, on_event=events.append)
    assert (again.failed, again.cached) == ([refused], [drawn])
    assert [event.status for event in events] == ["cached", "started", "failed"]


def test_records_tell_times_memory_and_provenance(store):
    small, large = toy(1, kind="memory", megabytes=1), toy(2, kind="memory", megabytes=200, cost=2.0)
    run([small, large], store, jobs=1)
    if sys.platform == "linux":
        assert store.get(large).peak_memory_mb - store.get(small).peak_memory_mb > 150
    record = store.get(large)
    assert record.wall_s > 0
    assert record.cpu_s > 0
    assert {"commit", "dirty", "python", "numpy", "torch", "blas", "cpu", "gpu"} <= record.provenance.keys()


def test_threads_are_each_cells_own_and_the_environment_is_restored(store, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    cells = [toy(number, kind="threads", threads=number) for number in (1, 2)]
    run(cells, store, jobs=1)
    assert [store.get(cell).metrics["threads"] for cell in cells] == [1, 2]
    assert {name: os.environ.get(name) for name in THREAD_VARIABLES} == before


def test_the_longest_expected_runs_first_and_equal_cells_once(store):
    events: list[Event] = []
    cells = [toy(number, cost=float(cost)) for number, cost in enumerate([2, 5, 1, 4])]
    run(cells + cells, store, jobs=1, on_event=events.append)
    assert [event.cell.cost for event in events if event.status == "started"] == [5, 4, 2, 1]


def test_what_workers_cannot_import_is_a_typed_error(store, monkeypatch):
    with pytest.raises(InputError, match=r"workers cannot import .*lambda.*; give a function of a module"):
        run_cells([toy(1)], store, lambda cell: cell)
    ours_alone = ModuleType("tests.bench.none")
    exec("def execute(cell): pass", vars(ours_alone))
    monkeypatch.setitem(sys.modules, "tests.bench.none", ours_alone)
    with pytest.raises(InputError, match="a worker cannot start: ModuleNotFoundError: No module named"):
        run_cells([toy(1)], store, ours_alone.execute)


SUSPENDED = """
import sys
from bench.cells.store import Store
from bench.engine import run as engine
from tests.bench.toy_cells import execute, toy
if __name__ == "__main__":
    engine.ASLEEP_S = 0.5
    cell = toy(1, kind="rest", mark=sys.argv[2], timeout=4.0)
    engine.run_cells([cell], Store(sys.argv[1]), execute)
"""
UNGUARDED = """
import sys
from bench.cells.store import Store
from bench.engine.run import run_cells
from tests.bench.toy_cells import execute, toy
run_cells([toy(1)], Store(sys.argv[1]), execute)
"""


class Deadly(LocalPool):
    """Kills those of its workers, counted from 0, while they start."""

    how = signal.SIGKILL

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.numbers, self.started = numbers, 0

    def start(self, cell, execute, folder):
        worker = super().start(cell, execute, folder)
        if self.started in self.numbers:
            os.kill(worker.process.pid, self.how)
        self.started += 1
        return worker


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_killed_while_it_starts_is_followed_by_another(store, jobs):
    assert len(run([toy(number) for number in range(4)], store, jobs, pool=Deadly(0)).done) == 4


def test_two_workers_killed_while_starting_end_the_run(store):
    with pytest.raises(InputError, match=r"2 workers died while starting \(SIGKILL\); .* when memory runs out"):
        run([toy(1), toy(2), toy(3)], store, pool=Deadly(0, 1))
    assert list(store.records()) == []


def test_a_worker_that_gets_ready_excuses_one_that_did_not(store, tmp_path):
    dies, mark = Deadly(0, 2), str(tmp_path / "mark")
    assert len(run([toy(1, kind="die_once", mark=mark)], store, jobs=1, pool=dies).done) == 1
    assert dies.started == 4


def test_a_worker_that_hangs_while_it_starts_is_followed_by_another(store):
    class Hanging(Deadly):
        how = signal.SIGSTOP

        def start(self, cell, execute, folder):
            worker = super().start(cell, execute, folder)
            worker.start_s = 1.0 if self.started - 1 in self.numbers else 600.0
            return worker

    assert len(run([toy(1)], store, jobs=1, pool=Hanging(0)).done) == 1
    with pytest.raises(InputError, match=r"2 workers died while starting \(not ready after 1 s\)"):
        run([toy(2)], store, jobs=1, pool=Hanging(0, 1))


def test_workers_that_the_system_refuses_are_a_typed_error(store, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(LocalPool, "start", refuse)
    with pytest.raises(InputError, match=r"worker 1 cannot be started \(Too many open files\); give fewer --jobs"):
        run([toy(1)], store)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_time_in_which_the_run_was_suspended_is_no_cells(tmp_path):
    program, mark = tmp_path / "program.py", tmp_path / "mark"
    program.write_text(SUSPENDED)
    started = subprocess.Popen(
        [sys.executable, program, tmp_path / "runs", mark], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    group = [started.pid, pid_told(mark)]
    for how in (signal.SIGSTOP, signal.SIGCONT):
        for pid in group:
            os.kill(pid, how)
        time.sleep(4.0 if how == signal.SIGSTOP else 0.0)
    assert started.wait(60) == 0
    (record,) = Store(tmp_path / "runs").records()
    assert (record.status, record.wall_s > 4) == ("ok", True)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_z_suspends_the_workers_too_and_they_go_on(tmp_path):
    program, mark = tmp_path / "program.py", tmp_path / "mark"
    program.write_text(SUSPENDED)
    started = subprocess.Popen(
        [sys.executable, program, tmp_path / "runs", mark], env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )  # fmt: skip
    worker = pid_told(mark)
    os.killpg(started.pid, signal.SIGTSTP)
    time.sleep(4.0)
    states = [Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] for pid in (started.pid, worker)]
    os.killpg(started.pid, signal.SIGCONT)
    assert states == ["T", "T"]
    assert started.wait(60) == 0
    (record,) = Store(tmp_path / "runs").records()
    assert (record.status, record.wall_s > 4) == ("ok", True)


def test_a_script_without_its_guard_is_told_of_it(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, program, tmp_path / "runs"], env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 workers died while starting (exit code 1); a script that runs cells needs `if __name__" in done.stderr


def test_no_workers_at_all_is_refused(store):
    with pytest.raises(InputError, match="jobs is 0"):
        run_cells([toy(1)], store, execute, jobs=0)


def test_no_cell_is_started_after_the_time_that_is_given_and_one_that_runs_ends(store, monkeypatch):
    cells = [toy(number, cost=9.0 - number) for number in range(4)]
    assert run(cells, store, until=time.monotonic()) == RunSummary()
    seen, real = [], time.monotonic

    def told(event: Event) -> None:
        seen.append(event.status)
        monkeypatch.setattr(time, "monotonic", lambda: real() + 200.0)

    summary = run(cells, store, jobs=1, until=real() + 100.0, on_event=told)
    assert (summary.done, seen) == (cells[:1], ["started", "ok"])
    assert run(cells, store, jobs=1, until=real() + 1000.0) == RunSummary(cells[1:], cells[:1])


def test_a_record_that_cannot_be_written_ends_the_run(store):
    first, second = toy(1, cost=2.0), toy(2)

    def block(event: Event) -> None:
        if event.status == "started" and event.cell == second:
            (store.folder / "records" / second.key[:2]).write_text("a file where a folder should be")

    with pytest.raises(StoreError, match="choose another place"):
        run([first, second], store, jobs=1, on_event=block)
    assert store.get(first).ok


def test_sources_that_changed_during_the_run_end_it(store):
    cell = toy(1)
    vars(cell)["key"] = "0" * 64
    with pytest.raises(InputError, match=r"sources of bench\.cells\.unit changed during the run"):
        run([cell], store)
    assert list(store.records()) == []


PROGRAM = """
import signal
import sys
from bench.cells.store import Store
from bench.engine.run import run_cells
from tests.bench.toy_cells import execute, toy
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without
    folder, mark, seconds = sys.argv[1:]
    quick = [toy(number, cost=9.0) for number in range(4)]
    slow = [toy(9, kind="sleep", seconds=float(seconds), mark=mark)]
    run_cells(quick + slow, Store(folder), execute)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_run_leaves_no_worker_behind_and_resumes_to_the_same_numbers(tmp_path, how):
    program, mark = tmp_path / "program.py", tmp_path / "mark"
    program.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, program, tmp_path / "runs", mark, "60"], env=environment, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 120
    while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    worker = int(mark.read_text())
    assert alive(worker)
    parent.send_signal(how)
    _, err = parent.communicate(timeout=60)
    assert parent.returncode != 0
    assert (b"KeyboardInterrupt" in err) == (how == signal.SIGINT)
    until = time.monotonic() + 10
    while alive(worker) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(worker)

    cells = [toy(number) for number in range(4)] + [toy(9, kind="sleep", seconds=0.0, mark=str(mark))]
    resumed, straight = Store(tmp_path / "runs"), Store(tmp_path / "straight")
    summary = run(cells, resumed, jobs=1)
    assert (len(summary.cached), len(summary.done)) == (4, 1)
    run(cells, straight, jobs=2)
    assert content(resumed) == content(straight)
