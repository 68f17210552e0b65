"""Rows by name: our own, those of other packages, and what ``module:attribute`` names."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Generic, TypeVar

from bench.config.plugins import ModuleMissingError, Plugin, entry_points_of, is_reference, load_reference
from bench.errors import ConfigError, unknown

Row = TypeVar("Row")


class Registry(Generic[Row]):
    """The rows of one kind of thing that a cell can name.

    Args:
        kind: the axis that names them.
        group: the group of entry points in which other packages offer some.
        own: our own rows, by name.
        adapt: ``adapt(name, offered, source)`` makes a row of what a plug-in offers; raises ConfigError if it cannot.
        find: ``find(name)`` makes a row of a name that has a form of its own, or gives None.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        own: Mapping[str, Row],
        adapt: Callable[[str, Any, str], Row],
        find: Callable[[str], Row | None] = lambda _: None,
    ) -> None:
        self._kind = kind
        self._group = group
        self._own = own
        self._adapt = adapt
        self._find = find
        self.load = cache(self._load)

    def names(self) -> list[str]:
        """The names of all rows: our own in their order, then those of other packages."""
        return [*self._own, *(plugin.name for plugin in self._plugins())]

    def known(self, name: str) -> Row | None:
        """The row for a name in a stored record; None where there is none, or where a file would have to be loaded."""
        try:
            return None if is_reference(name) and self._find(name) is None else self.load(name)
        except ConfigError:
            return None

    def _plugins(self) -> list[Plugin]:
        """What other packages offer, without loading it; our own names cannot be replaced."""
        return [plugin for plugin in entry_points_of(self._group) if plugin.name not in self._own]

    def _load(self, name: str) -> Row:
        """The row called ``name``, which may be ``module:attribute``.

        Raises:
            ConfigError: there is no such row, or it cannot be loaded.
        """
        row = self._own.get(name) or self._find(name)
        if row is not None:
            return row
        for plugin in self._plugins():
            if plugin.name == name:
                return self._adapt(name, plugin.load(), plugin.source)
        reason = ""
        if is_reference(name):
            try:
                return self._adapt(name, load_reference(name), name.rpartition(":")[0])
            except ModuleMissingError as error:
                reason = f" ({error})"
        raise ConfigError(
            f"{unknown(self._kind, name, self.names())}, or package.module:attribute, or path/to/file.py:attribute"
            f"{reason}"
        )
