"""Records as a tidy pandas table, each row paired with BP's record of the same cell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import pandas as pd

from bench.analysis.bounds import lower_bound_bytes
from bench.analysis.instruments import BY_ALLOCATOR
from bench.analysis.machines import machine_of
from bench.analysis.series import series_names
from bench.config.axes import axes, bearing_on, unpaired, values_of
from bench.config.axis import Axis
from bench.config.check import is_baseline
from bench.config.label import words_of
from bench.config.networks import known_network
from bench.store.measurements.accuracy import Accuracy, Beliefs, WrongLabels
from bench.store.measurements.memory import Allocator, CreatedBytes, Memory
from bench.store.record import Record

# Axes in which the records of one configuration may differ besides the training rule: noise and seed.
_VARIED = ("seed", "noise_kind", "noise_rate", "noise_source")

# Axes in which the baselines of one task may differ.
_VARIED_BY_BASELINES = ("modules", "cut", "optimizer")

# Axes that the name of a network and of its data say.
_NAMED = {"network", "dataset", "image_size", "channels"}

UNKNOWN = "unknown"

# Fields of a memory measurement that are models with fields of their own.
_NESTED = ("at_peak", "allocator", "timeline")

# Fields of an accuracy that say which test images were predicted correctly.
_PREDICTIONS = ("correct_last", "correct_at_best_validation")

# Fields of an accuracy that are models: the beliefs of each module, and what was learned of wrong labels.
_BELIEFS = ("beliefs_last", "beliefs_at_best_validation")
_WRONG_LABELS = ("wrong_labels_last", "wrong_labels_at_best_validation")


def records_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return a table with one row per record.

    Columns are the cell's axes, and ``memory.*``, ``latency.*``, ``accuracy.*`` and ``inference.*`` where they were
    measured. Further columns are:

    - ``layout``: ``cascade`` or ``pipeline``; ``unknown`` of a network that is not installed, if the record, such as
      one of schemas 1 to 3, does not hold it.
    - ``image`` (channels x height x width) and ``pixels`` (their product).
    - ``noise_kind``: with the file that the noise comes from, where it comes from one.
    - ``fingerprint`` of the data and their noise, and ``test_images``, the number of images in the test set; None and
      NaN if unknown.
    - ``accuracy.correct_last`` and ``accuracy.correct_at_best_validation``
      (:class:`bench.store.correct.Correct`), or None.
    - ``accuracy.beliefs_last.*`` (lists with a value per module), ``accuracy.wrong_labels_last.*``, and likewise of the
      epoch that validation chose; None in records that lack them.
    - ``ranks``: the number of ranks.
    - ``layers_per_module``: depth divided by modules.
    - ``configuration``: equal for records that differ only in training rule, seed and label noise.
    - ``step``: equal for records whose training steps differ only in training rule and numbers: the costs and the
      accuracies of one cell, whatever the epochs.
    - ``task``: equal for records whose ``step`` differs only in the number of modules, their cut and the optimizer.
    - ``machine``: equal for records of one machine in one configuration; None without latency.
    - ``step_text`` and ``training_text``: what ``step``, apart from network and data, and the rest of ``configuration``
      are, for a person.
    - ``pair``: equal for a record and BP's record of the same cell.
    - ``group``: equal for records of one pair that differ only in the seed.
    - ``series``: the name of the row's line in a figure; see :func:`bench.analysis.series.series_names`.
    - ``memory.activation_ratio`` and ``memory.total_ratio``: bytes divided by BP's on the same cell, by the same
      instrument: where the allocator's has counted them, the record holds BP's, too.
    - ``trace`` (:class:`bench.store.measurements.trace.Trace`) and ``rank_results``
      (:class:`bench.store.measurements.ranks.Ranks`), or None.

    On several ranks, activation bytes and total bytes are each those of the rank that needs most. Where BP's own
    latency is noisy, ``latency.noisy_because`` says so for every method on the same cell.
    """
    rows = [_row(record) for record in records]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    frame["layers_per_module"] = frame["depth"] / frame["modules"]
    frame["series"] = series_names(frame)
    return _in_few_blocks(_with_noise_of_bp(_with_memory_ratios(frame)))


