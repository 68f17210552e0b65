"""Image folders are decoded once: what is kept, when it is used, and when it is made anew."""

import io
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import RunCli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_folders import write_folder
from PIL import Image

from bench.machine.cache_folder import cache_folder
from bench.machine.kept_arrays import load_kept, store_kept
from bench.train.datasets import image_cache, image_folder
from bench.train.datasets.image_folder import load_image_folder
from bench.train.datasets.own import RawData


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache, which is on, and keeps files that were written just now."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SID_BENCH_CACHE", str(folder))
    monkeypatch.setattr(image_cache, "_SETTLED_SECONDS", 0.0)
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The image files that are decoded from now on."""
    seen: list[Path] = []
    read_image = image_folder.read_image

    def reading(path: Path, channels: int, image_size: int | None) -> np.ndarray:
        seen.append(path)
        return read_image(path, channels, image_size)

    monkeypatch.setattr(image_folder, "read_image", reading)
    return seen


def load(root: Path, image_size: int | None = None, channels: int = 1) -> RawData:
    return load_image_folder(root, image_size, channels)


def uncached(root: Path, image_size: int | None = None, channels: int = 1) -> RawData:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SID_BENCH_CACHE", "off")
        return load(root, image_size, channels)


def assert_same(one: RawData, other: RawData) -> None:
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        mine, twin = getattr(one, name), getattr(other, name)
        assert mine.dtype == twin.dtype
        assert mine.is_contiguous()
        assert torch.equal(mine, twin), name
    assert (one.class_names, one.train_names, one.notes) == (other.class_names, other.train_names, other.notes)


@pytest.mark.parametrize("deep", [False, True], ids=["bytes", "16 bits"])
@pytest.mark.parametrize(("image_size", "channels"), [(None, 1), (None, 3), (3, 3), (7, 1)])
def test_what_is_kept_is_what_decoding_gives_to_the_bit(
    tmp_path: Path, kept: Path, reads: list[Path], image_size: int | None, channels: int, deep: bool
) -> None:
    root = write_folder(tmp_path / "photos")
    if deep:
        Image.fromarray(np.full((4, 4), 300, dtype=np.uint16)).save(root / "test" / "dog" / "0.png")
    (root / "train" / "notes.txt").write_text("")
    expected = uncached(root, image_size, channels)
    assert not kept.exists()
    assert_same(load(root, image_size, channels), expected)
    reads.clear()
    again = load(root, image_size, channels)
    assert_same(again, expected)
    assert reads == []
    assert len(list(kept.iterdir())) == 1
    again.train_images.zero_()  # it may be written to, and that stays here
    assert_same(load(root, image_size, channels), expected)


def rewrite(path: Path, value: int) -> None:
    """The image in ``path`` becomes another one, of ``value`` or brighter, with the same size and time."""
    before, old = path.stat(), path.read_bytes()
    for shade in range(value, 256):
        content = io.BytesIO()
        Image.new("L", (4, 4), shade).save(content, "PNG")
        if len(content.getvalue()) == len(old) and content.getvalue() != old:
            break
    path.write_bytes(content.getvalue())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: rewrite(root / "train" / "cat" / "0.png", 100),
        lambda root: rewrite(root / "test" / "dog" / "0.png", 100),
        lambda root: Image.new("L", (4, 4), 90).save(root / "train" / "dog" / "9.png"),
        lambda root: (root / "train" / "dog" / "1.png").unlink(),
        lambda root: (root / "train" / "dog" / "1.png").rename(root / "train" / "cat" / "9.png"),
        lambda root: [(root / split / "dog").rename(root / split / "ape") for split in ("train", "test")],
    ],
    ids=["training image", "test image", "added", "removed", "moved to another class", "renamed class"],
)
def test_a_changed_folder_is_decoded_anew_and_replaces_what_was_kept(
    tmp_path: Path, kept: Path, change: Callable[[Path], object]
) -> None:
    root = write_folder(tmp_path / "photos")
    load(root)
    change(root)
    assert_same(load(root), uncached(root))
    assert_same(load(root), uncached(root))
    assert len(list(kept.iterdir())) == 1


def test_sizes_channels_and_folders_have_files_of_their_own_and_another_decoder_replaces_them(
    tmp_path: Path, kept: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = write_folder(tmp_path / "one"), write_folder(tmp_path / "other", train=4)
    for root, size, channels in ((one, None, 1), (one, None, 3), (one, 2, 1), (other, None, 1)):
        load(root, size, channels)
    assert len(list(kept.iterdir())) == 4
    reads.clear()
    load(one)
    assert reads == []
    monkeypatch.setattr(image_cache, "_reader", lambda: "a later Pillow")
    load(one)
    assert len(reads) == 8
    assert len(list(kept.iterdir())) == 4


def test_a_folder_under_another_name_is_the_same_folder(tmp_path: Path, kept: Path, reads: list[Path]) -> None:
    root = write_folder(tmp_path / "photos")
    (tmp_path / "link").symlink_to("photos")
    load(root)
    reads.clear()
    load(tmp_path / "link")
    assert reads == []
    assert len(list(kept.iterdir())) == 1


def test_a_folder_that_has_just_changed_is_not_kept_yet(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may give two changes within a moment one time."""
    monkeypatch.setattr(image_cache, "_SETTLED_SECONDS", 60.0)
    root = write_folder(tmp_path / "photos")
    load(root)
    assert not kept.exists()


