"""What the process of a cell does with a request. Imports torch; runs in a fresh process."""

import time
from collections.abc import Sequence
from functools import partial

from bench.config.batches import refuse_single_images
from bench.config.cell import Cell
from bench.config.methods import is_compiled
from bench.errors import DataError
from bench.execute.device import require_precision, set_threads, use_device
from bench.execute.failures import describe_failure, is_caused_by_another_rank
from bench.execute.messages import Answer, Request
from bench.execute.passes import run_passes
from bench.execute.rank_context import RankContext
from bench.execute.rank_meeting import context_at
from bench.execute.rank_processes import run_ranks
from bench.execute.settings_watch import SettingsWatch
from bench.execute.timed_group import time_group
from bench.machine.allocators import require_allocator
from bench.train.compiled import require_compiler
from bench.train.datasets.splits import load_splits
from bench.train.load_code import load_code
from bench.train.step import flush_denormals


def handle(request: Request) -> Answer:
    """Answers one request; an exception becomes an answer, too.

    A cell on several ranks is measured in processes that are forked from this one, see
    :mod:`bench.execute.rank_processes`, unless this process is one of the ranks: it then has a place among them.
    """
    if request.task != "check" and request.cell.ranks > 1:
        if request.place is not None:
            return _answer(request, context_at(request.place, request.limits))
        return run_ranks(request.cell.ranks, request.limits, partial(_answer, request))
    return _answer(request, None)


def _answer(request: Request, context: RankContext | None) -> Answer:
    """Answers ``request`` from one process, which is one of several ranks if ``context`` is not None."""
    start = time.perf_counter()
    flush_denormals()
    try:
        answer = _work(request, context)
    except Exception as error:
        caused_by_another = context is not None and is_caused_by_another_rank(error)
        answer = describe_failure(error).model_copy(update={"caused_by_another_rank": caused_by_another})
    return answer.model_copy(update={"work_seconds": time.perf_counter() - start})


def _work(request: Request, context: RankContext | None) -> Answer:
    """Prepares the process, loads code and data, and does what the task is."""
    cell = request.cell
    cpus = request.cpus if context is None else context.bind_to_share(request.cpus)
    threads = cell.threads if context is None else cell.threads or context.threads()
    set_threads(threads, cpus)
    use_device(cell.device, _devices(request, context), None if context is None else context.device)
    require_precision(cell)
    require_allocator(cell.allocator)
    watch = SettingsWatch()
    if len(request.cells) == 1:
        load_code(cell)
    elif (apart := _load_group(request.cells, watch)) is not None:
        return Answer(status="ok", apart=(apart,))
    for one in request.cells:
        if is_compiled(one):
            require_compiler(one)
    dataset = load_splits(cell, request.data_root, request.download)
    watch.loaded()
    if threads is not None:
        set_threads(threads, cpus)  # what the cell asks for, whatever the code that was loaded has set
    if cell.noise_kind == "asymmetric" and dataset.asymmetric is None:
        raise DataError(f"noise_kind = 'asymmetric' has no class map for the classes of dataset {cell.dataset!r}")
    if context is None and request.task == "time":
        return time_group(request, dataset, watch)
    refuse_single_images(cell, dataset.shape, dataset.classes, dataset.sample_counts)
    if request.task == "check":
        return Answer(status="ok", message="\n".join(dataset.notes) or None)
    return run_passes(request, dataset, context, watch)


def _devices(request: Request, context: RankContext | None) -> int:
    """How many GPUs the ranks of the cell need of this host."""
    if context is not None:
        return context.devices
    return request.cell.ranks if request.place is None else request.place.devices


def _load_group(cells: Sequence[Cell], watch: SettingsWatch) -> int | None:
    """Loads the code of all cells; the place of one whose code cannot be loaded or changes torch's settings."""
    for place, cell in enumerate(cells):
        try:
            load_code(cell)
        except Exception:  # told where the cell is timed by itself
            return place
        if watch.changed():
            return place
    return None
