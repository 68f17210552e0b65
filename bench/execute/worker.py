"""What the process of one cell does: data, network, passes. Imports torch; runs in a fresh process."""

import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.config.cell import Cell
from bench.config.check import is_baseline as is_plain_bp
from bench.errors import BenchError, ConfigError, DataError, first_line
from bench.execute.rank_context import Seat, is_lost
from bench.execute.rank_processes import run_ranks
from bench.machine.environment import torch_environment
from bench.measure.accuracy import measure_accuracy
from bench.measure.latency.measure import Sample, measure_latency, sample_latency
from bench.measure.memory.measure import measure_memory
from bench.measure.on_ranks import measure_on_ranks
from bench.measure.trace.recorder import trace_step
from bench.train.compiled import require_compiler
from bench.train.datasets.splits import Splits, load_splits
from bench.train.networks.build import build_network
from bench.train.step import TrainingStep, build_step, flush_denormals

# What PyTorch's allocators say when memory runs out; the CPU's raises a plain RuntimeError.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc")


def handle(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers one request of the sweep; every failure that Python sees becomes an answer.

    A request is ``{"task": "check" or "measure", "cell": {...}, "latency_samples": [...], "data_root": path or None,
    "download": bool, "cpus": what this process is bound to, or None}``; the answer has ``status``, ``message``,
    ``work_seconds`` and, where the cell was measured, the parts of its record. ``"final": true`` says that another
    attempt must end the same. ``latency_samples`` are those of the cell's earlier processes (:class:`Sample`); one that
    is not the cell's last answers with a ``latency_sample`` of its own in place of the record's ``latency``.

    A cell on several ranks is measured in processes that are forked from this one, which then only watches over them:
    see :mod:`bench.execute.rank_processes`, and there what else the request holds.
    """
    ranks = request["cell"].get("ranks", 1)
    if request["task"] == "measure" and ranks > 1:
        return run_ranks(ranks, request, partial(_answer, request))
    return _answer(request, None)


def _answer(request: Mapping[str, Any], seat: Seat | None) -> dict[str, Any]:
    """What :func:`handle` says, from one process; with others, where ``seat`` says among which."""
    start = time.perf_counter()
    flush_denormals()
    try:
        cell = Cell.model_validate(request["cell"])
        cpus = request["cpus"] if seat is None else seat.bind_to_share(request["cpus"])
        threads = cell.threads if seat is None else cell.threads or seat.threads()
        _set_threads(threads, cpus)
        _require_device(cell.device, cell.ranks, seat)
        _require_precision(cell)
        if cell.compile:
            require_compiler(cell.device)
        data_root = Path(request["data_root"]) if request["data_root"] else None
        data = load_splits(cell, data_root, request["download"])
        if cell.noise_kind == "asymmetric" and data.asymmetric is None:
            raise DataError(f"noise_kind = 'asymmetric' has no class map for the classes of dataset {cell.dataset!r}")
        earlier = [Sample.model_validate(sample) for sample in request["latency_samples"]]
        parts = _measure(cell, data, request["cpus"], earlier, seat) if request["task"] == "measure" else {}
        answer = {"status": "ok", "message": None, **parts}
    except BenchError as error:
        answer = {"status": "crashed", "message": str(error), "final": True}
    except (RuntimeError, MemoryError) as error:
        out_of_memory = isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)
        answer = {"status": "oom" if out_of_memory else "crashed", "message": first_line(error)}
        if seat is not None:
            answer["lost"] = is_lost(error)
    except Exception as error:
        answer = {"status": "crashed", "message": first_line(error)}
    answer["work_seconds"] = time.perf_counter() - start
    return answer


def _require_device(device: str, ranks: int, seat: Seat | None) -> None:
    if device == "cpu":
        return
    count = torch.cuda.device_count()
    if 0 < count < ranks:
        raise ConfigError(f"ranks = {ranks} on device {device!r} needs a GPU a rank; legal: 1 to {count}")
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        legal = ["cpu", *(f"cuda:{index}" for index in range(count))]
        raise ConfigError(f"device = {device!r} is not on this machine; legal: {', '.join(legal)}")
    torch.cuda.set_device(index if seat is None else seat.rank)


def _require_precision(cell: Cell) -> None:
    if (
        cell.precision == "bfloat16"
        and cell.device != "cpu"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise ConfigError(f"precision = 'bfloat16' needs a newer device than {cell.device!r}; legal: float32")


def _set_threads(threads: int | None, cpus: Sequence[int] | None) -> None:
    """Makes torch compute with ``threads`` threads; None leaves it to torch, which gets no more than ``cpus``."""
    if threads is None:
        if cpus is None:
            return
        threads = min(torch.get_num_threads(), len(cpus))
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for OpenMP libraries that are loaded from here on
    torch.set_num_threads(threads)


def _measure(
    cell: Cell, data: Splits, cpus: Sequence[int] | None, earlier: Sequence[Sample], seat: Seat | None
) -> dict[str, Any]:
    """The parts of the record of ``cell``; after ``earlier`` processes, the latency pass's only."""
    parts: dict[str, Any] = {
        "data": {
            "classes": data.classes,
            "shape": data.shape,
            "train_samples": len(data.train),
            "validation_samples": len(data.validation),
            "test_samples": len(data.test),
            "fingerprint": data.fingerprint,
        },
        "environment": torch_environment(cell.device)
        | {"pinned_cpus": None if cpus is None else sorted(cpus)}
        | ({} if seat is None else {"ranks": seat.ranks}),
    }

    def fresh() -> TrainingStep:
        return build_step(cell, data.shape, data.classes)

    passes = {"latency"} if earlier else set(cell.passes)
    if {"memory", "latency"} & passes:
        images, labels = _one_batch(cell, data)
    if seat is not None:
        parts |= measure_on_ranks(cell, data.shape, data.classes, images, labels, seat.join(cell.device))
        passes = set()
    if "memory" in passes:
        parts["memory"] = measure_memory(fresh(), images, labels).model_dump(mode="json")
    if "latency" in passes:
        parts |= _time_step(cell, fresh(), images, labels, earlier)
    if "accuracy" in passes:
        parts["accuracy"] = measure_accuracy(cell, fresh(), data).model_dump(mode="json")
    network = build_network(cell, data.shape, data.classes)
    parts["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    return parts


def _time_step(
    cell: Cell, step: TrainingStep, images: Tensor, labels: Tensor, earlier: Sequence[Sample]
) -> dict[str, Any]:
    """The latency and the trace of ``cell`` in the last of its processes, a sample for the next in the others."""
    baseline = step.baseline()
    if len(earlier) + 1 < cell.processes:
        loops = earlier[0].loops if earlier else None
        sample = sample_latency(step, baseline, images, labels, cell.latency_seconds, loops, step.timed)
        return {"latency_sample": sample.model_dump(mode="json")}
    is_baseline = is_plain_bp(cell)
    latency = measure_latency(
        step, baseline, images, labels, cell.latency_seconds, is_baseline=is_baseline, earlier=earlier, timed=step.timed
    )
    trace = trace_step(step, images, labels)  # behind the timed steps, which it must not disturb
    return {"latency": latency.model_dump(mode="json"), "trace": trace.model_dump(mode="json") if trace else None}


def _one_batch(cell: Cell, data: Splits) -> tuple[Tensor, Tensor]:
    """A batch of exactly ``batch_size`` training samples; a small data set is repeated to fill it."""
    index = torch.arange(cell.batch_size) % len(data.train)
    return data.train.images[index].to(cell.device), data.train.labels[index].to(cell.device)
