"""The answer of a cell on several ranks, from those of its ranks."""

from collections.abc import Sequence

from bench.execute.messages import Answer


def choose_answer(answers: Sequence[Answer | None], patience_seconds: float) -> Answer:
    """Rank 0's answer if all ranks are ok, else that of the rank whose failure caused the others', with its number.

    A process that ended without an answer comes first. A rank that has not answered at all stopped responding, if all
    other failures were caused by another rank.

    Args:
        answers: of each rank, in order; None of one that has not answered.
        patience_seconds: how long a rank waits for another.
    """
    failures = [(rank, answer) for rank, answer in enumerate(answers) if answer is not None and answer.status != "ok"]
    silent = [rank for rank, answer in enumerate(answers) if answer is None]
    first = answers[0]
    if first is not None and not failures and not silent:
        return first
    for rank, answer in sorted(failures, key=lambda failure: failure[1].work_seconds is not None):
        if not answer.caused_by_another_rank:
            return _with_rank(answer, rank, len(answers))
    if silent:
        message = f"did not respond; another rank waited {patience_seconds:g} s for it"
        return _with_rank(Answer(status="crashed", message=message), silent[0], len(answers))
    rank, answer = failures[0]
    return _with_rank(answer, rank, len(answers))


def _with_rank(answer: Answer, rank: int, ranks: int) -> Answer:
    """``answer`` with the rank in its message, unless it is final: what the user must change concerns all ranks."""
    if answer.final:
        return answer
    message = f"rank {rank} of {ranks}: {answer.message}"
    return answer.model_copy(update={"message": message, "caused_by_another_rank": False})
