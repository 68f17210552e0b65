"""Exact bytes at the peak of a training step, which change only with the code."""

from .commands import CACHE_SECONDS, COMMAND_SECONDS, Record, measured_records, method_of, part_of

_METHODS = ["bp", "bp-checkpoint", "sid-published", "sid-streamed-autograd", "sid-streamed"]
_SUITE = """
[[grid]]
method = METHODS
network = "{network}"
dataset = "random"
depth = {depths}
modules = "depth"
batch_size = {batch_size}
passes = ["memory"]
"""

Records = dict[tuple[int, str], Record]


def _measured(network: str, batch_size: int, depths: list[int], methods: list[str]) -> Records:
    suite = _SUITE.format(network=network, batch_size=batch_size, depths=depths)
    records = measured_records(methods, [suite])
    return {(record["cell"]["depth"], method_of(record)): record for record in records}


class _Bytes:
    """Bytes at the peak of one step on the data set ``random``, exactly."""

    param_names = ("depth", "method")
    version = "1"
    timeout = COMMAND_SECONDS

    def setup(self, records: Records, depth: int, method: str) -> None:
        self.memory = part_of(records.get((depth, method)), "memory")

    def track_activation_bytes(self, _records: Records, _depth: int, _method: str) -> int:
        return int(self.memory["peak_activation_bytes"])

    def track_total_bytes(self, _records: Records, _depth: int, _method: str) -> int:
        return int(self.memory["peak_total_bytes"])

    track_activation_bytes.unit = "bytes"  # type: ignore[attr-defined]
    track_total_bytes.unit = "bytes"  # type: ignore[attr-defined]


# asv tells caches apart by the line of their function, so each class has one of its own.
class Cascade(_Bytes):
    """With 128 images."""

    params = ([4, 64], [*_METHODS, "sid-vectorised"])

    def setup_cache(self) -> Records:
        return _measured("cascade-linear", 128, *self.params)

    setup_cache.timeout = CACHE_SECONDS  # type: ignore[attr-defined]


class Pipeline(_Bytes):
    """With 32 images."""

    params = ([5], _METHODS)

    def setup_cache(self) -> Records:
        return _measured("pipeline-conv", 32, *self.params)

    setup_cache.timeout = CACHE_SECONDS  # type: ignore[attr-defined]
