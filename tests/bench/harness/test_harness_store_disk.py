"""Paths that cannot be written and full disks are errors that leave exactly the earlier records."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_tools import bench_environment, sound_records, tiny_record, write_records

from bench.errors import StoreError
from bench.store.file import Store, read_records
from bench.store.record import Record


def test_a_directory_is_an_error(tmp_path: Path) -> None:
    for use in (read_records, Store):
        with pytest.raises(StoreError, match=str(tmp_path)):
            use(tmp_path)


def test_a_device_is_an_error() -> None:
    """As with ``--out /dev/null``, where fsync and ftruncate do not work."""
    with pytest.raises(StoreError, match="/dev/null"), Store(Path("/dev/null")) as store:
        store.append(tiny_record())


def test_a_path_below_a_regular_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / "results.jsonl"
    with pytest.raises(StoreError, match=f"cannot write {path}"):
        Store(path)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_takes_no_files_cannot_be_written() -> None:
    with pytest.raises(StoreError, match=r"cannot write /proc/sid-bench/results\.jsonl"):
        Store(Path("/proc/sid-bench/results.jsonl"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_file_system_that_is_read_only_cannot_be_written(small_disk: Path) -> None:
    path = small_disk / "results.jsonl"
    content = write_records(path, [tiny_record()])
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match=r"cannot write .*results\.jsonl: Read-only"):
        Store(path)
    assert path.read_bytes() == content
    assert read_records(path).records == (tiny_record(),)


def test_a_full_disk_keeps_exactly_the_earlier_records(small_disk: Path) -> None:
    path = small_disk / "results.jsonl"
    appended: list[Record] = []

    def append_until_full(store: Store) -> None:
        for seed in range(200):
            store.append(tiny_record(seed=seed))
            appended.append(tiny_record(seed=seed))

    with Store(path) as store, pytest.raises(StoreError, match=r"No space left.*earlier records are safe"):
        append_until_full(store)
    assert len(appended) > 10
    assert sound_records(path) == tuple(appended)

    with Store(path) as store, pytest.raises(StoreError, match="No space left"):
        store.append(tiny_record(seed=1000, message="x" * 5000))
    assert sound_records(path) == tuple(appended)


def test_a_damaged_line_that_cannot_be_moved_aside_stays_in_the_file(small_disk: Path) -> None:
    path = small_disk / "results.jsonl"
    content = write_records(path, [tiny_record()]) + tiny_record(seed=1).line().encode()[:100]
    path.write_bytes(content)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(1 << 20))
    with pytest.raises(StoreError, match="No space left"):
        Store(path)
    assert path.read_bytes() == content


WRITE_UNTIL_THE_LIMIT = """
import resource, sys
from pathlib import Path
from record_builder import make_record
from bench.errors import StoreError
from bench.store.file import Store

path = Path(sys.argv[1])
with Store(path) as store:
    for seed in range(3):
        store.append(make_record({"seed": seed}))
    whole = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        store.append(make_record({"seed": 3}))
    except StoreError as error:
        print(error)
    assert path.read_bytes() == whole
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.append(make_record({"seed": 4}))
"""


@pytest.mark.parametrize("fits", [0, 1, 300], ids="{} bytes fit".format)
def test_a_write_that_fails_part_way_leaves_the_file_as_it_was(results: Path, fits: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_THE_LIMIT, results, str(fits)],
        env=bench_environment(Path(__file__).parents[1]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "File too large" in ended.stdout
    assert "earlier records are safe" in ended.stdout
    assert [record.cell.seed for record in sound_records(results)] == [0, 1, 2, 4]
