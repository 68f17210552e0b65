"""The settings of torch that hold for a whole process and change the result or the duration of a step."""

from collections.abc import Callable

import torch

Setting = bool | int | str | None


def numeric_settings() -> dict[str, Setting]:
    """Reads the settings of this process and of the thread that calls.

    Reading changes nothing: the random state stays as it is and no GPU is initialised.

    Returns:
        Each setting by its name, as plain data for JSON. A value is None where this version of torch does not have the
        setting, or refuses to read it, as it does where ``allow_tf32`` and ``fp32_precision`` were both set.
    """
    backends, matmul = torch.backends, torch.backends.cuda.matmul
    # Names of later versions, and those that torch's annotations lack, are looked up when they are called.
    readers: dict[str, Callable[[], object]] = {
        "threads": torch.get_num_threads,
        "interop_threads": torch.get_num_interop_threads,
        "denormals_flushed": _flushes_denormals,
        "default_dtype": torch.get_default_dtype,
        "default_device": torch.get_default_device,
        "float32_matmul_precision": torch.get_float32_matmul_precision,
        "fp32_precision": lambda: backends.fp32_precision,  # type: ignore[attr-defined]
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled,
        "deterministic_warn_only": torch.is_deterministic_algorithms_warn_only_enabled,
        "deterministic_fill": lambda: torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "mkldnn_enabled": torch._C._get_mkldnn_enabled,
        "mkldnn_deterministic": lambda: backends.mkldnn.deterministic,
        "mkldnn_matmul_fp32_precision": lambda: backends.mkldnn.matmul.fp32_precision,  # type: ignore[attr-defined]
        "nnpack_enabled": torch._C._get_nnpack_enabled,
        "cuda_matmul_allow_tf32": lambda: matmul.allow_tf32,
        "cuda_matmul_fp32_precision": lambda: matmul.fp32_precision,
        "cuda_matmul_reduced_fp16": lambda: matmul.allow_fp16_reduced_precision_reduction,
        "cuda_matmul_reduced_bf16": lambda: matmul.allow_bf16_reduced_precision_reduction,
        "cuda_matmul_fp16_accumulation": lambda: matmul.allow_fp16_accumulation,
        "cudnn_enabled": lambda: backends.cudnn.enabled,
        "cudnn_benchmark": lambda: backends.cudnn.benchmark,
        "cudnn_deterministic": lambda: backends.cudnn.deterministic,
        "cudnn_allow_tf32": lambda: backends.cudnn.allow_tf32,
        "cudnn_fp32_precision": lambda: backends.cudnn.fp32_precision,
        "sdp_flash": backends.cuda.flash_sdp_enabled,
        "sdp_memory_efficient": backends.cuda.mem_efficient_sdp_enabled,
        "sdp_math": backends.cuda.math_sdp_enabled,
        "sdp_cudnn": backends.cuda.cudnn_sdp_enabled,
        "grad_enabled": torch.is_grad_enabled,
        "inference_mode": torch.is_inference_mode_enabled,
        "anomaly_mode": torch.is_anomaly_enabled,
        "anomaly_checks_nan": torch.is_anomaly_check_nan_enabled,
        "multithreaded_backward": torch.autograd.is_multithreading_enabled,
        "autocast_cpu": lambda: torch.is_autocast_enabled("cpu"),
        "autocast_cpu_dtype": lambda: torch.get_autocast_dtype("cpu"),
        "autocast_cuda": lambda: torch.is_autocast_enabled("cuda"),
        "autocast_cuda_dtype": lambda: torch.get_autocast_dtype("cuda"),
        "autocast_cache": torch.is_autocast_cache_enabled,
    }
    return {name: _read(reader) for name, reader in readers.items()}


def _read(reader: Callable[[], object]) -> Setting:
    try:
        value = reader()
    except (AttributeError, RuntimeError):
        return None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _flushes_denormals() -> bool:
    """Whether this thread treats denormal numbers as zero, which torch can set but not tell."""
    denormal = torch.full((1,), 1e-39, dtype=torch.float32, device="cpu")
    return not (denormal * 1).any().item()
