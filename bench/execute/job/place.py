"""Which rank of a job this process is, from the variables that ``torchrun`` or ``srun`` sets."""

import os
import re
from collections.abc import Mapping, Sequence

from bench.config.cell import Cell
from bench.config.label import label
from bench.errors import ConfigError
from bench.execute.messages import Place

_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LARGEST_PORT = 65535
# Of the ports that srun's jobs meet at, unless MASTER_PORT is set: below those that Linux gives out by itself.
_FIRST_PORT, _PORTS = 20000, 12000


def place_from_environment(environment: Mapping[str, str] | None = None) -> Place:
    """The place of this process, by ``torchrun``'s variables or, where ``RANK`` is not set, by ``srun``'s.

    Raises:
        ConfigError: a variable is missing or not legal.
    """
    found = os.environ if environment is None else environment
    if "RANK" not in found and "SLURM_STEP_NUM_TASKS" in found:
        return _of_srun(found)
    missing = [name for name in _TORCHRUN if not found.get(name)]
    if missing:
        raise ConfigError(
            f"--executor torchrun: {', '.join(missing)} not set; legal: a command that torchrun or srun has started, "
            "such as: torchrun --nproc-per-node 2 --no-python sid-bench run SUITE --executor torchrun"
        )
    ranks = _number(found, "WORLD_SIZE", 1)
    rank = _number(found, "RANK", 0, ranks - 1)
    local_ranks = _number(found, "LOCAL_WORLD_SIZE", 1, ranks, default=1)
    local_rank = _number(found, "LOCAL_RANK", 0, local_ranks - 1, default=0)
    return Place(
        rank=rank,
        ranks=ranks,
        local_rank=local_rank,
        local_ranks=local_ranks,
        address=found["MASTER_ADDR"],
        port=_number(found, "MASTER_PORT", 1, _LARGEST_PORT),
        device=local_rank,
        devices=local_ranks,
    )


def _of_srun(found: Mapping[str, str]) -> Place:
    ranks = _number(found, "SLURM_STEP_NUM_TASKS", 1)
    rank = _number(found, "SLURM_PROCID", 0, ranks - 1)
    tasks = _tasks_of_nodes(found.get("SLURM_STEP_TASKS_PER_NODE", ""))
    node = _number(found, "SLURM_NODEID", 0, len(tasks) - 1)
    local_rank = _number(found, "SLURM_LOCALID", 0, tasks[node] - 1)
    # Slurm shows a task only its own GPUs if they were asked for by task.
    has_own_gpu = bool(found.get("SLURM_GPUS_PER_TASK"))
    job = _number(found, "SLURM_JOB_ID", 0, default=0) + _number(found, "SLURM_STEP_ID", 0, default=0)
    return Place(
        rank=rank,
        ranks=ranks,
        local_rank=local_rank,
        local_ranks=tasks[node],
        address=found.get("MASTER_ADDR") or _first_host(found.get("SLURM_STEP_NODELIST", "")),
        port=_number(found, "MASTER_PORT", 1, _LARGEST_PORT, default=_FIRST_PORT + job % _PORTS),
        device=0 if has_own_gpu else local_rank,
        devices=1 if has_own_gpu else tasks[node],
    )


def _tasks_of_nodes(text: str) -> list[int]:
    """The tasks of each node, from ``2(x3),1``."""
    tasks: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise ConfigError(f"SLURM_STEP_TASKS_PER_NODE = {text!r}; legal: numbers as srun writes them: 2(x3),1")
        tasks += [int(match[1])] * int(match[2] or 1)
    return tasks


def _first_host(nodes: str) -> str:
    """The first host of a list as Slurm writes it: ``gpu-01`` of ``gpu-[01-04,07],login``."""
    match = re.match(r"(?:[^,\[\]]|\[[^\]]*\])+", nodes)
    if match is None:
        raise ConfigError(f"SLURM_STEP_NODELIST = {nodes!r}; legal: hosts as srun writes them, or set MASTER_ADDR")
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", match[0])


def _number(
    found: Mapping[str, str], name: str, least: int, most: int | None = None, default: int | None = None
) -> int:
    text = found.get(name)
    if text is None and default is not None:
        return default
    number = int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else -1
    if number < least or (most is not None and number > most):
        legal = f"a whole number of {least} or more" if most is None else f"a whole number from {least} to {most}"
        raise ConfigError(
            f"{name} = {text!r}; legal: {legal}" if text is not None else f"{name} is not set; legal: {legal}"
        )
    return number


def require_ranks(cells: Sequence[Cell], place: Place) -> None:
    """Checks that the job can run ``cells``: each of them on all of its ranks.

    Raises:
        ConfigError: a cell has another number of ranks.
    """
    for cell in cells:
        if cell.ranks != place.ranks:
            raise ConfigError(
                f"ranks = {cell.ranks} in {label(cell)}, and --executor torchrun was started with {place.ranks} ranks; "
                f"legal: {place.ranks}, as by --only ranks={place.ranks} or --ranks {place.ranks}"
            )
