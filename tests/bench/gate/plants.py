"""Faults that are planted in a copy of the code, to see that the gate finds them."""

from pathlib import Path

_BYTES = """

_unplanted = streamed_step


def streamed_step(network, images, *rest, **keywords):
    held = images.new_empty({numbers})
    loss = _unplanted(network, images, *rest, **keywords)
    del held
    return loss
"""

_TIME = """

_unplanted = TrainingStep.__call__


def _planted(self, images, labels, gradients="free"):
    from time import perf_counter

    start = perf_counter()
    loss = _unplanted(self, images, labels, gradients)
    if self.cell is not None and self.cell.method == "{method}" and self.cell.recompute == "none":
        until = start + {factor} * (perf_counter() - start)
        while perf_counter() < until:
            pass
    return loss


TrainingStep.__call__ = _planted
"""


def plant_bytes(code: Path, size: int) -> None:
    """Makes a step of sid-streamed hold ``size`` bytes more, a multiple of 4, from its beginning to its end."""
    _append(code / "sid_core" / "steps" / "streamed.py", _BYTES.format(numbers=size // 4))


def plant_time(code: Path, method: str = "sid-streamed", factor: float = 1.1) -> None:
    """Makes a step of ``method`` take ``factor`` of its time."""
    _append(code / "bench" / "train" / "step.py", _TIME.format(method=method, factor=factor))


def _append(file: Path, text: str) -> None:
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
