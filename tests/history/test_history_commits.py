"""The list of commits: its last ones, tags, comments, and what is no commit."""

import subprocess
from pathlib import Path

import pytest

from bench.asv.commits import hash_of, listed_commits
from bench.errors import ConfigError

ROOT = Path(__file__).parents[2]
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]


@pytest.fixture
def hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three commits of a repository in the current folder, the second with the tag ``v2``."""
    monkeypatch.chdir(tmp_path)
    subprocess.run([*GIT, "init", "--quiet"], check=True)
    found = []
    for number in range(3):
        subprocess.run([*GIT, "commit", "--quiet", "--allow-empty", f"--message={number}"], check=True)
        found.append(
            subprocess.run([*GIT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        )
    subprocess.run([*GIT, "tag", "--annotate", "--message=two", "v2", found[1]], check=True)
    return found


def test_names_are_hashes_and_tags_in_the_order_of_the_file(hashes: list[str]) -> None:
    file = Path("commits.txt")
    file.write_text(f"# oldest first\n\n{hashes[0]}  # one\n  v2# two\n{hashes[2][:9]}")
    assert listed_commits(file) == hashes
    assert [listed_commits(file, last) for last in (1, 2, 3, 99)] == [hashes[2:], hashes[1:], hashes, hashes]


@pytest.mark.parametrize("name", ["v3", "0" * 40, "--all", "HEAD..HEAD~1", "commits.txt"])
def test_what_is_no_commit_is_named(hashes: list[str], name: str) -> None:
    file = Path("commits.txt")
    file.write_text(f"{hashes[0]}\n{name}\n")
    with pytest.raises(ConfigError, match=r"commits\.txt: .*is no commit.*unshallow") as raised:
        listed_commits(file)
    assert repr(name) in str(raised.value)


def test_a_commit_has_several_names(hashes: list[str]) -> None:
    first, second, third = hashes
    for name, found in (("HEAD", third), ("v2", second), ("HEAD~2", first), (first[:9], first)):
        assert hash_of(name, "--also") == found


@pytest.mark.parametrize("text", ["", "\n# nothing\n  \n"])
def test_a_list_of_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "commits.txt").write_text(text)
    with pytest.raises(ConfigError, match="lists no commit"):
        listed_commits(tmp_path / "commits.txt")


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    for name in ("missing.txt", "bytes.txt", "."):
        with pytest.raises(ConfigError, match="cannot be read"):
            listed_commits(tmp_path / name)


def test_later_commits_descend_from_the_listed_ones_by_first_parents() -> None:
    def git(*arguments: str) -> str:
        return subprocess.run([*GIT, *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("a shallow clone lacks the listed commits")
    lines = (ROOT / "results" / "asv" / "commits.txt").read_text(encoding="utf-8").splitlines()
    listed = [line.split()[0] for line in lines if not line.startswith("#")]
    shown = git("rev-list", "--first-parent", "--reverse", "HEAD").split()
    assert [commit for commit in shown if commit in listed] == listed
