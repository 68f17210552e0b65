"""What ``python -m build`` makes: the source distribution holds the repository, the wheel the packages, and it runs."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MEBIBYTE = 2**20
# What is tracked and not distributed: it concerns only the repository.
LEFT_OUT = {".ci/run", ".gitattributes", ".gitignore"}
# Written by setuptools.
GENERATED = {"PKG-INFO", "setup.cfg"}
# What work in a checkout leaves behind.
LITTER = (
    ".hypothesis/examples",
    ".venv/pyvenv.cfg",
    "bench/__pycache__/errors.cpython-311.pyc",
    "build/lib/bench/errors.py",
    "reports/mine.html",
    "results/mine.jsonl",
    "tests/__pycache__/conftest.cpython-311.pyc",
)


def tracked() -> set[str]:
    """The files of the repository, with new ones that git does not ignore, by their paths."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in listed if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that is built from it, as ``python -m build`` makes them."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a repository says which files are its own")
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    for name in LITTER:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("litter")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return dist


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel, which sees the packages that are installed here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    folders = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    (site / "installed_here.pth").write_text("\n".join(folders))
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True, timeout=120)
    return folder


def sid_bench(environment: Path, folder: Path, *arguments: str) -> str:
    """Standard output of the command in ``folder``, from which the checkout cannot be found."""
    ended = subprocess.run(
        [environment / "bin" / "sid-bench", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_source_distribution_holds_the_repository_and_nothing_else(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    held = {name for name in names - GENERATED if not name.startswith("sid_bench.egg-info/")}
    assert held == tracked() - LEFT_OUT
    assert file.stat().st_size < 32 * MEBIBYTE  # records hold the prediction of each test image, of up to twenty seeds


def test_the_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "sid-bench = bench.cli:main" in archive.read(entry_points).decode()
    packages = {name for name in tracked() if name.startswith(("bench/", "sid_core/"))}
    assert {Path(name).suffix for name in packages} >= {".css", ".j2", ".js", ".py", ".toml", ".typed"}
    about = {name for name in names if name.startswith("sid_bench-") and ".dist-info/" in name}
    assert names - about == packages
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in about)


def test_what_is_installed_is_the_wheel(environment: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.util import find_spec as find; print(find('bench').origin, find('sid_core').origin, sep='\\n')"
    )
    shown = subprocess.run(
        [environment / "bin" / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [Path(line).is_relative_to(environment) for line in shown.stdout.splitlines()] == [True, True]


def test_it_lists_what_comes_with_it(environment: Path, tmp_path: Path) -> None:
    shown = sid_bench(environment, tmp_path, "list")
    for name in ("sid-streamed", "cascade-linear", "digits", "noise-pipeline", "update-locking"):
        assert name in shown


@pytest.mark.long
def test_it_measures_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    choice = ("--set", "method=bp,sid-streamed", "--set", "passes=memory,accuracy", "--set", "epochs=1")
    sid_bench(environment, tmp_path, "run", "smoke", *choice)
    assert '"status":"ok"' in (tmp_path / "results" / "smoke.jsonl").read_text()


@pytest.mark.long
def test_it_reports_stored_records_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    shown = sid_bench(environment, tmp_path, "report", str(ROOT / "results" / "reference" / "noise-pipeline.jsonl"))
    page = tmp_path / "reports" / "noise-pipeline.html"
    assert page.read_text().startswith("<!doctype html>")
    assert str(page) in shown.replace("\n", "")
