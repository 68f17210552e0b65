"""Answers as plain text for a terminal, and as Markdown."""

import re
import textwrap

from bench.analysis.answer.answer import Answer
from bench.report.text import unbroken

_MARKS = re.compile(r"[\\`*_<]")


def answer_lines(answer: Answer, width: int) -> str:
    """Return an answer in lines of ``width`` columns; a command keeps to one line, so that it can be copied."""
    effect = f" ({answer.number} {answer.unit})" if answer.number else ""
    lines = [f"{answer.question} {answer.verdict}{effect}", *_wrapped(answer.sentence, "  ", "  ", width)]
    for sentence in answer.besides:
        lines += _wrapped(sentence, "  - ", "    ", width)
    if answer.command:
        lines += [f"  {_run(answer)}:", f"    {answer.command}"]
    return "\n".join(lines)


def answer_markdown(answer: Answer) -> str:
    """Return an answer as Markdown."""
    lines = [f"**{_escaped(answer.question)} {answer.verdict.capitalize()}.** {_escaped(answer.sentence)}"]
    if answer.besides:
        lines += ["", *(f"- {_escaped(sentence)}" for sentence in answer.besides)]
    if answer.command:
        lines += ["", f"{_run(answer)}:", "", f"    {answer.command}"]
    return "\n".join(lines)


def _run(answer: Answer) -> str:
    return "For an interval, run" if answer.number else "To measure it, run"


def _wrapped(text: str, first: str, other: str, width: int) -> list[str]:
    lines = textwrap.wrap(
        unbroken(text),
        width,
        initial_indent=first,
        subsequent_indent=other,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", text)
