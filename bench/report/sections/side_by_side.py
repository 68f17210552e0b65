"""Makes the slow sections of a page in processes of their own, beside what this process does."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from bench.machine.system import this_system
from bench.report.inputs import Inputs
from bench.report.sections.section import Filled, Section

_inputs: Inputs | None = None  # what the processes inherit: sending the records to them would take long

Step = Callable[[str], None]


@contextmanager
def begun(sections: Sequence[Section], inputs: Inputs) -> Iterator[Callable[[Step], list[Filled]]]:
    """Begin with the slow sections, and give a function that returns all that have content, in order.

    The function takes one that is called with the title of each section before it is made, or waited for. On one CPU,
    and outside of Linux, where a process does not inherit what is in memory, it makes every section itself.

    Args:
        sections: those that the page may have.
        inputs: of the page.
    """
    slow = [section for section in sections if section.is_slow]
    processes = min(this_system().core_count or 1, len(slow))
    if processes < 2 or sys.platform != "linux":
        yield lambda step: _filled(sections, inputs, {}, step)
        return
    global _inputs
    _inputs = inputs
    _ = inputs.frame, inputs.provider  # what most sections use, made once
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
            begun_sections = {section.name: pool.submit(_content, section) for section in slow}
            yield lambda step: _filled(sections, inputs, begun_sections, step)
    finally:
        _inputs = None


def _filled(
    sections: Sequence[Section], inputs: Inputs, begun_sections: dict[str, Future[Any]], step: Step
) -> list[Filled]:
    contents = {}
    for section in sorted(sections, key=lambda section: section.name in begun_sections):  # first what is not begun
        step(section.title)
        waiting = begun_sections.get(section.name)
        contents[section.name] = section.content(inputs) if waiting is None else waiting.result()
    return [
        Filled(section.name, section.title, contents[section.name])
        for section in sections
        if contents[section.name] is not None
    ]


def _content(section: Section) -> Any | None:
    return None if _inputs is None else section.content(_inputs)
