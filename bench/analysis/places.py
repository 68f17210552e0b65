"""Where SID stands on a board: its place among all methods by bytes, by time and by accuracy."""

from collections.abc import Callable, Iterator

from bench.analysis.leaderboard import Board, BoardRow, Setting
from bench.analysis.numbers import percent
from bench.config.methods import is_of_sid

_FEWEST_ROWS = 3  # with a number, for a place to mean something

Read = Callable[[BoardRow], float | None]


def place_of_sid(board: Board) -> str | None:
    """Return a sentence with the places of one method of SID, by the estimates; None without SID or other methods.

    Of SID's methods it is the one with the most numbers, of equals the one that holds the fewest bytes. Methods whose
    numbers are equal as they are shown share a place.
    """
    candidates = [row for row in board.rows if is_of_sid(row.method)]
    if not candidates:
        return None
    own = max(candidates, key=_numbers)  # rows are in the order of their bytes, and the first of equals counts
    clauses = list(_clauses(board, own))
    return f"Of the methods on this cell, {own.title} is {'; '.join(clauses)}." if clauses else None


def _numbers(row: BoardRow) -> int:
    return (row.activation_ratio is not None) + (row.time is not None) + len(row.accuracies)


def _clauses(board: Board, own: BoardRow) -> Iterator[str]:
    yield from _clause(board, own, lambda row: row.activation_ratio, "by activation bytes", percent)
    yield from _clause(board, own, _time, "by step time", "{:.2f}".format)
    for setting in board.settings:
        if setting.epoch == "last":
            yield from _clause(board, own, _error_in(setting), f"by accuracy ({setting.noise})", _share)


def _clause(board: Board, own: BoardRow, read: Read, what: str, text: Callable[[float], str]) -> Iterator[str]:
    """Yield one clause; the least number is the first place."""
    numbers = {row.title: number for row in board.rows if (number := read(row)) is not None}
    if own.title not in numbers or len(numbers) < _FEWEST_ROWS:
        return
    shown = text(numbers[own.title])
    place = 1 + sum(number < numbers[own.title] and text(number) != shown for number in numbers.values())
    first = min(numbers, key=lambda title: numbers[title])
    best = "" if place == 1 else f" (first: {first}, {text(numbers[first])})"
    yield f"{_ordinal(place)} of {len(numbers)} {what}, {shown}{best}"


def _time(row: BoardRow) -> float | None:
    return None if row.time is None or row.time.noisy_because is not None else row.time.ratio


def _error_in(setting: Setting) -> Read:
    def error(row: BoardRow) -> float | None:
        held = row.accuracies.get(setting)
        return None if held is None or held.share is None else 1 - held.share

    return error


def _share(error: float) -> str:
    return f"{100 * (1 - error):.1f} %"


def _ordinal(number: int) -> str:
    teens = 10 <= number % 100 <= 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
