"""The environment of a record: machine, versions, commit, command, device and torch's settings."""

import functools
import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import bench
from bench.machine.allocators import loaded_allocator, malloc_variables
from bench.machine.commit import commit_of
from bench.machine.nvml import driver_version
from bench.machine.system import printable, this_system

_PROJECT = "sid-bench"
_PACKAGES = ("torch", "torchvision", "numpy")
_CUDA_ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
_RECORDED_SETTINGS = (
    *("threads", "denormals_flushed", "deterministic_algorithms", "float32_matmul_precision"),
    *("cuda_matmul_allow_tf32", "cudnn_allow_tf32", "cudnn_deterministic", "cudnn_benchmark"),
)
# The names of libraries for matrix products in torch's description of its build.
_BLAS_LIBRARIES = ("Math Kernel Library", "OpenBLAS", "Accelerate", "Arm Compute Library")


@functools.cache
def machine_environment() -> dict[str, Any]:
    """The part that is known without torch: platform, CPU, memory in bytes, versions, commit, command.

    ``cgroup_cpu_quota_cores`` and ``cgroup_memory_limit_bytes`` are None where no container or control group sets a
    limit; ``virtualisation`` is ``none`` on bare metal and None where it is not known.
    ``slurm`` is there in a job of Slurm only.
    """
    system = this_system()
    limit = system.cgroup_memory()
    variables = {name: printable(value) for name, value in sorted(os.environ.items())}
    return {
        "sid_bench": _version(_PROJECT),
        "commit": commit_of(Path(bench.__file__).parent, _PROJECT),
        "command": printable(shlex.join([_program(), *sys.argv[1:]])),
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
        "platform": platform.platform(),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "virtualisation": system.virtualisation,
        "usable_cores": system.core_count,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "cgroup_cpu_quota_cores": system.cpu_quota(),
        "cgroup_memory_limit_bytes": limit.limit_bytes if limit else None,
        "memory_allocator": loaded_allocator(),
        "malloc_variables": malloc_variables(),
        "cuda_allocator_variables": {name: variables[name] for name in _CUDA_ALLOCATOR_VARIABLES if name in variables},
        **_slurm_job(),
    }


def _slurm_job() -> dict[str, dict[str, str]]:
    """The job of Slurm that this process runs in, its node and its partition; empty outside of a job."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
    if not job:
        return {}
    known = {"job": job, "node": platform.node(), "partition": os.environ.get("SLURM_JOB_PARTITION", "")}
    return {"slurm": {name: printable(value) for name, value in known.items()}}


def _program() -> str:
    """Return the name of the program that runs, without the folder that it is installed in."""
    name = Path(sys.argv[0]).name
    return _PROJECT if name == "__main__.py" else name


def torch_environment(device: str) -> dict[str, Any]:
    """The part that torch knows, in the process of a cell: device, threads, libraries, settings of its precision.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """
    import torch

    from bench.machine.numeric_settings import numeric_settings

    settings = numeric_settings()
    environment: dict[str, Any] = {
        **{name: settings[name] for name in _RECORDED_SETTINGS},
        **_libraries(torch.__config__.show()),
        "mkl": torch.backends.mkl.is_available(),
        "mkldnn": torch.backends.mkldnn.is_available(),
        "device": device,
        "memory_allocator": loaded_allocator(),
    }
    if device != "cpu":
        properties = torch.cuda.get_device_properties(device)
        environment |= {
            "gpu": properties.name,
            "gpu_uuid": str(properties.uuid),
            "gpu_memory_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
            "gpu_driver": driver_version(),
        }
    return environment


def _libraries(build: str) -> dict[str, str | None]:
    """Finds BLAS, OpenMP version and instruction set in torch's description of its build; None where it lacks them."""
    lines = [line.strip().removeprefix("- ") for line in build.splitlines()]
    settings = next((line for line in lines if line.startswith("Build settings:")), "")
    named = settings.partition("BLAS_INFO=")[2].partition(",")[0]
    libraries = (line for line in lines if line != settings and any(name in line for name in _BLAS_LIBRARIES))
    capability = next((line for line in lines if line.startswith("CPU capability usage:")), "")
    return {
        "blas": next(libraries, named) or None,
        "openmp": next((line for line in lines if line.startswith("OpenMP")), None),
        "cpu_capability": capability.partition(":")[2].strip() or None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
