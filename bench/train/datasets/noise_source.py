"""Where label noise comes from that is no formula: labels that people gave, and transition matrices.

``noise_source`` of a cell names a file of labels as ``FILE`` or ``FILE:COLUMN``, a file of a matrix as ``FILE``, or the
matrix of a file of labels as ``of=FILE:COLUMN``. Files are looked for in the data root, where a path is not absolute.

Human labels of CIFAR-10 and CIFAR-100 come with Wei et al., ICLR 2022, arXiv 2110.12088.
"""

import csv
import pickle
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.config.file_names import path_of, shown
from bench.config.noise_sources import matrix_of_labels
from bench.errors import DataError, first_line
from bench.train.datasets.own import RawData

_ROW_SUM_ERROR = 1e-6
_FORMATS = ".csv, .npy or .pt"
_KINDS = ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64")


@dataclass(frozen=True)
class NoiseSource:
    """What a file says of the noise.

    Attributes:
        labels: what people said that each training image shows, int64 ``[N]``, in the order of the data set; None where
            labels are drawn from the matrix.
        matrix: float64 ``[C, C]``: row c holds the probabilities of the labels that an image of class c gets. Of labels
            that people gave, it holds their shares among the images of class c, and 1 for c itself where there are no
            images.
    """

    labels: Tensor | None
    matrix: Tensor


_Read = TypeVar("_Read")


def load_noise_source(kind: str, source: str, raw: RawData, data_root: Path | None) -> NoiseSource:
    """Load what ``noise_source`` names.

    Args:
        kind: ``human`` or ``matrix``.
        source: the value of the axis.
        raw: the data set that the labels belong to.
        data_root: the directory in which files are looked for; None: the current one.

    Raises:
        DataError: the file is missing, damaged, or does not fit the data set; the message names it.
    """
    if kind == "human":
        labels = _load_labels(source, raw, data_root)
        return NoiseSource(labels, _shares(raw, labels))
    of_labels = matrix_of_labels(source)
    if of_labels is None:
        return NoiseSource(None, _load_matrix(path_of(source, data_root or Path()), len(raw.class_names)))
    missing = set(range(len(raw.class_names))) - set(raw.train_labels.tolist())
    if missing:
        empty = raw.class_names[min(missing)]
        raise DataError(f"noise_kind = 'matrix': there is no training image of class {empty!r} to take a row from")
    return NoiseSource(None, _shares(raw, _load_labels(of_labels, raw, data_root)))


def _shares(raw: RawData, given: Tensor) -> Tensor:
    """The share of each label among those given to the images of each class, ``[C, C]``."""
    classes = len(raw.class_names)
    counts = torch.bincount(raw.train_labels * classes + given, minlength=classes**2).view(classes, classes).double()
    totals = counts.sum(1, keepdim=True)
    return torch.where(totals > 0, counts / totals.clamp_min(1), torch.eye(classes, dtype=torch.float64))


def _load_matrix(path: Path, classes: int) -> Tensor:
    rows = _rows_of(path)
    try:
        matrix = torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)
    except ValueError as error:  # a value that is no number, or rows of different lengths
        raise DataError(f"{shown(path)} is no matrix of numbers: {first_line(error)}") from None
    if matrix.shape != (classes, classes):
        raise DataError(
            f"{shown(path)} has {len(rows)} rows of {len(rows[0]) if rows else 0} numbers; legal: {classes} rows of "
            f"{classes}, one for each class"
        )
    sums = matrix.sum(1)
    # Written so that a row with a NaN is refused as well.
    is_sound = ((matrix >= 0) & (matrix <= 1)).all(1) & ((sums - 1).abs() <= _ROW_SUM_ERROR)
    if not bool(is_sound.all()):
        wrong = int((~is_sound).nonzero()[0])
        raise DataError(
            f"{shown(path)}: row {wrong + 1} is {matrix[wrong].tolist()}, with the sum {float(sums[wrong]):g}; legal: "
            "probabilities from 0 to 1 with the sum 1"
        )
    return matrix / sums[:, None]


def _load_labels(source: str, raw: RawData, data_root: Path | None) -> Tensor:
    path, column = _file_and_column(source, data_root or Path())
    read = {".csv": _read_csv, ".npy": _read_npy, ".pt": _read_pt}.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{shown(path)} is no file of labels that can be read; legal: {_FORMATS}")
    return _checked(read(path, column, raw), path, raw)


def _file_and_column(source: str, folder: Path) -> tuple[Path, str | None]:
    whole = path_of(source, folder)
    name, colon, column = source.rpartition(":")
    return (whole, None) if not colon or whole.exists() else (path_of(name, folder), column)


