"""Why a method does not take a cell: reasons that several methods share."""

from bench.config.cell import Cell

COMPILED = "what compiled code allocates, only its compiler knows"  # why its bytes are not planned


def no_compile(why: str, cell: Cell) -> str | None:
    """The refusal of a compiled cell, with the reason ``why``."""
    return f"compile = True for method {cell.method!r}, {why}; legal: False" if cell.compile else None


def one_alpha(cell: Cell) -> str | None:
    """The refusal of a cell with one alpha per module."""
    if isinstance(cell.alpha, tuple):
        return f"alpha = {list(cell.alpha)} for method {cell.method!r}; legal: one number in (0, 1]"
    return None
