"""Records for tests, with numbers that a test can recompute."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.config.check import make_cell
from bench.store.correct import Correct
from bench.store.record import Record

_PHASES = ("forward_seconds", "backward_seconds", "optimizer_seconds")


def make_record(
    cell: dict[str, Any],
    memory: int | None = None,
    latency: tuple[float, float, float] | None = None,
    accuracy: float | None = None,
    kl: Sequence[float | None] | None = None,
    noisy_because: str | None = None,
    step_shares: tuple[float, float | None, float] | None = None,
    status: str = "ok",
    message: str | None = None,
    disagreement: float = 0.0,
    by_epoch: Sequence[float] = (),
    correct: ArrayLike | None = None,
    correct_chosen: ArrayLike | None = None,
    blocks: Sequence[ArrayLike] | None = None,
    by_module: Sequence[float | None] | None = None,
    locked_shares: Sequence[float] | None = None,
    **fields: Any,
) -> Record:
    """Builds a record of ``cell``; a part whose argument is left out is None.

    Args:
        cell: the axes that differ from their defaults.
        memory: peak bytes of activations, a quarter of them temporary; the total is twice as much.
        latency: the ratio to BP and both ends of its interval.
        accuracy: every test accuracy.
        kl: KL of each module; 1, 1/2, 1/3 ... if left out.
        noisy_because: of the latency.
        step_shares: seconds forward, backward and in the optimizer.
        status: of the record.
        message: of the record.
        disagreement: between the allocator and the exact bytes.
        by_epoch: test accuracies by epoch, of which the last is ``accuracy``.
        correct: which test images were predicted correctly after the last epoch, bool ``[images]``; ``accuracy`` is
            their share. Without it the accuracies are like those of a record of schema 3.
        correct_chosen: the same after the chosen epoch; ``correct`` if left out.
        blocks: of each process, the seconds per step ``[n, 4]`` of (cell, BP, BP, cell); one block if left out.
        by_module: the last test accuracy of each module; all as ``accuracy`` if left out.
        locked_shares: of the latency, by process.
        fields: other fields of the record.
    """
    checked = make_cell(cell)
    if correct is not None:
        accuracy = float(np.mean(correct))
    modules = checked.modules
    shares = [accuracy] * modules if by_module is None else list(by_module)
    kls = list(kl) if kl is not None else [1.0 / (index + 1) for index in range(modules)]
    parts: dict[str, Any] = dict.fromkeys(("memory", "latency", "accuracy", "trace", "ranks"))
    if memory is not None:
        parts["memory"] = {
            "peak_activation_bytes": memory,
            "peak_total_bytes": 2 * memory,
            "parameter_bytes": memory,
            "buffer_bytes": 0,
            "gradient_bytes": 0,
            "optimizer_bytes": 0,
            "input_bytes": 0,
            **_memory_in_detail(memory, disagreement),
        }
    if latency is not None:
        ratio, low, high = latency
        processes = [[[0.01 * ratio, 0.01, 0.01, 0.01 * ratio]]] if blocks is None else list(map(np.asarray, blocks))
        parts["latency"] = {
            "median_seconds": 0.01 * ratio,
            "iqr_seconds": 0.001,
            "bp_median_seconds": 0.01,
            "bp_iqr_seconds": 0.001,
            "ratio_to_bp": ratio,
            "ratio_ci95": [low, high],
            "samples_per_second": checked.batch_size / (0.01 * ratio),
            "noisy_because": noisy_because,
            "shares": step_shares and dict(zip(_PHASES, step_shares, strict=True)),
            "loops": 1,
            "warm_up_steps": 8,
            "blocks_by_process": [len(process) for process in processes],
            "processes": None,
            "blocks_seconds": np.concatenate(processes).tolist(),
            "locked_shares": None if locked_shares is None else list(locked_shares),
        }
    if accuracy is not None:
        noisy = accuracy if correct is not None or checked.noise_kind == "none" else None
        chosen = correct if correct_chosen is None else correct_chosen
        of_epoch = {
            "train_loss": 1.0,
            "validation": noisy,
            "validation_clean": accuracy,
            "test_by_module": shares,
            "kl_by_module": kls,
        }
        parts["accuracy"] = {
            **dict.fromkeys(("test_last", "test_mean_last10", "test_at_best_clean_validation"), accuracy),
            **dict.fromkeys(("test_best_optimistic", "validation_clean_last"), accuracy),
            "test_at_best_validation": noisy if chosen is None else float(np.mean(chosen)),
            "validation_last": noisy,
            "test_by_module": shares,
            "kl_by_module": kls,
            "realised_noise_rate": checked.noise_rate,
            "realised_validation_noise_rate": None if noisy is None else checked.noise_rate,
            "diverged": None in kls,
            "correct_last": None if correct is None else Correct.pack(correct),
            "correct_at_best_validation": None if chosen is None else Correct.pack(chosen),
            "epochs": [{"test": test, **of_epoch} for test in by_epoch or (accuracy,)],
        }
    content = {
        "schema": 4,
        "id": checked.id,
        "status": status,
        "message": message,
        "attempts": 1,
        "created": "2026-01-01T00:00:00+00:00",
        "suite": "made",
        "cell": checked.model_dump(mode="json"),
        "data": None,
        "layout": None,
        "parameters": None,
        "timing": None,
        "environment": {"cpu": "a test's"},
        **parts,
        **fields,
    }
    return Record.parse(content)


def _memory_in_detail(size: int, disagreement: float) -> dict[str, Any]:
    created = {
        "activation_trunk": 0,
        "activation_modules": size - size // 4,
        "temporary_trunk": 0,
        "temporary_modules": size // 4,
    }
    return {
        "at_peak": created,
        "timeline": {
            "operators": 30,
            "at": [0, 10, 20],
            "phase": "fbs",
            **{name: [value // 2, value, 0] for name, value in created.items()},
        },
        "allocator": {
            "source": "cpu-profiler",
            "peak_bytes": size + 5000,
            "between_operators_bytes": size,
            "workspace_bytes": 5000,
            "disagreement": disagreement,
            "reserved_bytes": None,
            "device_bytes": None,
        },
    }


def made_trace(*spans: tuple[int, int | None, str, float, float], steps: int = 1) -> dict[str, Any]:
    """Builds a trace from spans (rank, module, phase, start, end)."""
    rank, module, phase, start, end = (list(column) for column in zip(*spans, strict=True))
    return {
        "steps": steps,
        "rank": rank,
        "module": module,
        "phase": "".join(map(str, phase)),
        "start_seconds": start,
        "end_seconds": end,
    }


def in_a_row(*spans: tuple[str, float], rank: int = 0, steps: int = 1) -> dict[str, Any]:
    """Builds a trace of one rank from names such as ``f2`` (forward, module 2) or ``s`` (no module) and seconds."""
    now, columns = 0.0, []
    for name, seconds in spans:
        columns.append((rank, int(name[1:]) if name[1:] else None, name[0], now, now + seconds))
        now += seconds
    return made_trace(*columns, steps=steps)


def made_data(side: int, fingerprint: str = "", test_samples: int = 0) -> dict[str, Any]:
    """Builds the data of a record: synthetic images of one channel and ``side`` by ``side`` pixels."""
    samples = {"train_samples": 0, "validation_samples": 0, "test_samples": test_samples}
    return {"classes": 10, "shape": [1, side, side], "fingerprint": fingerprint, **samples}


def made_trained(method: str, seed: int, right: float, images: int = 100, **fields: Any) -> Record:
    """Builds a record of three modules that predicts the first images correctly."""
    cell = {"method": method, "passes": ["accuracy"], "depth": 3, "modules": 3, "seed": seed, **fields.pop("cell", {})}
    fields = {"data": made_data(8, "a", images), **fields}
    return make_record(cell, correct=np.arange(images) < round(right * images), **fields)


def made_inference(own: int, plain: int, ratio: float, **values: Any) -> dict[str, Any]:
    """Builds the inference pass of a record, from total bytes of both networks and the ratio of their times."""
    return {
        "peak_activation_bytes": own // 2,
        "peak_total_bytes": own,
        "plain_peak_activation_bytes": plain // 2,
        "plain_peak_total_bytes": plain,
        "median_seconds": 0.01 * ratio,
        "plain_median_seconds": 0.01,
        "ratio_to_plain": ratio,
        "ratio_ci95": [ratio - 0.1, ratio + 0.1],
        "samples_per_second": 12800 / ratio,
        "noisy_because": None,
        "loops": 1,
        "warm_up_predictions": 8,
        "blocks_by_process": [1, 1],
        "blocks_seconds": [[0.01 * ratio, 0.01, 0.01, 0.01 * ratio]] * 2,
        "processes": None,
    } | values


def made_ranks(modules: list[int], **values: Any) -> dict[str, Any]:
    """Builds the ranks of a record, of which only ``values`` were measured."""
    names = ("ratio_to_one_rank", "ratio_to_one_rank_ci95", "bound", "busy_share", "peak_activation_bytes")
    return {"modules": modules} | dict.fromkeys((*names, "peak_total_bytes")) | values