def _read_csv(path: Path, column: str | None, raw: RawData) -> list[str]:
    header, *rows = _rows_of(path) or [[]]
    names = [name for name in header if name != "path"]
    chosen = _choose(path, "column", names, column)
    wrong = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if wrong is not None:
        raise DataError(f"{shown(path)}: row {wrong} has {len(rows[wrong - 2])} values, the header {len(header)}")
    at = header.index(chosen)
    if "path" not in header:
        return [row[at] for row in rows]
    if raw.train_names is None:
        raise DataError(
            f"{shown(path)} has a column 'path', and the images of this data set have no path; legal: a file without, "
            "with a row for each training image, in the order of the data set"
        )
    by_path: dict[str, str] = {}
    for row in rows:
        name = row[header.index("path")]
        if name in by_path:
            raise DataError(f"{shown(path)} has two rows for {shown(name)}; legal: one")
        by_path[name] = row[at]
    missing = [name for name in raw.train_names if name not in by_path]
    if missing:
        raise DataError(
            f"{shown(path)} has no label for {len(missing)} of {len(raw.train_names)} training images, such as "
            f"{shown(missing[0])}"
        )
    return [by_path[name] for name in raw.train_names]


def _rows_of(path: Path) -> list[list[str]]:
    def read() -> list[list[str]]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [[value.strip() for value in row] for row in csv.reader(file, strict=True) if row]

    return _reading(path, read)


def _read_npy(path: Path, column: str | None, _raw: RawData) -> Any:
    if column is not None:
        raise DataError(
            f"{shown(path)} is one array without columns, and noise_source names {column!r}; legal: {shown(path)}"
        )

    def read() -> Any:
        return np.load(path, allow_pickle=False)

    return _reading(path, read, "a .npy that holds Python objects is not read, since that can run code; legal: the .pt")


def _read_pt(path: Path, column: str | None, _raw: RawData) -> Any:
    def read() -> Any:
        with _numpy_arrays():
            return torch.load(path, map_location="cpu", weights_only=True)

    given = _reading(path, read)
    if not isinstance(given, dict):
        if column is not None:
            raise DataError(
                f"{shown(path)} holds a {type(given).__name__} without keys, and noise_source names {column!r}; legal: "
                f"{shown(path)}"
            )
        return given
    return given[_choose(path, "key", [key for key in given if isinstance(key, str)], column)]


def _numpy_arrays() -> AbstractContextManager[Any]:
    """Lets torch.load read arrays of numbers by NumPy, which the files of CIFAR-10N hold."""
    reconstruct: Any = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    types = [
        type(np.dtype(kind)) for kind in ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64")
    ]
    return torch.serialization.safe_globals(
        [(reconstruct, "numpy.core.multiarray._reconstruct"), reconstruct, np.ndarray, np.dtype, *types]
    )


def _reading(path: Path, read: Callable[[], _Read], hint: str = "") -> _Read:
    try:
        return read()
    except OSError as error:
        raise DataError(f"noise_source: {shown(path)} cannot be read: {error.strerror or first_line(error)}") from None
    except pickle.UnpicklingError:  # whose message advises to read it all the same
        raise DataError(
            f"noise_source: {shown(path)} cannot be read: it is damaged, or holds more than arrays of numbers, which "
            "could run code"
        ) from None
    except (ValueError, EOFError, RuntimeError, KeyError, csv.Error) as error:
        raise DataError(
            f"noise_source: {shown(path)} cannot be read: {first_line(error)}{f' ({hint})' if hint else ''}"
        ) from None


def _choose(path: Path, what: str, names: Sequence[str], chosen: str | None) -> str:
    legal = ", ".join(names) or f"none, as it has no {what} of labels"
    if chosen is None and len(names) == 1:
        return names[0]
    if chosen is None:
        raise DataError(f"{shown(path)} has {len(names)} {what}s; legal: noise_source = {shown(path)}:NAME of {legal}")
    if chosen not in names:
        raise DataError(f"{shown(path)} has no {what} {chosen!r}; legal: {legal}")
    return chosen


def _checked(given: Any, path: Path, raw: RawData) -> Tensor:
    """``given`` as numbers of classes, one for each training image."""
    count, classes = len(raw.train_labels), len(raw.class_names)
    if isinstance(given, list) and not all(isinstance(label, int) for label in given):
        given = _numbers(given, path, raw.class_names)
    try:
        labels = torch.as_tensor(np.asarray(given))
    except (TypeError, ValueError) as error:
        raise DataError(f"{shown(path)} holds no labels: {first_line(error)}") from None
    if labels.shape != (count,):
        raise DataError(
            f"{shown(path)} has labels of shape {list(labels.shape)}; legal: [{count}], one for each training image"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(f"{shown(path)} has labels of {labels.dtype}; legal: integers")
    labels = labels.long()
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        raise DataError(f"{shown(path)} has the label {int(outside[0])}; legal: 0 to {classes - 1}")
    return labels


def _numbers(given: Sequence[Any], path: Path, class_names: Sequence[str]) -> list[int]:
    number = {name: at for at, name in enumerate(class_names)}
    if not any(label in number for label in given):  # then they are numbers of classes
        number = {str(at): at for at in range(len(class_names))}
    unknown = [label for label in given if label not in number]
    if unknown:
        raise DataError(
            f"{shown(path)} has the label {unknown[0]!r}; legal: the names of the classes ({', '.join(class_names)}), "
            f"or their numbers from 0"
        )
    return [number[label] for label in given]
