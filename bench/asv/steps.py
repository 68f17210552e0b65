"""Peak activation bytes, latency relative to BP, and step time of the SID steps and of BP with checkpoints."""

import torch

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import BASELINE
from bench.measure.latency.measure import measure_latency
from bench.measure.memory.measure import measure_memory
from bench.train.datasets.splits import load_splits
from bench.train.step import build_step, flush_denormals

METHODS = ["bp-checkpoint", "sid-published", "sid-streamed-autograd", "sid-streamed"]
DEPTHS = [4, 64]
BATCH_SIZE = 128
RATIO_SECONDS = 2.0


class _Steps:
    """One batch of synthetic images, and the training step of a method at a depth."""

    param_names = ("method", "depth")
    timeout = 300

    def setup(self, method: str, depth: int) -> None:
        flush_denormals()
        self.cell: Cell = make_cell(
            {"method": method, "dataset": "random", "depth": depth, "batch_size": BATCH_SIZE, "passes": ["latency"]}
        )
        self.data = load_splits(self.cell, None)
        self.images = self.data.train.images[:BATCH_SIZE]
        self.labels = self.data.train.labels[:BATCH_SIZE]
        self.step = build_step(self.cell, self.data.shape, self.data.classes)
        self.step(self.images, self.labels)


class Memory(_Steps):
    """Exact bytes, which change only with the code."""

    params = ([BASELINE, *METHODS], DEPTHS)

    def track_peak_activation_bytes(self, _method: str, _depth: int) -> int:
        return measure_memory(self.step, self.images, self.labels).peak_activation_bytes

    track_peak_activation_bytes.unit = "bytes"  # type: ignore[attr-defined]


class LatencyRatio(_Steps):
    """Step latency relative to BP from interleaved blocks, so that slow changes of the machine's speed cancel."""

    params = (METHODS, DEPTHS)

    def track_latency_over_bp(self, _method: str, _depth: int) -> float:
        baseline = self.step.baseline()
        latency = measure_latency(self.step, baseline, self.images, self.labels, RATIO_SECONDS)
        return latency.ratio_to_bp

    track_latency_over_bp.unit = "ratio"  # type: ignore[attr-defined]


class Time(_Steps):
    """Wall-clock time of one training step, for comparisons on one machine."""

    params = ([BASELINE, *METHODS], DEPTHS)

    def time_step(self, _method: str, _depth: int) -> None:
        self.step(self.images, self.labels)

    def teardown(self, _method: str, _depth: int) -> None:
        if self.images.device.type == "cuda":
            torch.cuda.synchronize()