def test_a_folder_that_changes_while_it_is_decoded_is_not_kept(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "photos")
    read_image = image_folder.read_image

    def changing(path: Path, channels: int, image_size: int | None) -> np.ndarray:
        pixels = read_image(path, channels, image_size)
        rewrite(root / "train" / "cat" / "0.png", 100)
        return pixels

    monkeypatch.setattr(image_folder, "read_image", changing)
    load(root)
    assert not kept.exists()


@pytest.mark.usefixtures("kept")
def test_a_damaged_image_is_an_error_each_time(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos")
    load(root)
    (root / "train" / "cat" / "0.png").write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(image_folder.DataError, match="cannot be read as an image"):
            load(root)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path: Path, kept: Path, data: st.DataObject) -> None:
    root = tmp_path / "photos"
    if not root.exists():
        write_folder(root)
    load(root)
    (file,) = kept.iterdir()
    content = bytearray(file.read_bytes())
    what = data.draw(st.sampled_from(["flip", "cut", "append", "empty", "noise"]))
    if what == "flip":
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    elif what == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    elif what == "append":
        content += data.draw(st.binary(min_size=1, max_size=9))
    elif what == "empty":
        content = bytearray()
    else:
        content = bytearray(data.draw(st.binary(max_size=200)))
    file.write_bytes(content)
    assert_same(load(root), uncached(root))
    place = load_kept.__name__  # any other place has nothing, whatever lies beside it
    assert load_kept(kept, place, "key") is None
    assert file.read_bytes() != bytes(content)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["u1", "<f4"]), st.lists(st.integers(1, 5), min_size=1, max_size=4)),
        min_size=1,
        max_size=3,
    ),
    st.text(),
)
def test_arrays_of_any_shape_come_back(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple], about: str
) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    generator = np.random.default_rng(0)
    arrays = {str(at): generator.integers(0, 255, shape).astype(kind) for at, (kind, shape) in enumerate(kinds)}
    store_kept(folder, "place", "key", about, arrays)
    found = load_kept(folder, "place", "key")
    assert found is not None
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert load_kept(folder, "place", "another key") is None


def _load_often(root: str, folder: str) -> bytes:
    os.environ["SID_BENCH_CACHE"] = folder
    image_cache._SETTLED_SECONDS = 0.0
    seen = set()
    for turn in range(20):
        if turn % 4 == 3:
            for file in Path(folder).glob("*.arrays"):
                file.unlink(missing_ok=True)
        seen.add(load(Path(root)).train_images.numpy().tobytes())
    (only,) = seen
    return only


