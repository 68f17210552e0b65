"""What the end of a task says about its cells, and that each cell has one record, whatever happens to tasks."""

import itertools
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from harness_tools import sound_records
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_tasks import DONE, End, ScriptedScheduler, drive, record_of, run_scripted, tiny_cells

from bench.config.cell import Cell
from bench.errors import BenchError
from bench.execute.cluster.scheduler import JobState
from bench.execute.cluster.task_folder import Job, TaskFolder, TaskFolders, TaskRequest
from bench.execute.watcher import Watcher
from bench.store.file import Store
from bench.store.journal import Journal
from bench.store.record import Record


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


class Notes(Watcher):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.left: list[int] = []

    def note(self, text: str) -> None:
        self.texts.append(text)

    def processes_left(self, processes: int) -> None:
        self.left.append(processes)


def first_then_done(*ends: End) -> ScriptedScheduler:
    """The first tasks end as ``ends`` say, all others well."""
    left = iter(ends)
    return ScriptedScheduler(lambda _: next(left, DONE))


def by_id(results: Path) -> dict[str, Record]:
    """The records by id; asserts that none is there twice."""
    records = sound_records(results)
    assert len({record.id for record in records}) == len(records)
    return {record.id: record for record in records}


def assert_all_ok(results: Path, cells: Sequence[Cell]) -> None:
    records = by_id(results)
    assert set(records) == {cell.id for cell in cells}
    assert {record.status for record in records.values()} == {"ok"}


def request_for(cells: Sequence[Cell]) -> TaskRequest:
    return TaskRequest(
        suite="tiny",
        cells=tuple(cells),
        command=("sid-bench",),
        data_root=None,
        download=False,
        timeout_seconds=60,
        memory_limit_bytes=None,
        pin=False,
        preload=(),
        retries=0,
        frontier=True,
    )


def test_cells_are_divided_into_tasks_and_their_records_merged(results: Path) -> None:
    cells, scheduler, notes = tiny_cells(10), ScriptedScheduler(), Notes()
    summary = drive(cells, results, scheduler, notes)
    assert [len(task) for _, task in scheduler.submitted] == [4, 4, 2]
    assert_all_ok(results, cells)
    assert (summary.statuses, summary.stored_before, notes.left[-1]) == ({"ok": 10}, 0, 0)
    assert not TaskFolders(results).path.exists()
    again = drive(cells, results, scheduler)
    assert (again.statuses, again.stored_before, len(scheduler.submitted)) == ({}, 10, 3)


def test_a_scheduler_without_a_queue_gets_one_task_at_a_time(results: Path) -> None:
    cells, scheduler = tiny_cells(6), ScriptedScheduler(capacity=1)
    waiting: list[int] = []
    folders = TaskFolders(results)
    scheduler.script = lambda _: waiting.append(len(folders.existing())) or DONE  # type: ignore[func-returns-value]
    drive(cells, results, scheduler, cells_per_task=2)
    assert waiting == [1, 1, 1]
    assert_all_ok(results, cells)


@pytest.mark.parametrize(
    "end",
    [End("CANCELLED", measured=1), End("COMPLETED", measured=1, outcome="stopped", message="SIGTERM")],
    ids=["cancelled", "sent a signal"],
)
def test_a_task_that_somebody_ends_leaves_its_cells_to_the_next_run(results: Path, end: End) -> None:
    cells, scheduler = tiny_cells(6), first_then_done(end)
    with pytest.raises(BenchError, match=rf"not measured: 2 cells of tiny \(2: job 1 ended as {end.state}\)"):
        drive(cells, results, scheduler, cells_per_task=3)
    assert len(by_id(results)) == 4, "the other task goes on"
    drive(cells, results, scheduler, cells_per_task=3)
    assert_all_ok(results, cells)
    assert [len(task) for _, task in scheduler.submitted] == [3, 3, 2]


def test_a_task_that_makes_room_for_another_job_is_submitted_again(results: Path) -> None:
    cells = tiny_cells(3)
    scheduler = first_then_done(*[End("PREEMPTED", measured=0)] * 5)
    drive(cells, results, scheduler)
    assert_all_ok(results, cells)
    assert len(scheduler.submitted) == 6, "that says nothing about a cell, however often it happens"


