"""The device, the precision and the threads of a cell in its process. Imports torch."""

import os
from collections.abc import Sequence

import torch

from bench.config.cell import Cell
from bench.errors import ConfigError


def use_device(device: str, needed: int, own: int | None) -> None:
    """Makes the cell's GPU the current one; does nothing on the CPU.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        needed: how many GPUs the ranks of the cell need of this machine, one each.
        own: the number of the GPU of this rank; None for a process that is not one of several ranks.

    Raises:
        ConfigError: this machine does not have the device, or has fewer GPUs than its ranks need.
    """
    if device == "cpu":
        return
    count = torch.cuda.device_count()
    if 0 < count < needed:
        raise ConfigError(f"ranks = {needed} on device {device!r} needs one GPU per rank; legal: 1 to {count}")
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        legal = ["cpu", *(f"cuda:{index}" for index in range(count))]
        raise ConfigError(f"device = {device!r} is not on this machine; legal: {', '.join(legal)}")
    torch.cuda.set_device(index if own is None else own)


def require_precision(cell: Cell) -> None:
    """Checks that the current device computes in the cell's precision.

    Raises:
        ConfigError: it does not.
    """
    if (
        cell.precision == "bfloat16"
        and cell.device != "cpu"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise ConfigError(f"precision = 'bfloat16' needs a newer device than {cell.device!r}; legal: float32")


def set_threads(threads: int | None, cpus: Sequence[int] | None) -> None:
    """Sets the number of threads that torch computes with.

    Args:
        threads: the number; None for torch's own choice, but at most one per CPU in ``cpus``.
        cpus: the CPUs that the process is bound to, or None.
    """
    if threads is None:
        if cpus is None:
            return
        threads = min(torch.get_num_threads(), len(cpus))
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for OpenMP libraries that are loaded later
    torch.set_num_threads(threads)
