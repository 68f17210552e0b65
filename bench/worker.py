"""What the process of one cell does: data, network, passes. Imports torch; runs in a fresh process."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.cell import STORED, Cell
from bench.environment import torch_environment
from bench.errors import BenchError, ConfigError, DataError, first_line
from bench.measure.accuracy import measure_accuracy
from bench.measure.latency import measure_latency
from bench.measure.memory import measure_memory
from bench.measure.step import build_step, flush_denormals
from bench.methods import BASELINE
from bench.workloads.datasets import Dataset, load_dataset

# What PyTorch's allocators say when memory runs out; the CPU's raises a plain RuntimeError.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc")


def handle(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers one request of the sweep; every failure that Python sees becomes an answer.

    A request is ``{"task": "check" or "measure", "cell": {...}, "data_root": path or None, "download": bool}``; the
    answer has ``status``, ``message``, ``work_seconds`` and, where the cell was measured, the parts of its record.
    """
    start = time.perf_counter()
    flush_denormals()
    try:
        cell = Cell.model_validate(request["cell"], context=STORED)
        _require_device(cell.device)
        data_root = Path(request["data_root"]) if request["data_root"] else None
        data = load_dataset(cell, data_root, request["download"])
        if cell.noise_kind == "asymmetric" and data.asymmetric is None:
            raise DataError(f"noise_kind = 'asymmetric' has no class map for the classes of dataset {cell.dataset!r}")
        parts = _measure(cell, data) if request["task"] == "measure" else {}
        answer = {"status": "ok", "message": None, **parts}
    except BenchError as error:
        answer = {"status": "crashed", "message": str(error)}
    except (RuntimeError, MemoryError) as error:
        out_of_memory = isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)
        answer = {"status": "oom" if out_of_memory else "crashed", "message": first_line(error)}
    except Exception as error:
        answer = {"status": "crashed", "message": first_line(error)}
    answer["work_seconds"] = time.perf_counter() - start
    return answer


def _require_device(device: str) -> None:
    if device == "cpu":
        return
    count = torch.cuda.device_count()
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        legal = ["cpu", *(f"cuda:{index}" for index in range(count))]
        raise ConfigError(f"device = {device!r} is not on this machine; legal: {', '.join(legal)}")
    torch.cuda.set_device(index)


def _measure(cell: Cell, data: Dataset) -> dict[str, Any]:
    """The parts of the record of ``cell``."""
    parts: dict[str, Any] = {
        "data": {
            "classes": data.classes,
            "shape": data.shape,
            "train_samples": len(data.train),
            "validation_samples": len(data.validation),
            "test_samples": len(data.test),
            "fingerprint": data.fingerprint,
        },
        "environment": torch_environment(cell.device),
    }

    def fresh(method: str | None = None) -> Any:
        return build_step(cell, data.shape, data.classes, method)

    if {"memory", "latency"} & set(cell.passes):
        images, labels = _one_batch(cell, data)
    if "memory" in cell.passes:
        parts["memory"] = measure_memory(fresh(), images, labels).model_dump(mode="json")
    if "latency" in cell.passes:
        latency = measure_latency(fresh(), fresh(BASELINE), images, labels, cell.latency_seconds)
        parts["latency"] = latency.model_dump(mode="json")
    if "accuracy" in cell.passes:
        parts["accuracy"] = measure_accuracy(cell, fresh(), data).model_dump(mode="json")
    network = fresh().network
    parts["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    return parts


def _one_batch(cell: Cell, data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of exactly ``batch_size`` training samples; a small data set is repeated to fill it."""
    index = torch.arange(cell.batch_size) % len(data.train)
    return data.train.images[index].to(cell.device), data.train.labels[index].to(cell.device)