def test_the_time_limit_is_the_fault_of_a_cell_that_had_all_of_it(results: Path) -> None:
    cells = tiny_cells(3)
    scheduler = first_then_done(End("TIMEOUT", measured=1), End("TIMEOUT", measured=0))
    drive(cells, results, scheduler)
    records = by_id(results)
    assert [records[cell.id].status for cell in cells] == ["ok", "timeout", "ok"]
    assert records[cells[1].id].message == "job 2 ended as TIMEOUT: its time limit of 60 min"
    assert [len(task) for _, task in scheduler.submitted] == [3, 2, 1]


def test_a_task_that_is_told_of_its_time_limit_is_as_one_that_reached_it(results: Path) -> None:
    cells = tiny_cells(2)
    scheduler = first_then_done(End("FAILED", measured=0, outcome="stopped", message="SIGUSR1"))
    drive(cells, results, scheduler)
    assert [by_id(results)[cell.id].status for cell in cells] == ["timeout", "ok"]


def test_out_of_memory_is_a_record_and_larger_cells_are_skipped(results: Path) -> None:
    cells = [*tiny_cells(1), *tiny_cells(1, batch_size=512)]
    drive(cells, results, first_then_done(End("OUT_OF_MEMORY", measured=0)))
    assert [by_id(results)[cell.id].status for cell in cells] == ["oom", "skipped"]


def test_cells_that_were_timed_together_get_a_task_each_to_find_out_which_it_was(results: Path) -> None:
    group = [tiny_cells(1, passes=["latency"], method=method)[0] for method in ("bp", "sid-streamed", "sid-vectorised")]

    def script(cells: Sequence[Cell]) -> End:
        guilty = any(cell.method == "sid-vectorised" for cell in cells)
        return End("OUT_OF_MEMORY", measured=0, running=len(cells)) if guilty else DONE

    scheduler = ScriptedScheduler(script)
    drive(group, results, scheduler)
    assert [by_id(results)[cell.id].status for cell in group] == ["ok", "ok", "oom"]
    assert [len(task) for _, task in scheduler.submitted] == [3, 1, 1, 1]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_cell_whose_tasks_end_again_and_again_has_crashed(results: Path, retries: int) -> None:
    cells = tiny_cells(3)
    guilty = cells[1]

    def script(task: Sequence[Cell]) -> End:
        return End("FAILED", measured=task.index(guilty)) if guilty in task else DONE

    scheduler = ScriptedScheduler(script)
    drive(cells, results, scheduler, retries=retries)
    records = by_id(results)
    assert [records[cell.id].status for cell in cells] == ["ok", "crashed", "ok"]
    job = retries + 1
    assert records[guilty.id].message == f"job {job} ended as FAILED; what {job} printed"
    assert records[guilty.id].attempts == retries + 1
    assert len(scheduler.submitted) == retries + 2


def test_a_job_that_the_scheduler_has_forgotten_has_ended(results: Path) -> None:
    cells = tiny_cells(2)
    scheduler = first_then_done(End("FAILED", measured=1))
    scheduler.cancel = lambda _: None  # type: ignore[method-assign]
    answers = scheduler.states
    scheduler.states = lambda jobs: answers(set(jobs) - {"1"})  # type: ignore[method-assign]
    drive(cells, results, scheduler, retries=1)
    assert_all_ok(results, cells)