def _in_few_blocks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with its texts as objects: pandas holds each column of its type for texts apart.

    Selecting rows takes a third of the time, and a report selects thousands of times.
    """
    texts = [name for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.StringDtype)]
    return frame.astype(dict.fromkeys(texts, object)).copy()


def _row(record: Record) -> dict[str, Any]:
    values = values_of(record.cell)
    row: dict[str, Any] = {"id": record.id, "status": record.status, "message": record.message} | values
    row["layout"] = record.layout or layout(record.cell.network)
    row["is_baseline"] = is_baseline(record.cell)
    row["image"] = UNKNOWN if record.data is None else "x".join(map(str, record.data.shape))
    row["pixels"] = 0 if record.data is None else prod(record.data.shape)
    row["fingerprint"] = None if record.data is None else record.data.identity
    row["machine"] = None if record.latency is None else machine_of(record)
    if record.cell.noise_source is not None:
        row["noise_kind"] = f"{record.cell.noise_kind} ({record.cell.noise_source})"
    row["test_images"] = float("nan") if record.data is None else record.data.test_samples
    names = _names_of(frozenset(values))
    texts = {name: repr((name, value)) for name, value in values.items()}
    for column, sorted_names in names.keys.items():
        row[column] = f"[{', '.join([texts[name] for name in sorted_names])}]"
    row["step_text"] = ", ".join(words_of(values, names.of_step - _NAMED, names.of_step))
    row["training_text"] = ", ".join(words_of(values | _samples(record), names.of_training, names.of_training))
    row["ranks"] = row.get("ranks", 1) if record.ranks is None else len(record.ranks.modules)
    row |= {"trace": record.trace, "rank_results": record.ranks}
    for part in ("memory", "latency", "accuracy", "inference"):
        measured = getattr(record, part)
        row[f"has_{part}"] = measured is not None
        if measured is not None:
            left_out = {"epochs", "blocks_seconds", *_PREDICTIONS, *_BELIEFS, *_WRONG_LABELS, *_NESTED}
            content = measured.model_dump(exclude=left_out)
            content |= content.pop("shares", None) or {}
            row |= {f"{part}.{name}": value for name, value in content.items()}
    if record.accuracy is not None:
        row["accuracy.by_epoch"] = [epoch.test for epoch in record.accuracy.epochs]
        row |= {f"accuracy.{name}": getattr(record.accuracy, name) for name in _PREDICTIONS}
        row |= _accuracy_in_detail(record.accuracy)
    if record.memory is not None:
        row |= _memory_in_detail(record, record.memory)
        if record.ranks is not None and record.ranks.peak_total_bytes is not None:
            row["memory.peak_total_bytes"] = max(record.ranks.peak_total_bytes)
    return row


@dataclass(frozen=True)
class _Names:
    """Which axes make which columns.

    Attributes:
        keys: for each column whose text is equal for equal values of some axes, their names in rising order.
        of_step: axes on whose other values a training step is another computation, apart from numbers in it.
        of_training: the other axes of a configuration.
    """

    keys: Mapping[str, tuple[str, ...]]
    of_step: frozenset[str]
    of_training: frozenset[str]


@cache
def _names_of(held: frozenset[str]) -> _Names:
    """Return the axes of each column for a cell that holds values of the axes ``held``."""
    paired = held.difference(unpaired())
    of_step = frozenset(name for name in paired if name not in axes() or _is_of_step(axes()[name]))
    keys = {
        "configuration": paired.difference(_VARIED),
        "step": of_step,
        "task": of_step.difference(_VARIED_BY_BASELINES),
        "pair": paired,
        "group": paired - {"seed"},
    }
    of_training = paired.intersection(bearing_on(["accuracy"])) - of_step.union(_VARIED)
    return _Names({column: tuple(sorted(names)) for column, names in keys.items()}, of_step, of_training)


def _samples(record: Record) -> dict[str, int]:
    """Return ``train_samples`` as the images that there were, where the cell asks for more of them."""
    asked, data = record.cell.train_samples, record.data
    if asked is None or data is None:
        return {}
    return {"train_samples": min(asked, data.train_samples + data.validation_samples)}


def _is_of_step(axis: Axis) -> bool:
    return "memory" in axis.bears_on or axis.panel


def layout(network: str) -> str:
    """Return ``pipeline`` or ``cascade``, or ``unknown`` for a network that is not installed."""
    row = known_network(network)
    return UNKNOWN if row is None or row.layout is None else row.layout


def _accuracy_in_detail(accuracy: Accuracy) -> dict[str, Any]:
    """Return the columns that records from before they were measured lack; None where unknown."""
    columns: dict[str, Any] = {}
    for names, model in ((_BELIEFS, Beliefs), (_WRONG_LABELS, WrongLabels)):
        for name in names:
            held = getattr(accuracy, name)
            columns |= {
                f"accuracy.{name}.{field}": None if held is None else getattr(held, field)
                for field in model.model_fields
            }
    return columns


def _memory_in_detail(record: Record, memory: Memory) -> dict[str, Any]:
    """Return the columns that records of schema 1 lack, and the ratio to the lower bound; None where unknown."""
    columns: dict[str, Any] = {f"memory.at_peak.{name}": None for name in CreatedBytes.model_fields}
    columns |= {f"memory.allocator.{name}": None for name in Allocator.model_fields}
    for name in _NESTED[:2]:
        nested = getattr(memory, name)
        if nested is not None:
            columns |= {f"memory.{name}.{field}": value for field, value in nested.model_dump().items()}
    columns["memory.timeline"] = memory.timeline.model_dump() if memory.timeline else None
    bound = lower_bound_bytes(record.cell, record.data.shape, record.data.classes) if record.data else None
    columns["memory.over_bound"] = memory.peak_activation_bytes / bound if bound else None
    return columns


def _with_memory_ratios(frame: pd.DataFrame) -> pd.DataFrame:
    if not frame["has_memory"].any():
        return frame
    measured = frame[frame["has_memory"]]
    baseline = measured[measured["is_baseline"]].drop_duplicates("pair").set_index("pair")
    for name, column in (("activation", "peak_activation_bytes"), ("total", "peak_total_bytes")):
        of_bp = frame["pair"].map(baseline[f"memory.{column}"])
        by_allocator = frame["memory.instrument"] == BY_ALLOCATOR
        of_bp = of_bp.where(~by_allocator, frame[f"memory.bp_{column}"].astype(float))
        frame[f"memory.{name}_ratio"] = frame[f"memory.{column}"] / of_bp
    return frame


def _with_noise_of_bp(frame: pd.DataFrame) -> pd.DataFrame:
    """Mark the latencies of cells on which BP's own latency is noisy: the same disturbance may affect them."""
    if not frame["has_latency"].any():
        return frame
    noisy = frame[frame["latency.noisy_because"].notna()]
    reasons = noisy[noisy["is_baseline"]].drop_duplicates("pair").set_index("pair")["latency.noisy_because"]
    if reasons.empty:
        return frame
    of_bp = frame["pair"].map(reasons).map("BP's own cell is noisy: {}".format, na_action="ignore")
    return frame.assign(**{"latency.noisy_because": frame["latency.noisy_because"].fillna(of_bp)})
