"""Makes the sections of a page, those with drawings in processes of their own, since drawing takes most of the time."""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench.machine.system import this_system
from bench.report.inputs import Inputs
from bench.report.sections.section import Filled, Section

_inputs: Inputs | None = None  # what the processes inherit: sending the records to them would take long


def fill(sections: Sequence[Section], inputs: Inputs, step: Callable[[str], None]) -> list[Filled]:
    """Return the sections that have content, in order.

    Args:
        sections: those that the page may have.
        inputs: of the page.
        step: is called with the title of each section before it is made, or waited for.
    """
    drawing = [section for section in sections if section.draws]
    processes = min(this_system().core_count or 1, len(drawing))
    # Elsewhere a process does not inherit what is in memory.
    contents = _in_processes if processes > 1 and sys.platform == "linux" else _in_turn
    found = zip(sections, contents(sections, inputs, step), strict=True)
    return [Filled(section.name, section.title, content) for section, content in found if content is not None]


def _in_turn(sections: Sequence[Section], inputs: Inputs, step: Callable[[str], None]) -> list[Any | None]:
    contents = []
    for section in sections:
        step(section.title)
        contents.append(section.content(inputs))
    return contents


def _in_processes(sections: Sequence[Section], inputs: Inputs, step: Callable[[str], None]) -> list[Any | None]:
    global _inputs
    _inputs = inputs
    inputs.prepare()
    drawing = [section for section in sections if section.draws]
    processes = min(this_system().core_count or 1, len(drawing))
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
            drawn = {section.name: pool.submit(_content, section) for section in drawing}
            own = [section for section in sections if not section.draws]
            made = dict(zip((section.name for section in own), _in_turn(own, inputs, step), strict=True))
            for section in drawing:
                step(section.title)
                made[section.name] = drawn[section.name].result()
            return [made[section.name] for section in sections]
    finally:
        _inputs = None


def _content(section: Section) -> Any | None:
    return None if _inputs is None else section.content(_inputs)
