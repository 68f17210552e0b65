"""Which threads run the operators of a step, and whether the memory instruments see all of them."""

from collections import defaultdict
from collections.abc import Callable

from torch._C._profiler import _ExperimentalConfig
from torch.autograd.profiler import profile

from bench.errors import BenchError
from bench.measure.memory.marks import MARK, AtOperators, marked
from bench.measure.memory.threads import lend_modes


def count_threads(step: Callable[[], object]) -> int:
    """Run ``step``, and return the number of threads that ran its operators.

    A profiler that observes every thread of the process, whoever started it, records the operators; a dispatch mode
    marks those that reach it. A thread with operators and without a mark is one that no dispatch mode sees, and with it
    no instrument that is a dispatch mode.

    Raises:
        BenchError: there is such a thread, or the step runs no operator at all.
    """
    everywhere = _ExperimentalConfig(profile_all_threads=True)
    with profile(experimental_config=everywhere) as profiler, AtOperators(marked), lend_modes():
        step()
    names: defaultdict[int, set[str]] = defaultdict(set)
    for event in profiler.kineto_results.events():
        if event.name() == MARK or event.name().startswith("aten::"):
            names[event.start_thread_id()].add(event.name())
    unseen = sorted(name for seen in names.values() if MARK not in seen for name in seen)
    if unseen:
        raise BenchError(
            f"memory cannot be measured: operators such as {unseen[0]} run in a thread that the instruments cannot "
            "follow; legal: threads that Python's threading module starts during the steps of the memory pass"
        )
    if not names:
        raise BenchError("memory cannot be measured: the training step runs no operator of PyTorch")
    return len(names)