@pytest.mark.long
def test_processes_beside_each_other_see_whole_images(tmp_path: Path, kept: Path) -> None:
    root = write_folder(tmp_path / "photos", train=10)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.starmap(_load_often, [(str(root), str(kept))] * 3)
    assert set(found) == {uncached(root).train_images.numpy().tobytes()}
    assert not list(kept.glob("*.unfinished"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_a_note(tmp_path: Path, kept: Path) -> None:
    kept.mkdir(mode=0o500)
    assert_note(tmp_path, kept)


def test_a_cache_that_is_a_file_is_a_note(tmp_path: Path, kept: Path) -> None:
    kept.write_text("")
    assert_note(tmp_path, kept)


def assert_note(tmp_path: Path, kept: Path) -> None:
    root = write_folder(tmp_path / "photos")
    found = load(root)
    (note,) = found.notes
    assert note.startswith(f"decoded images cannot be kept in {kept}: ")
    assert note.endswith("legal: another folder in SID_BENCH_CACHE, or off")
    assert torch.equal(found.train_images, uncached(root).train_images)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"SID_BENCH_CACHE": "off", "HOME": "/home/me"}, None),
        ({"SID_BENCH_CACHE": "/elsewhere", "XDG_CACHE_HOME": "/xdg"}, "/elsewhere"),
        ({"SID_BENCH_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/sid-bench"),
        ({"XDG_CACHE_HOME": "not/absolute"}, "HOME/.cache/sid-bench"),
        ({}, "HOME/.cache/sid-bench"),
    ],
    ids=str,
)
def test_the_folder_is_what_the_environment_says(variables: dict[str, str], folder: str | None) -> None:
    expected = None if folder is None else Path(folder.replace("HOME", str(Path.home())))
    assert cache_folder(variables) == expected


def test_the_command_lists_what_is_kept_and_removes_it_and_nothing_else(
    cli: RunCli, tmp_path: Path, kept: Path
) -> None:
    assert f"{kept}: 0 files, 0.0 MiB" in cli("cache").stdout
    root = write_folder(tmp_path / "photos")
    load(root)
    (kept / "mine.txt").write_text("")
    (kept / "left.unfinished").write_text("")
    (kept / "broken.arrays").write_text("no arrays")
    listed = cli("cache")
    assert listed.exit_code == 0
    assert f"{kept}: 3 files" in listed.stdout
    assert f"{root}, 1x4x4, images: 8" in listed.stdout
    assert listed.stdout.count("damaged or unfinished") == 2
    cleared = cli("cache", "--clear")
    assert cleared.exit_code == 0
    assert "3 files removed" in cleared.stdout
    assert [path.name for path in kept.iterdir()] == ["mine.txt"]


def test_the_command_says_that_the_cache_is_off_or_cannot_be_read(
    cli: RunCli, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Path, "iterdir", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied", str(self)))
    )
    kept.mkdir()
    ended = cli("cache")
    assert ended.exit_code == 2
    assert f"{kept}: Permission denied" in ended.stderr
    monkeypatch.setenv("SID_BENCH_CACHE", "off")
    assert "nothing is kept: SID_BENCH_CACHE=off" in cli("cache").stdout


def test_what_a_killed_process_left_is_removed_in_time(tmp_path: Path, kept: Path) -> None:
    root = write_folder(tmp_path / "photos")
    kept.mkdir()
    old, new = kept / "old.unfinished", kept / "new.unfinished"
    for file in (old, new):
        file.write_text("")
    os.utime(old, (0, 0))
    load(root)
    assert new.exists()
    assert not old.exists()


@pytest.mark.long
def test_a_run_uses_what_the_check_of_its_data_has_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", train=12, test=4)
    command = [sys.executable, "-m", "bench", "run", "--set", "dataset=image-folder:photos", "--set", "passes=accuracy"]
    command += ["--set", "network=cascade-linear", "--set", "method=bp,sid-streamed", "--set", "epochs=1", "--quiet"]
    results = {}
    for name, folder in (("off", "off"), ("on", str(tmp_path / "cache"))):
        out = tmp_path / f"{name}.jsonl"
        subprocess.run(
            [*command, "--data-root", str(tmp_path), "--out", str(out)],
            env={**os.environ, "SID_BENCH_CACHE": folder, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[3],
            check=True,
            timeout=120,
        )
        records = [json.loads(line) for line in out.read_text().splitlines()]
        results[name] = [(record["accuracy"], record["data"]) for record in records]
    assert results["on"] == results["off"]
    assert len(list((tmp_path / "cache").glob("*.arrays"))) == 1