def test_a_scheduler_that_does_not_answer_is_asked_again(results: Path) -> None:
    cells, notes = tiny_cells(2), Notes()
    scheduler = first_then_done(End("PREEMPTED", measured=1))
    scheduler.silent = 3
    drive(cells, results, scheduler, notes)
    assert_all_ok(results, cells)
    assert notes.texts.count("the scheduler does not answer; tasks go on, and it is asked again") == 1


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (End("FAILED", measured=0, running=0), "job 1 ended as FAILED; what 1 printed before it began a cell"),
        (End(measured=0, running=0, outcome="refused", message="dataset = 'mnist' is not there"), "dataset = 'mnist'"),
    ],
    ids=["setup", "data"],
)
def test_a_task_that_cannot_begin_records_nothing_and_says_why(results: Path, end: End, reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        drive(tiny_cells(2), results, ScriptedScheduler(lambda _: end))
    assert not results.exists()


def test_tasks_that_wait_say_what_for(results: Path) -> None:
    notes, scheduler = Notes(), first_then_done(End("RUNNING", measured=0, running=0))
    answers = iter([{"1": JobState("PENDING", "ReqNodeNotAvail")}, {"1": JobState("PREEMPTED")}])
    scheduler.states = lambda _: next(answers, {})  # type: ignore[method-assign]
    drive(tiny_cells(1), results, scheduler, notes)
    assert notes.texts == ["1 task waiting: ReqNodeNotAvail"]
    assert len(by_id(results)) == 1


def test_an_error_cancels_the_tasks_and_stores_what_they_have_measured(results: Path) -> None:
    cells = tiny_cells(4)
    scheduler = ScriptedScheduler(lambda _: End("RUNNING", measured=1))
    notes = Notes()

    def interrupt(_left: int) -> None:
        raise KeyboardInterrupt

    notes.processes_left = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        drive(cells, results, scheduler, notes, cells_per_task=2)
    assert scheduler.cancelled == {"1", "2"}
    assert len(by_id(results)) == 2
    assert not TaskFolders(results).path.exists()


def leave_task(
    results: Path, cells: Sequence[Cell], end: End, job: str = "9", executor: str = "scripted"
) -> TaskFolder:
    """A task of a driver that was killed."""
    (folder,) = TaskFolders(results).make([(request_for(cells), {})])
    folder.write_job(Job(executor=executor, id=job))
    run_scripted(folder, request_for(cells), end)
    return folder


def test_the_next_driver_stores_what_tasks_have_measured_since_the_last_was_killed(results: Path) -> None:
    cells, scheduler = tiny_cells(5), ScriptedScheduler()
    leave_task(results, cells[:3], End("FAILED", measured=2))
    drive(cells, results, scheduler)
    assert_all_ok(results, cells)
    assert [task for _, task in scheduler.submitted] == [cells[2:]]
    assert not TaskFolders(results).path.exists()


def test_the_next_driver_waits_for_tasks_that_still_run(results: Path) -> None:
    cells, scheduler, notes = tiny_cells(5), ScriptedScheduler(), Notes()
    folder = leave_task(results, cells[:3], End("RUNNING", measured=1))
    scheduler.ended["9"] = JobState("RUNNING")
    answers = scheduler.states

    def states(jobs: object) -> object:
        if scheduler.submitted:  # the rest was submitted while it ran
            run_scripted(folder, request_for(cells[1:3]), DONE)
        return answers(jobs)  # type: ignore[arg-type]

    scheduler.states = states  # type: ignore[method-assign, assignment]
    drive(cells, results, scheduler, notes)
    assert_all_ok(results, cells)
    assert [task for _, task in scheduler.submitted] == [cells[3:]]
    assert notes.texts == ["waiting for 1 task of an earlier run"]


def test_what_was_measured_elsewhere_meanwhile_is_not_stored_again(results: Path) -> None:
    cells = tiny_cells(3)
    leave_task(results, cells, End("FAILED", measured=3))
    with Store(results) as store:  # a run on one machine, while nobody knew of the task
        store.append(record_of(cells[0]))
    drive(cells, results, ScriptedScheduler())
    assert_all_ok(results, cells)


def test_records_of_another_sweep_in_the_folders_are_kept(results: Path) -> None:
    cells = tiny_cells(4)
    leave_task(results, cells[:2], End("FAILED", measured=1))
    drive(cells[2:], results, ScriptedScheduler())
    assert set(by_id(results)) == {cells[0].id, cells[2].id, cells[3].id}


def test_a_task_of_another_executor_that_may_run_is_refused(results: Path) -> None:
    folder = leave_task(results, tiny_cells(1), End("RUNNING", measured=0), executor="slurm")
    with pytest.raises(BenchError, match=rf"{folder.path} is a task of --executor slurm .*; legal: --executor slurm"):
        drive(tiny_cells(1), results, ScriptedScheduler())


def test_a_task_whose_request_cannot_be_read_is_named(results: Path) -> None:
    folder = leave_task(results, tiny_cells(1), End("FAILED", measured=0))
    (folder.path / "request.json").write_text('{"suite": "of a newer version"}')
    with pytest.raises(BenchError, match=r"request.json is not a request of this version of sid-bench"):
        drive(tiny_cells(1), results, ScriptedScheduler())


def test_failed_cells_are_measured_again_where_that_is_asked_for(results: Path) -> None:
    cells = tiny_cells(3)
    with Store(results) as store:
        store.append(record_of(cells[0]))
        store.append(record_of(cells[1], "crashed", "killed"))
    scheduler = ScriptedScheduler()
    drive(cells, results, scheduler, retry_failed=True)
    assert [task for _, task in scheduler.submitted] == [cells[1:]]
    assert [record.status for record in sound_records(results)] == ["ok", "crashed", "ok", "ok"]


def test_what_tasks_have_measured_of_unfinished_cells_goes_to_the_next_task(results: Path) -> None:
    cells = tiny_cells(1, passes=["latency"], processes=3)
    entry = {"status": "ok", "environment": {}, "seconds": 1.0}
    handed: list[list[dict[str, object]]] = []

    def script(task: Sequence[Cell]) -> End:
        folder = TaskFolders(results).existing()[-1]
        journal = Journal(folder.records, ())
        handed.append(list(journal.entries.get(task[0].id, [])))
        if len(handed) == 3:
            return DONE
        journal.append(task[0].id, entry)
        return End("PREEMPTED", measured=0)

    drive(cells, results, ScriptedScheduler(script))
    assert handed == [[], [entry], [entry, entry]]
    assert_all_ok(results, cells)
    assert not results.with_name(f"{results.name}.unfinished").exists()


def test_a_second_driver_on_the_file_is_refused(results: Path) -> None:
    with Store(results), pytest.raises(BenchError, match="is being written by another sid-bench run"):
        drive(tiny_cells(1), results, ScriptedScheduler())


ENDS = st.builds(
    End,
    state=st.sampled_from(
        ["CANCELLED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT", "DEADLINE", "COMPLETED"]
    ),
    measured=st.integers(0, 4),
    running=st.integers(0, 3),
    outcome=st.sampled_from([None, None, "stopped"]),
    message=st.sampled_from(["SIGTERM", "SIGUSR1"]),
)


@settings(deadline=None)
@given(
    ends=st.lists(ENDS, max_size=8),
    cells=st.integers(1, 7),
    per_task=st.integers(1, 5),
    kill=st.integers(0, 6),
    cleans_up=st.booleans(),
)
@pytest.mark.long
def test_every_cell_has_one_record_whatever_happens_to_tasks_and_drivers(
    ends: list[End], cells: int, per_task: int, kill: int, cleans_up: bool
) -> None:
    """The driver ends after some looks, with time to clean up or without; the next ones go on until nothing is left."""
    todo = tiny_cells(cells)
    left = iter(ends)
    scheduler = ScriptedScheduler(lambda _: next(left, DONE))
    looks = itertools.count()

    class Killed(BaseException):
        pass

    def cancel(_jobs: object) -> None:
        if not cleans_up:
            raise Killed

    scheduler.cancel = cancel  # type: ignore[method-assign, assignment]

    class Watch(Watcher):
        def processes_left(self, _processes: int) -> None:
            if next(looks) == kill:
                raise Killed

    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.jsonl"
        for _ in range(len(ends) + 3):
            with suppress(BenchError, Killed):
                drive(todo, results, scheduler, Watch(), per_task, retries=1, frontier=False)
        records = by_id(results)
        assert set(records) == {cell.id for cell in todo}
        blamed = [record for record in records.values() if record.status != "ok"]
        assert len(blamed) <= len(ends)
        assert not TaskFolders(results).path.exists()
