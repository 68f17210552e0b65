"""Which versions of files of a user's own records come from."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from bench.store.findings import own_files_in
from bench.store.record import Record


def own_versions(records: Iterable[Record]) -> dict[str, Counter[str]]:
    """Return, for each file that ``records`` name, the number of records of each version."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for file, version in own_files_in(record.environment).items():
            found[file][version] += 1
    return dict(found)
