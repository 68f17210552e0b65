"""Cells that are timed together: which ones, in what order, and what becomes of one that fails or disturbs others."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness_tools import TINY, ScriptedExecutor, crash

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.sweep import Sweep
from bench.execute.executor import Executor
from bench.execute.groups import group_of, in_groups, untimed_passes
from bench.execute.messages import Answer
from bench.execute.run import run_sweep
from bench.execute.watcher import Summary, Watcher
from bench.store.file import Store, read_records
from bench.store.record import Record
from bench.store.sample import Sample

GROUP = ["bp", "sid-streamed", "sid-published"]
SAMPLE = Sample(blocks_seconds=[(1.01, 1.0, 1.0, 1.01), (1.0, 1.0, 1.0, 1.0)] * 5, loops=3, warm_up_steps=8)


def cell_of(method: str, **axes: Any) -> Cell:
    return make_cell(TINY | {"dataset": "random", "passes": ["latency"], "processes": 2, "method": method} | axes)


def timed(work_seconds: float | None = 0.5, **fields: Any) -> Answer:
    return Answer(status="ok", latency_sample=SAMPLE, work_seconds=work_seconds, **fields)


class Machine(ScriptedExecutor):
    """Times cells as ``answer`` says, which gets the cells and the number of the process.

    Attributes:
        processes: the methods that each process has timed, with the depth of the first of them and its number.
    """

    def __init__(self, answer: Callable[[Sequence[Cell], int], Answer]) -> None:
        super().__init__(lambda _: Answer(status="ok", work_seconds=0.1))
        self._answer = answer
        self.processes: list[tuple[list[str], int, int]] = []
        self.loops: list[int | None] = []

    def time(self, cells: Sequence[Cell], process: int, loops: int | None = None) -> Answer:
        self.processes.append(([cell.method for cell in cells], cells[0].depth, process))
        self.loops.append(loops)
        return self._answer(cells, process)


def all_timed(cells: Sequence[Cell], _process: int) -> Answer:
    return Answer(status="ok", members=tuple(timed() for _ in cells))


def sweep_of(
    executor: Executor, cells: list[Cell], results: Path, retries: int = 0, watcher: Watcher | None = None
) -> Summary:
    with Store(results) as store:
        return run_sweep(Sweep("suite", "", tuple(cells)), store, executor, watcher or Watcher(), retries=retries)


def records_by_method(results: Path) -> dict[str, Record]:
    records = read_records(results).records
    assert len({record.id for record in records}) == len(records)
    return {record.cell.method: record for record in records}


def blocks_of(record: Record) -> list[int]:
    assert record.latency is not None
    return record.latency.blocks_by_process


def test_cells_that_differ_in_their_methods_only_are_a_group() -> None:
    bp, sid = cell_of("bp"), cell_of("sid-streamed", alpha=0.3)
    others = [
        cell_of("bp", depth=4, modules=4),
        cell_of("bp", batch_size=4),
        cell_of("bp", seed=1),
        cell_of("bp", processes=3),
        cell_of("bp", latency_seconds=0.1),
        cell_of("bp", threads=1),
        cell_of("bp", optimizer="sgd"),
        cell_of("bp", width=4),
    ]
    assert group_of(bp) == group_of(sid) == group_of(cell_of("bp", recompute="modules"))
    assert group_of(bp) == group_of(cell_of("bp", passes=["memory", "latency"], micro_batches=2))
    assert len({group_of(bp), *map(group_of, others)}) == len(others) + 1
    ranks = [cell_of(method, ranks=2, modules=2) for method in ("sid-parallel", "sid-parallel")]
    assert group_of(ranks[0]) != group_of(cell_of("sid-parallel", modules=2))
    assert in_groups([bp, others[0], cell_of("bp", passes=["memory"]), sid]) == [[bp, sid], [others[0]]]
    assert untimed_passes(cell_of("bp", dataset="digits", passes=["accuracy", "latency", "memory"])) == (
        "memory",
        "accuracy",
    )


def test_the_first_process_of_every_group_runs_before_the_second_of_any(results: Path) -> None:
    cells = [cell_of(method, depth=depth, modules=1) for depth in (2, 4) for method in GROUP]
    machine = Machine(all_timed)
    summary = sweep_of(machine, cells, results)
    assert machine.processes == [(GROUP, depth, process) for process in (0, 1) for depth in (2, 4)]
    assert machine.loops == [None, None, 3, 3]
    assert summary.statuses == {"ok": 6}
    assert all(blocks_of(record) == [10, 10] for record in read_records(results).records)
    assert not results.with_name(f"{results.name}.unfinished").exists()


def test_untimed_passes_of_all_cells_run_before_any_process_that_times(results: Path) -> None:
    cells = [cell_of(method, passes=["memory", "latency"]) for method in GROUP]
    order = []

    class Ordered(Machine):
        def measure(self, cell: Cell) -> Answer:
            order.append(cell.method)
            return super().measure(cell)

        def time(self, cells: Sequence[Cell], process: int, loops: int | None = None) -> Answer:
            order.append("time")
            return super().time(cells, process, loops)

    sweep_of(Ordered(all_timed), cells, results)
    assert order == [*GROUP, "time", "time"]


def test_a_process_ends_before_the_cells_that_it_finishes(results: Path) -> None:
    told: list[str] = []

    class Teller(Watcher):
        def process_ends(self, _cells: Sequence[Cell], number: int | None) -> None:
            told.append(f"process {number}")

        def cell_ends(self, record: Record) -> None:
            told.append(record.cell.method)

    sweep_of(Machine(all_timed), [cell_of(method) for method in GROUP], results, watcher=Teller())
    assert told[-5:] == ["process 1", "process 2", *GROUP]


def test_a_member_that_fails_is_a_record_and_the_group_goes_on(results: Path) -> None:
    def answer(cells: Sequence[Cell], process: int) -> Answer:
        fails = {"sid-streamed": Answer(status="oom", message="no memory")} if process == 1 else {}
        return Answer(status="ok", members=tuple(fails.get(cell.method, timed()) for cell in cells))

    machine = Machine(answer)
    sweep_of(machine, [cell_of(method, processes=3) for method in GROUP], results, retries=1)
    found = records_by_method(results)
    assert (found["sid-streamed"].status, found["sid-streamed"].message) == ("oom", "process 2 of 3: no memory")
    assert blocks_of(found["bp"]) == blocks_of(found["sid-published"]) == [10, 10, 10]
    assert [methods for methods, _, _ in machine.processes] == [GROUP, GROUP, ["bp", "sid-published"]]


@pytest.mark.parametrize(("retries", "status", "attempts"), [(0, "crashed", 1), (1, "ok", 2)])
def test_a_member_that_crashes_is_tried_again_by_itself(
    results: Path, retries: int, status: str, attempts: int
) -> None:
    def answer(cells: Sequence[Cell], process: int) -> Answer:
        fails = {"sid-streamed": crash("boom")} if process == 0 and len(cells) > 1 else {}
        return Answer(status="ok", members=tuple(fails.get(cell.method, timed()) for cell in cells))

    machine = Machine(answer)
    summary = sweep_of(machine, [cell_of(method) for method in GROUP], results, retries)
    record = records_by_method(results)["sid-streamed"]
    assert (record.status, record.attempts, summary.retries) == (status, attempts, attempts - 1)
    assert "boom" in str(record.message)
    again = [(["sid-streamed"], 2, 0)] if retries else []
    rest = GROUP if retries else ["bp", "sid-published"]
    assert machine.processes == [(GROUP, 2, 0), *again, (rest, 2, 1)]


def test_a_process_that_dies_is_blamed_on_the_cell_that_also_kills_a_process_of_its_own(results: Path) -> None:
    def answer(cells: Sequence[Cell], process: int) -> Answer:
        if process == 1 and any(cell.method == "sid-streamed" for cell in cells):
            return crash()
        return all_timed(cells, process)

    machine = Machine(answer)
    sweep_of(machine, [cell_of(method, processes=3) for method in GROUP], results)
    found = records_by_method(results)
    assert found["sid-streamed"].status == "crashed"
    assert "process 2 of 3: killed by signal 11" in str(found["sid-streamed"].message)
    assert found["sid-streamed"].timing is None
    assert blocks_of(found["bp"]) == blocks_of(found["sid-published"]) == [10, 10, 10]
    singly = [([method], 2, 1) for method in GROUP]
    assert machine.processes == [(GROUP, 2, 0), (GROUP, 2, 1), *singly, (["bp", "sid-published"], 2, 2)]


def test_cells_that_only_fail_together_are_timed_by_themselves_from_then_on(results: Path) -> None:
    def answer(cells: Sequence[Cell], process: int) -> Answer:
        return crash() if len(cells) > 1 else all_timed(cells, process)

    machine = Machine(answer)
    summary = sweep_of(machine, [cell_of(method) for method in GROUP], results)
    assert summary.statuses == {"ok": 3}
    assert [methods for methods, _, _ in machine.processes] == [
        GROUP,
        *([method] for _ in range(2) for method in GROUP),
    ]


def test_a_cell_that_disturbs_others_is_timed_by_itself(results: Path) -> None:
    def answer(cells: Sequence[Cell], process: int) -> Answer:
        methods = [cell.method for cell in cells]
        if len(cells) > 1 and "sid-streamed" in methods:
            return Answer(status="ok", apart=(methods.index("sid-streamed"),))
        return all_timed(cells, process)

    machine = Machine(answer)
    summary = sweep_of(machine, [cell_of(method) for method in GROUP], results)
    assert summary.statuses == {"ok": 3}
    rest = ["bp", "sid-published"]
    assert machine.processes == [
        *((GROUP, 2, 0), (rest, 2, 0), (["sid-streamed"], 2, 0)),
        *((rest, 2, 1), (["sid-streamed"], 2, 1)),
    ]


def test_the_time_of_a_process_is_divided_among_its_cells(results: Path) -> None:
    sweep_of(Machine(all_timed), [cell_of(method) for method in GROUP], results)
    for record in read_records(results).records:
        assert record.timing is not None
        assert record.timing.work_seconds == 1.0  # of two processes


class Interrupted(Machine):
    """Is interrupted before it runs process number ``after`` in the order of the sweep."""

    def __init__(self, after: int, environment: dict[str, Any] | None = None) -> None:
        def answer(cells: Sequence[Cell], process: int) -> Answer:
            if len(self.processes) > after:
                raise KeyboardInterrupt
            return all_timed(cells, process)

        super().__init__(answer)
        self._environment = environment or {}

    def time(self, cells: Sequence[Cell], process: int, loops: int | None = None) -> Answer:
        from bench.machine.environment import machine_environment

        answer = super().time(cells, process, loops)
        environment = machine_environment() | self._environment
        members = [one.model_copy(update={"environment": environment}) for one in answer.members or ()]
        return answer.model_copy(update={"members": tuple(members)})


@pytest.mark.parametrize("after", range(4))
def test_a_sweep_that_was_interrupted_goes_on_with_the_next_process(results: Path, after: int) -> None:
    cells = [cell_of(method, depth=depth, modules=1) for depth in (2, 4) for method in GROUP]
    with pytest.raises(KeyboardInterrupt):
        sweep_of(Interrupted(after), cells, results)
    rest = Interrupted(100)
    summary = sweep_of(rest, cells, results)
    complete = [(GROUP, depth, process) for process in (0, 1) for depth in (2, 4)]
    assert rest.processes == complete[after:]
    assert summary.cells == 6
    records = read_records(results).records
    assert sorted(record.id for record in records) == sorted(cell.id for cell in cells)
    assert all(blocks_of(record) == [10, 10] for record in records)
    assert not results.with_name(f"{results.name}.unfinished").exists()


class Notes(Watcher):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_what_other_code_has_measured_is_not_continued(results: Path) -> None:
    cells = [cell_of(method) for method in GROUP]
    with pytest.raises(KeyboardInterrupt):
        sweep_of(Interrupted(1, {"commit": "an-older-one"}), cells, results)
    machine, notes = Interrupted(100), Notes()
    with Store(results) as store:
        run_sweep(Sweep("suite", "", tuple(cells)), store, machine, notes)
    assert machine.processes == [(GROUP, 2, 0), (GROUP, 2, 1)]
    assert len(notes.texts) == 3
    assert all("commit was an-older-one and is" in text for text in notes.texts)


@pytest.mark.parametrize(
    ("device", "earlier", "goes_on"),
    [("cuda", "a", True), ("cuda:1", "b", True), ("cuda", "b", False), ("cuda:1", "a", False), ("cuda:2", "a", False)],
)
def test_what_another_gpu_has_measured_is_not_continued(
    results: Path, monkeypatch: pytest.MonkeyPatch, device: str, earlier: str, goes_on: bool
) -> None:
    monkeypatch.setattr("bench.execute.continued.cuda_uuids", lambda: ["a", "b"])
    cells = [cell_of(method, device=device) for method in GROUP]
    with pytest.raises(KeyboardInterrupt):
        sweep_of(Interrupted(1, {"gpu_uuid": earlier}), cells, results)
    machine, notes = Interrupted(100), Notes()
    with Store(results) as store:
        run_sweep(Sweep("suite", "", tuple(cells)), store, machine, notes)
    assert [process for _, _, process in machine.processes] == ([1] if goes_on else [0, 1])
    assert any(f"gpu_uuid was {earlier} and is" in text for text in notes.texts) is not goes_on


def test_a_journal_that_was_cut_or_is_not_ours_is_read_as_far_as_it_goes(results: Path) -> None:
    cells = [cell_of(method) for method in GROUP]
    with pytest.raises(KeyboardInterrupt):
        sweep_of(Interrupted(1), cells, results)
    journal = results.with_name(f"{results.name}.unfinished")
    content = journal.read_bytes()
    assert content.count(b"\n") == 3
    journal.write_bytes(content[:-20])
    machine = Interrupted(100)
    sweep_of(machine, cells, results)
    assert machine.processes == [([GROUP[2]], 2, 0), (GROUP, 2, 1)]
    results.unlink()
    journal.write_bytes(b"\x00not json\n" + content)
    machine = Interrupted(100)
    sweep_of(machine, cells, results)
    assert machine.processes == [(GROUP, 2, 0), (GROUP, 2, 1)]


def test_entries_of_cells_of_another_sweep_stay(results: Path) -> None:
    cells = [cell_of(method) for method in GROUP]
    with pytest.raises(KeyboardInterrupt):
        sweep_of(Interrupted(1), cells, results)
    sweep_of(Interrupted(100), [cell_of("bp", depth=4, modules=1)], results)
    machine = Interrupted(100)
    sweep_of(machine, cells, results)
    assert machine.processes == [(GROUP, 2, 1)]
