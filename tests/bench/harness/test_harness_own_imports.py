"""The version of a user's own file is also that of the files beside it that it imports."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import TINY
from hypothesis import given
from hypothesis import strategies as st
from record_builder import make_record

from bench.analysis.own_versions import own_versions
from bench.config.cell import Cell
from bench.config.own_files import own_files
from bench.config.own_imports import with_imports
from bench.report import write_report

FILES = {
    "rules.py": "import helper\nimport torch, os\nfrom package import inner\ndef rule(*a):\n    import late\n"
    "named = 'named.code:train'\nother = 'see: there'\n",
    "named/code.py": "",
    "late/__init__.py": "import package.deep.leaf as leaf\n",  # not late.py: Python prefers a package
    "helper.py": "import bench.config\nfrom rules import rule\n",
    "late.py": "",
    "see.py": "",
    "package/__init__.py": "",
    "package/inner.py": "from . import beside\nfrom .. import helper\nfrom ..... import nothing\n",
    "package/beside.py": "",
    "package/deep/leaf.py": "",
    "package/not_imported.py": "",
    "torch.py": "",  # an installed module is found before it
    "os.py": "",
    "bench/config.py": "",
}
IMPORTED = {
    "rules.py",
    "helper.py",
    "late/__init__.py",
    "named/code.py",
    "package/__init__.py",
    "package/inner.py",
    "package/beside.py",
    "package/deep/leaf.py",
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("axis", ["method", "network", "head", "dataset"])
@pytest.mark.parametrize("is_searched", [False, True])
@pytest.mark.parametrize(
    ("name", "folder"), [("rules.py:rule", ""), ("{folder}/rules.py:rule", "{folder}/"), ("rules:rule", "")]
)
def test_files_that_a_file_imports_are_part_of_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str, is_searched: bool, axis: str
) -> None:
    write(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    if is_searched:  # as when the file is loaded
        (tmp_path / "link").symlink_to(tmp_path)
        monkeypatch.setattr("sys.path", [*sys.path, str(tmp_path / "link")])
    cell = Cell(**{axis: name.format(folder=tmp_path)})
    before = own_files(cell)
    assert set(before) == {folder.format(folder=tmp_path) + file for file in IMPORTED}
    for file in FILES:
        (tmp_path / file).write_text(f"{FILES[file]}# changed")
        changed = {key for key, version in own_files(cell).items() if before[key] != version}
        assert changed == ({folder.format(folder=tmp_path) + file} if file in IMPORTED else set())
        (tmp_path / file).write_text(FILES[file])


@pytest.mark.parametrize("name", ["bp", "bench.train.rules.bp:train", "json:loads", "none.py:rule", "none:rule"])
def test_what_is_not_in_the_current_folder_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert own_files(Cell(method=name)) == {}


@given(
    imports=st.dictionaries(
        st.sampled_from(["own_a", "own_b", "own_c", "own_d"]),
        st.lists(st.sampled_from(["own_a", "own_b", "own_c", "own_d", "own_none"]), unique=True),
        min_size=1,
    )
)
def test_what_is_imported_is_what_can_be_reached(
    tmp_path_factory: pytest.TempPathFactory, imports: dict[str, list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("own").resolve()
    write(folder, {f"{name}.py": "".join(f"import {one}\n" for one in names) for name, names in imports.items()})
    first = next(iter(imports))
    reached, previous = {first}, set[str]()
    while reached != previous:
        previous = set(reached)
        reached |= {one for name in previous for one in imports[name] if one in imports}
    found = with_imports([folder / f"{first}.py"], folder)
    assert len(found) == len(set(found))
    assert {path.stem for path in found} == reached


@pytest.mark.parametrize("content", [b"def (", b"\xff\xfe\x00", b"import a\x00b", b"(" * 3000])
def test_a_file_that_cannot_be_parsed_has_a_version_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "rules.py").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert list(own_files(Cell(method="rules.py:rule"))) == ["rules.py"]


@pytest.mark.long
def test_run_tells_of_a_helper_that_has_changed(tmp_path: Path, measuring_cli: RunCli) -> None:
    rule = "import own_helper_of_a_rule as helper\n\n\ndef rule(network, images, labels, objective):\n"
    write(tmp_path, {"rules.py": rule + "    return helper.step(network, images, labels)\n"})
    helper = "import torch.nn.functional as F\n\n\ndef step(network, images, labels):\n"
    helper += "    loss = F.cross_entropy(network(images), labels)\n    loss.backward()\n    return loss.detach()\n"
    write(tmp_path, {"own_helper_of_a_rule.py": helper})
    axes = TINY | {"method": f"{tmp_path}/rules.py:rule", "passes": "memory"}
    options = [text for axis, value in axes.items() for text in ("--set", f"{axis}={value}")]
    assert measuring_cli("run", *options, "--out", tmp_path / "own.jsonl").exit_code == 0
    write(tmp_path, {"own_helper_of_a_rule.py": helper + "# changed\n"})
    ended = measuring_cli("run", *options, "--out", tmp_path / "own.jsonl")
    assert f"warning: {tmp_path}/own_helper_of_a_rule.py has changed since" in " ".join(ended.stderr.split())


def test_a_report_tells_of_records_from_several_versions(tmp_path: Path) -> None:
    records = [
        make_record({"method": "bp", "passes": ["memory"], "batch_size": size}, 100).model_copy(
            update={"environment": {"own_files": {"rules.py": version}} if version else {}}
        )
        for size, version in ((1, "a" * 12), (2, "b" * 12), (3, "b" * 12), (4, None))
    ]
    assert own_versions(records) == {"rules.py": {"a" * 12: 1, "b" * 12: 2}}
    for chosen, told in ((records, 1), (records[1:], 0)):
        file = tmp_path / "own.jsonl"
        file.write_text("".join(f"{record.line()}\n" for record in chosen))
        warnings: list[str] = []
        write_report([file], tmp_path / "page.html", warn=warnings.append)
        assert (
            sum("come from 2 versions of rules.py: 2 records from bbbbbbbbbbbb, 1 record from" in w for w in warnings)
            == told
        )
