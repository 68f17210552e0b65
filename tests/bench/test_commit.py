"""The commit in a record: that of the checkout which holds the package, or none; never another repository's."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from bench.machine import commit
from bench.machine.commit import commit_of
from bench.machine.environment import machine_environment


@pytest.fixture(autouse=True)
def _plain_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Git with a name for commits, and without the settings of this machine."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nname = tester\nemail = tester@example.org\n", encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def checkout(folder: Path, name: str = "ours") -> Path:
    """A repository with one commit, which holds the package ``thing`` of the project ``name``; the package's folder."""
    package = install(folder)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n', encoding="utf-8")
    commit_all(folder)
    return package


def install(site: Path) -> Path:
    package = site / "thing"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    return package


def commit_all(folder: Path) -> None:
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "first")


def test_a_checkout_has_its_commit_and_says_whether_it_was_changed(tmp_path: Path) -> None:
    package = checkout(tmp_path / "repository")
    head = git(package, "rev-parse", "HEAD")[:12]
    git(package, "tag", "v1.0")
    assert commit_of(package, "ours") == head
    (package / "__init__.py").write_text("changed = 1\n", encoding="utf-8")
    assert commit_of(package, "ours") == f"{head}-dirty"


def test_a_second_worktree_and_a_symbolic_link_have_it_too(tmp_path: Path) -> None:
    package = checkout(tmp_path / "repository")
    head = git(package, "rev-parse", "HEAD")[:12]
    git(package, "worktree", "add", "--quiet", str(tmp_path / "second"))
    (tmp_path / "link").symlink_to(tmp_path / "second")
    assert commit_of(tmp_path / "second" / "thing", "ours") == head
    assert commit_of(tmp_path / "link" / "thing", "ours") == head


@pytest.mark.parametrize("place", [".venv/lib/python3.12/site-packages", "vendored", "."])
def test_a_package_that_is_installed_inside_another_repository_has_none(tmp_path: Path, place: str) -> None:
    theirs = tmp_path / "theirs"
    package = install(theirs / place)
    (theirs / "pyproject.toml").write_text('[project]\nname = "theirs"\n', encoding="utf-8")
    commit_all(theirs)
    assert commit_of(package, "ours") is None


def test_an_unpacked_archive_inside_another_repository_has_none(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    package = install(theirs / "ours-1.0")
    (theirs / "ours-1.0" / "pyproject.toml").write_text('[project]\nname = "ours"\n', encoding="utf-8")
    commit_all(theirs)
    assert commit_of(package, "ours") is None


def test_files_that_the_repository_does_not_track_have_none(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    commit_all(theirs)
    package = install(theirs)
    (theirs / "pyproject.toml").write_text('[project]\nname = "ours"\n', encoding="utf-8")
    assert commit_of(package, "ours") is None


def test_a_repository_without_commits_has_none(tmp_path: Path) -> None:
    package = install(tmp_path / "new")
    (tmp_path / "new" / "pyproject.toml").write_text('[project]\nname = "ours"\n', encoding="utf-8")
    git(tmp_path / "new", "init", "--quiet")
    git(tmp_path / "new", "add", "--all")
    assert commit_of(package, "ours") is None


def test_variables_that_name_another_repository_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = checkout(tmp_path / "ours"), checkout(tmp_path / "theirs")
    outside = install(tmp_path / "site")
    head = git(ours, "rev-parse", "HEAD")[:12]
    git(theirs, "commit", "--quiet", "--allow-empty", "--message", "second")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs" / ".git"))
    for work_tree in (tmp_path / "theirs", tmp_path / "ours", tmp_path / "site"):
        monkeypatch.setenv("GIT_WORK_TREE", str(work_tree))
        monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "theirs" / ".git" / "index"))
        assert commit_of(ours, "ours") == head
        assert commit_of(outside, "ours") is None


def test_a_repository_of_another_user_has_none_unless_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = checkout(tmp_path / "repository")
    head = git(package, "rev-parse", "HEAD")[:12]
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own way to test it; not kept by commit_of
    monkeypatch.setattr(commit, "_KEPT_VARIABLES", (*commit._KEPT_VARIABLES, "GIT_TEST_"))
    assert commit_of(package, "ours") is None
    with (tmp_path / "gitconfig").open("a", encoding="utf-8") as settings:
        settings.write(f"[safe]\ndirectory = {tmp_path / 'repository'}\n")
    assert commit_of(package, "ours") == head


@pytest.mark.parametrize(
    "script",
    ["exit 128", "kill -9 $$", "echo 'warning: something'", "printf '\\377\\376\\n'", "cat /dev/zero | head -c 9999"],
)
def test_a_git_that_fails_or_prints_something_else_gives_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    package = checkout(tmp_path / "repository")
    use_git(tmp_path / "bin", f"#!/bin/sh\n{script}\n", monkeypatch)
    assert commit_of(package, "ours") is None


def test_warnings_on_standard_error_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = checkout(tmp_path / "repository")
    head = git(package, "rev-parse", "HEAD")[:12]
    use_git(tmp_path / "bin", f'#!/bin/sh\necho "warning" >&2\nexec {shutil.which("git")} "$@"\n', monkeypatch)
    assert commit_of(package, "ours") == head


@pytest.mark.parametrize("content", [None, "#!/no/such/interpreter\n", "not a program"])
def test_without_a_git_that_starts_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    package = checkout(tmp_path / "repository")
    use_git(tmp_path / "bin", content, monkeypatch)
    assert commit_of(package, "ours") is None


def test_a_git_that_hangs_is_killed_with_what_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = checkout(tmp_path / "repository")
    use_git(tmp_path / "bin", "#!/bin/sh\n/bin/sleep 613 & /bin/sleep 613\n", monkeypatch)
    monkeypatch.setattr(commit, "_SECONDS", 0.5)
    start = time.monotonic()
    assert commit_of(package, "ours") is None
    assert time.monotonic() - start < 5
    time.sleep(0.2)  # until init has waited for what was killed
    alive = [process for process in psutil.process_iter(["cmdline"]) if "613" in (process.info["cmdline"] or [])]
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_the_environment_of_a_record_has_the_commit_of_this_checkout() -> None:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        pytest.skip("these tests are not in a checkout")
    assert machine_environment()["commit"].removesuffix("-dirty") == git(root, "rev-parse", "HEAD")[:12]


def use_git(folder: Path, content: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes ``content`` the only git there is."""
    folder.mkdir()
    if content is not None:
        (folder / "git").write_text(content, encoding="utf-8")
        (folder / "git").chmod(0o755)
    for tool in ("sh", "cat", "head"):
        (folder / tool).symlink_to(shutil.which(tool) or "")
    monkeypatch.setenv("PATH", str(folder))
