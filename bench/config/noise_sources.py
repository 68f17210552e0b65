"""How a cell names the labels or the matrix that its label noise comes from."""

_OF = "of="
# The kinds of noise that read a file. What each takes, where a cell does not say how often: every label.
KINDS_WITH_SOURCE = ("human", "matrix")


def matrix_of_labels(source: str) -> str | None:
    """The file of labels whose transition matrix ``source`` names as ``of=FILE``; None where it is a matrix itself."""
    return source.removeprefix(_OF) if source.startswith(_OF) else None
