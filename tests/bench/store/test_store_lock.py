"""One sweep at a time writes a results file, on file systems without locks, too."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from record_builder import make_record

from bench.errors import StoreError
from bench.store.file import Store, read_records

NO_LOCKS = [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL]
FailFlock = Callable[[int], None]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def fail_flock(monkeypatch: pytest.MonkeyPatch) -> FailFlock:
    """Lets ``flock`` fail with an error number."""

    def fail(reason: int) -> None:
        def flock(_file: int, _operation: int) -> Any:
            raise OSError(reason, os.strerror(reason))

        monkeypatch.setattr(fcntl, "flock", flock)

    return fail


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead_process() -> int:
    """The id of a process that has ended."""
    return int(subprocess.check_output([sys.executable, "-c", "import os; print(os.getpid())"]))


@pytest.mark.parametrize("reason", NO_LOCKS, ids=errno.errorcode.get)
def test_without_locks_a_file_beside_the_results_is_the_lock(results: Path, fail_flock: FailFlock, reason: int) -> None:
    fail_flock(reason)
    with Store(results) as store:
        store.append(make_record({}))
        assert Path(f"{results}.lock").read_text() == f"{socket.gethostname()} {os.getpid()}"
        with pytest.raises(StoreError, match=rf"results\.jsonl is being written by another .*process {os.getpid()} on"):
            Store(results)
        store.append(make_record({"seed": 1}))
    assert names_in(results.parent) == ["results.jsonl"]
    with Store(results) as store:
        assert len(store.contents.records) == 2


def test_two_names_of_one_file_have_one_lock(results: Path, fail_flock: FailFlock) -> None:
    fail_flock(errno.ENOSYS)
    results.touch()
    link = results.with_name("link.jsonl")
    link.symlink_to(results)
    with Store(results), pytest.raises(StoreError, match="being written by another"):
        Store(link)


def test_the_lock_of_a_killed_sweep_is_taken_over_on_its_host(results: Path, fail_flock: FailFlock) -> None:
    fail_flock(errno.ENOSYS)
    lock = Path(f"{results}.lock")
    lock.write_text(f"{socket.gethostname()} {dead_process()}")
    with Store(results) as store:
        assert lock.read_text() == f"{socket.gethostname()} {os.getpid()}"
        store.append(make_record({}))
    assert names_in(results.parent) == ["results.jsonl"]


@pytest.mark.parametrize("owner", ["another-host 1", f"{socket.gethostname()} 1", "", "what is this"])
def test_a_lock_whose_sweep_may_run_is_refused(results: Path, fail_flock: FailFlock, owner: str) -> None:
    fail_flock(errno.ENOSYS)
    lock = Path(f"{results}.lock")
    lock.write_text(owner)
    with pytest.raises(StoreError, match=rf"If that process has ended, remove {lock}"):
        Store(results)
    assert lock.read_text() == owner
    lock.unlink()
    with Store(results) as store:
        store.append(make_record({}))


def test_a_lock_that_a_third_sweep_took_over_is_left_to_it(
    results: Path, fail_flock: FailFlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third sweep replaces the lock between the moment this one reads it and the moment it would remove it."""
    fail_flock(errno.ENOSYS)
    lock = Path(f"{results}.lock")
    lock.write_text(f"{socket.gethostname()} {dead_process()}")
    rename = Path.rename

    def rename_late(path: Path, target: Path) -> Path:
        path.write_text(f"{socket.gethostname()} {os.getppid()}")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_late)
    with pytest.raises(StoreError, match="being written by another"):
        Store(results)
    assert lock.read_text() == f"{socket.gethostname()} {os.getppid()}"
    assert names_in(results.parent) == ["results.jsonl", "results.jsonl.lock"]


@pytest.mark.parametrize("reason", [errno.EIO, errno.EBADF])
def test_a_lock_that_fails_is_an_error(results: Path, fail_flock: FailFlock, reason: int) -> None:
    fail_flock(reason)
    with pytest.raises(StoreError, match=rf"cannot lock {results}: {os.strerror(reason)}"):
        Store(results)


def test_a_lock_file_that_cannot_be_made_is_an_error(results: Path, fail_flock: FailFlock) -> None:
    fail_flock(errno.ENOSYS)
    Path(f"{results}.lock").mkdir()
    with pytest.raises(StoreError, match=rf"cannot lock {results} with {results}\.lock"):
        Store(results)


def test_a_file_that_was_removed_before_it_was_locked_is_not_written_to(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a sweep that ends without a record just when this one begins."""
    results.touch()
    flock = fcntl.flock

    def flock_late(file: int, operation: int) -> None:
        results.unlink()
        results.touch()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with pytest.raises(StoreError, match="removed or replaced just now; run the command again"):
        Store(results)


def test_a_link_to_a_new_file_stays_when_nothing_is_written(tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "new.jsonl")
    with Store(link):
        assert (tmp_path / "new.jsonl").exists()
    assert names_in(tmp_path) == ["link.jsonl"]
    with Store(link) as store:
        store.append(make_record({}))
    assert len(read_records(tmp_path / "new.jsonl").records) == 1
