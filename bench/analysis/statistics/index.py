"""Records by cell, found again without a search."""

from collections.abc import Sequence

from bench.analysis.statistics.pairing import Entry, Key, Values, key_of, key_of_entry, paired_axes
from bench.config.cell import Pass


class Index:
    """Finds records by their cell, on the axes that a question is about.

    Args:
        entries: the records.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._measured: dict[tuple[Pass, str], list[Entry]] = {}
        self._by_key: dict[tuple[Pass, str, frozenset[str]], dict[Key, list[Entry]]] = {}
        for entry in entries:
            for measured_in in entry.record.cell.passes:
                self._measured.setdefault((measured_in, entry.values["method"]), []).append(entry)

    def find(self, measured_in: Pass, like: Entry, values: Values, others: frozenset[str]) -> list[Entry]:
        """Return the records of one cell, in order.

        Args:
            measured_in: a pass that their cells have.
            like: its axes tell cells apart, as :func:`bench.analysis.statistics.pairing.paired_axes` says.
            values: of the cell.
            others: further axes that tell cells apart, ``method`` among them.
        """
        key = key_of(values, paired_axes(measured_in, like) | others)
        return self._of_method(measured_in, values["method"], others).get(key, [])

    def _of_method(self, measured_in: Pass, method: str, others: frozenset[str]) -> dict[Key, list[Entry]]:
        found = self._by_key.get((measured_in, method, others))
        if found is None:
            found = self._by_key[measured_in, method, others] = {}
            for entry in self._measured.get((measured_in, method), []):
                found.setdefault(key_of_entry(entry, paired_axes(measured_in, entry) | others), []).append(entry)
        return found
