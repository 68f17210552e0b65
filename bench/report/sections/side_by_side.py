"""Makes the slow sections of a page in processes of their own, beside what this process does."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from bench.report.beside import begin_process, spare_processes
from bench.report.inputs import Inputs
from bench.report.sections.section import Filled, Section

_inputs: Inputs | None = None  # what the processes inherit: sending the records to them would take long

Step = Callable[[str], None]


@contextmanager
def begun(sections: Sequence[Section], inputs: Inputs) -> Iterator[Callable[[Step], list[Filled]]]:
    """Begin with the slow sections, and give a function that returns all that have content, in order.

    The function takes one that is called with the title of each section before it is made, or waited for. On one CPU,
    and outside of Linux, where a process does not inherit what is in memory, it makes every section itself; likewise
    what is left when a process is killed, by the kernel for its memory for example, or cannot be started. An error in
    a section is raised where the section is waited for, and ends the others.

    Args:
        sections: those that the page may have.
        inputs: of the page.
    """
    slow = [section for section in sections if section.is_slow]
    processes = min(spare_processes(), len(slow))
    if processes < 2:
        yield lambda step: _filled(sections, inputs, {}, step)
        return
    global _inputs
    _inputs = inputs
    _ = inputs.frame, inputs.provider  # what most sections use, made once
    already = set(multiprocessing.active_children())
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), begin_process) as pool:
            try:
                begun_sections = _submitted(pool, slow)
                yield lambda step: _filled(sections, inputs, begun_sections, step)
            except BaseException:
                for process in set(multiprocessing.active_children()) - already:
                    process.kill()
                raise
    finally:
        _inputs = None


def _submitted(pool: ProcessPoolExecutor, sections: Sequence[Section]) -> dict[str, Future[Any]]:
    """Return what will hold the content of each section; of fewer sections if processes die or cannot be started."""
    found: dict[str, Future[Any]] = {}
    try:
        for section in sections:
            found[section.name] = pool.submit(_content, section)
    except (BrokenProcessPool, OSError):
        pass  # the caller makes the rest
    return found


def _filled(
    sections: Sequence[Section], inputs: Inputs, begun_sections: dict[str, Future[Any]], step: Step
) -> list[Filled]:
    contents = {}
    for section in sorted(sections, key=lambda section: section.name in begun_sections):  # first what is not begun
        step(section.title)
        contents[section.name] = _made(section, inputs, begun_sections.get(section.name))
    return [
        Filled(section.name, section.title, contents[section.name])
        for section in sections
        if contents[section.name] is not None
    ]


def _made(section: Section, inputs: Inputs, waiting: Future[Any] | None) -> Any | None:
    if waiting is not None:
        try:
            return waiting.result()
        except BrokenProcessPool:
            pass  # a process was killed
    return section.content(inputs)


def _content(section: Section) -> Any | None:
    return None if _inputs is None else section.content(_inputs)
