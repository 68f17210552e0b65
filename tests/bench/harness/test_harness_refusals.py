"""Wrong commands are refused before anything runs, with field, value and legal values, and no file is changed."""

from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from harness_tools import run_bench, write_sweep
from pydantic import ValidationError

from bench.config import check
from bench.config.axis import Axis
from bench.config.cell import BUILT_IN_AXES, PASSES, TOO_LARGE, Cell
from bench.config.check import make_cell
from bench.config.networks import network_names
from bench.config.sweep import load_sweep, suite_names
from bench.errors import ConfigError


def assert_refused(cli: RunCli, arguments: list[object], results: Path, fragments: tuple[str, ...]) -> None:
    """Asserts exit code 2 and a message, with and without a results file, which stays as it is."""
    for content in (None, b"") if not results.exists() else (results.read_bytes(),):
        if content is not None:
            results.write_bytes(content)
        ended = cli("run", *arguments, "--out", results)
        assert ended.exit_code == 2, (ended.stdout, ended.stderr, ended.exception)
        assert isinstance(ended.exception, SystemExit)
        for fragment in fragments:
            assert fragment in ended.stderr, ended.stderr
        assert "Traceback" not in ended.stderr
        assert ended.stdout == ""
        assert (results.read_bytes() if results.exists() else None) == content


@pytest.mark.parametrize(
    ("overrides", "fragments"),
    [
        (["method=sid-streemed"], ("method 'sid-streemed'", "mean sid-streamed?", "legal: bp, ")),
        (["widht=3"], ("unknown axis 'widht'", "did you mean width?", *Cell.model_fields)),
        (["dataset=minst"], ("unknown dataset 'minst'", "did you mean mnist?", "cifar10")),
        (["dataset=digits:some"], ("unknown dataset 'digits:some'", "digits")),
        (["network=resnet"], ("unknown network 'resnet'", *network_names())),
        (["depth=4", "modules=3"], ("modules = 3 does not divide depth = 4", "legal: [1, 2, 4]")),
        (["modules=half"], ("modules = 'half'", "legal: integers of 1 or more, 'depth', 'depth/N'")),
        (["modules=depth/0"], ("modules = 'depth/0'", "legal:")),
        (["modules=depth/3"], ("'depth/N' divides none of its depths",)),
        (["alpha=0"], ("alpha = 0", "legal: a number in (0, 1]")),
        (["alpha=1.5"], ("alpha = 1.5", "legal: a number in (0, 1]")),
        (["alpha=nan"], ("alpha = nan", "legal: a number in (0, 1]")),
        (["alpha=0.5:2"], ("alpha = 2", "legal: a number in (0, 1]")),
        (["method=sid-streamed", "alpha=0.1:0.2:0.3"], ("has 3 values", "legal: one number, or 4")),
        (["alpha=0.9..2"], ("alpha = '0.9..2'", "legal: a number in (0, 1]", "FIRST..LAST")),
        (["alpha=0.9.."], ("alpha = '0.9..'", "FIRST..LAST")),
        (["alpha=0.9..0.5..0.1"], ("alpha = '0.9..0.5..0.1'", "FIRST..LAST")),
        (["alpha=high"], ("alpha = 'high'", "legal: a number in (0, 1]", "FIRST..LAST")),
        (["alpha=0.9..0.1:0.5"], ("alpha = '0.9..0.1'", "FIRST..LAST")),
        (["alpha=0.9..0.1", "modules=1"], ("alpha = '0.9..0.1' for modules = 1", "legal: one number")),
        (["alpha=0.9..0.1", "depth=deep"], ("depth = 'deep'", "legal: an integer of 1 or more")),
        (["direction=backward"], ("direction = 'backward'", "legal: forward ", " or reverse ")),
        (["direction=reverse", "smoothing=0"], ("smoothing = 0", "legal: a number in (0, 1)")),
        (["smoothing=1"], ("smoothing = 1", "legal: a number in (0, 1)")),
        (["smoothing=nan"], ("smoothing = nan", "legal: a number in (0, 1)")),
        (["loss_reduction=none"], ("loss_reduction = 'none'", "legal: sum or mean")),
        (["batch_size=-8"], ("batch_size = -8", "legal: an integer of 1 or more")),
        (["batch_size=8.5"], ("batch_size = 8.5", "legal: an integer of 1 or more")),
        (["noise_rate=1.2"], ("noise_rate = 1.2", "legal: a number in [0, 1]")),
        (["noise_rate=0.4", "noise_kind=none"], ("noise_kind = 'none'", "noise_rate = 0.4", "legal")),
        (["noise_rate=0.4", "noise_kind=symetric"], ("noise_kind = 'symetric'", "symmetric-exclusive")),
        (["depth=0"], ("depth = 0", "legal: an integer of 1 or more")),
        (["depth=deep"], ("depth = 'deep'", "legal: an integer of 1 or more")),
        (["batch_size=9223372036854775808"], ("batch_size = 9223372036854775808", "of 1 or more", "below 2**63")),
        (["seed=99999999999999999999"], ("seed = 99999999999999999999", "of 0 or more", "below 2**63")),
        (["seed=-1"], ("seed = -1", "legal: an integer of 0 or more")),
        (["learning_rate=0"], ("learning_rate = 0", "legal: a number above 0")),
        (["learning_rate=inf"], ("learning_rate = inf", "legal: a number above 0")),
        (["optimizer=rmsprop"], ("optimizer = 'rmsprop'", "legal: adam, or sgd")),
        (["schedule=linear"], ("schedule = 'linear'", "legal: constant or cosine")),
        (["train_samples=1"], ("train_samples = 1", "legal: an integer of 2 or more")),
        (["image_size=16"], ("image_size = 16", "'digits'", "its files decide")),
        (["precision=float16"], ("precision = 'float16'", "legal: float32, or bfloat16")),
        (["compile=yes"], ("compile = 'yes'", "legal: true or false")),
        (
            ["compile=true"],
            ("compile = True has no pass inference", "legal: passes of memory, latency, accuracy"),
        ),
        (
            ["compile=true", "passes=latency", "method=sid-vectorised"],
            ("compile = True for method 'sid-vectorised'", "legal: False"),
        ),
        (["device=tpu"], ("device = 'tpu'", "legal: cpu, cuda or cuda:N")),
        (["passes=memory,speed"], ("passes = 'speed'", "legal: one or more of memory, latency, accuracy, inference")),
        (["dataset=random"], ("passes = accuracy", "'random'", "legal: memory, latency, inference")),
        (
            ["method=sid-vectorised", "network=pipeline-conv", "depth=5", "modules=5"],
            (
                "network = 'pipeline-conv' for method 'sid-vectorised'",
                "a pipeline; legal: cascade",
            ),
        ),
        (
            ["method=bp-label-smoothing", "alpha=0.3:0.5:0.5:0.5"],
            ("alpha = [0.3, 0.5, 0.5, 0.5] for method 'bp-label-smoothing'", "legal: one number in (0, 1]"),
        ),
        (["depth=4", "depth=8"], ("--set depth=8: depth is given twice", "legal: --set depth=VALUE,VALUE")),
        (["batch-size=4", "epochs=1", "batch_size=4"], ("--set batch_size=4: batch_size is given twice",)),
        (["depth"], ("--set 'depth' is not AXIS=VALUE", "--set depth=8,16")),
        (["depth="], ("--set 'depth=' is not AXIS=VALUE",)),
        (["=3"], ("unknown axis ''",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_override_that_is_not_legal_is_refused(
    cli: RunCli,
    tmp_path: Path,
    results: Path,
    asked: list[tuple[str, Cell]],
    overrides: list[str],
    fragments: tuple[str],
) -> None:
    methods = ["bp", "sid-published", "sid-streamed"]
    base = write_sweep(tmp_path / "base.toml", method=methods, depth=4, modules="depth", passes=list(PASSES))
    assert_refused(cli, [base, *(part for text in overrides for part in ("--set", text))], results, fragments)
    assert asked == []


@pytest.mark.parametrize("name", Cell.model_fields)
def test_no_cell_holds_an_integer_that_a_results_file_cannot(name: str) -> None:
    try:
        cell = Cell.model_validate({name: TOO_LARGE})
    except ValidationError:
        return
    assert isinstance(getattr(cell, name), float)
    assert name not in ("batch_size", "threads", "train_samples", "classes", "seed")


@pytest.mark.parametrize(("kind", "value"), [(int, TOO_LARGE), (list[int], [1, -TOO_LARGE - 1]), (Any, {"a": 2**64})])
def test_an_axis_of_another_package_holds_none_either(kind: Any, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    added = {"patience": Axis(name="patience", type=kind, description="how long to wait", later=True)}
    monkeypatch.setattr(check, "added_axes", lambda: added)
    monkeypatch.setattr(check, "axes", lambda: BUILT_IN_AXES | added)
    assert make_cell({"patience": 2**63 - 1} if kind is int else {}).id
    with pytest.raises(ConfigError, match=r"patience = .*; legal: how long to wait; .*below 2\*\*63"):
        make_cell({"patience": value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("smoke", ["modules=depth/3"], ["method=bp"]), "smoke has no cell: its 'depth/N' divides none of its depths"),
        (("smoke", ["modules=depth/3", "depth=6,4"], ["depth=4"]), "divides none of its depths that --only keeps"),
        (("smoke", ["modules=depth/3", "depth=6,4"], ["depth=8"]), "--only depth=8: no cell of the sweep has it"),
        ((None, ["modules=depth/3", "method=bp"], []), "'depth/N' in --set modules divides none of the depths"),
        ((None, ["modules=depth/3"], []), "'depth/N' in --set modules divides none of the depths"),
        ((None, ["modules=depth/3"], ["method=bp"]), "'depth/N' in --set modules divides none of the depths"),
    ],
)
def test_where_a_divisor_leaves_no_cell_it_is_named(
    arguments: tuple[str | None, list[str], list[str]], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep(*arguments)
    assert message in str(caught.value)


def test_an_unknown_suite_is_refused(cli: RunCli, results: Path) -> None:
    fragments = ("unknown suite 'smok'", "did you mean smoke?", *suite_names(), ".toml")
    assert_refused(cli, ["smok"], results, fragments)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("[[grid]]\nmethod = ", ("mine.toml is not a TOML file: Invalid value",)),
        ('method = "bp"\n', ("unknown key 'method'", "legal: description, question, common, grid")),
        ("description = 3\n", ("mine.toml: description = 3; legal: a text of one line",)),
        ('question = ["why"]\n', ("mine.toml: question = ['why']; legal: a text of one line",)),
        ('question = "why\\nnot"\n', ("mine.toml: question = 'why\\nnot'; legal: a text of one line",)),
        ('description = "nothing"\n', ("has no [[grid]]",)),
        ('[grid]\nmethod = "bp"\n', ("has no [[grid]]",)),
        ("grid = [1, 2]\n", ("has no [[grid]]",)),
        ("grid = []\n", ("has no [[grid]]",)),
        ('[[grid]]\nmethod = "bp"\n[[grids]]\n', ("unknown key 'grids'", "did you mean grid?")),
        ("common = 3\n[[grid]]\ndepth = 3\n", ("mine.toml: common = 3; legal: a table of axes, [common]",)),
        ("[common]\ndepht = 3\n[[grid]]\ndepth = 3\n", ("mine.toml, common: unknown axis 'depht'", "mean depth?")),
        ("[common]\ndepth = true\n[[grid]]\nseed = 3\n", ("grid 1", "depth = True", "legal: an integer of 1 or more")),
        ("[[grid]]\ndepht = 3\n", ("unknown axis 'depht'", "did you mean depth?")),
        ("[[grid]]\ndepth = []\n", ("depth = []", "at least one value")),
        ("[[grid]]\ndepth = true\n", ("depth = True", "legal: an integer of 1 or more")),
        ("[[grid]]\nalpha = true\n", ("alpha = True", "legal: a number in (0, 1]")),
        ("[[grid]]\nseed = 2020-01-01\n", ("seed = datetime.date(2020, 1, 1)", "legal: an integer of 0 or more")),
        ("[[grid]]\nmethod = {name = 'bp'}\n", ("method = {'name': 'bp'}", "legal:")),
        ("[[grid]]\npasses = []\n", ("passes", "legal: one or more of memory, latency, accuracy, inference")),
        ("\0", ("is not a TOML file",)),
    ],
)
def test_a_sweep_file_that_is_not_legal_is_refused(
    cli: RunCli, tmp_path: Path, results: Path, text: str, fragments: tuple[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    assert_refused(cli, [path], results, fragments)


def test_a_grid_has_what_is_common_to_all_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = "[common]\nbatch_size = 8\ndepth = [2, 4]\n[[grid]]\nseed = 1\n[[grid]]\ndepth = 6\n"
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    cells = load_sweep(str(path)).cells
    assert [(cell.batch_size, cell.depth, cell.seed) for cell in cells] == [(8, 2, 1), (8, 4, 1), (8, 6, 0)]


@pytest.mark.parametrize("axis", ["noise_rate", "learning_rate", "weight_decay", "latency_seconds"])
@pytest.mark.parametrize("value", [True, "0.4"])
def test_a_value_of_another_type_is_not_taken_for_a_number(axis: str, value: object) -> None:
    with pytest.raises(ConfigError, match=axis):
        make_cell({axis: value})


def test_a_sweep_file_that_is_missing_or_a_directory_or_not_text_is_refused(
    cli: RunCli, tmp_path: Path, results: Path
) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "latin1.toml").write_bytes('description = "é"\n'.encode("latin-1"))
    for name, fragment in [("none", "No such file"), ("folder", "Is a directory"), ("latin1", "utf-8")]:
        path = tmp_path / f"{name}.toml"
        assert_refused(cli, [path], results, (f"cannot read {path}", fragment))
        results.unlink(missing_ok=True)


@pytest.mark.parametrize("text", ["2 apples", "12", "GiB", "0GiB", "-1GiB", "infGiB", "nanMiB", "1e300GiB", "2giga"])
def test_a_memory_limit_that_is_not_legal_is_refused(cli: RunCli, sweep: Path, results: Path, text: str) -> None:
    assert_refused(
        cli, [sweep, f"--memory-limit={text}"], results, (f"--memory-limit '{text}'", "legal:", "as in 2GiB")
    )


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-1",
        "soon",
        "nan",
        "inf",
        "1e308",
    ],
)
def test_a_cell_timeout_that_is_not_legal_is_refused(
    cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]], text: str
) -> None:
    assert_refused(cli, [sweep, f"--cell-timeout={text}"], results, ("Invalid value for '--cell-timeout'",))
    assert asked == []


def test_an_unknown_option_is_refused(cli: RunCli, sweep: Path, results: Path) -> None:
    assert_refused(cli, [sweep, "--fast"], results, ("No such option: --fast",))


MISSING = [
    (["dataset=mnist"], (), ("'mnist'", "--data-root DIRECTORY")),
    (["dataset=mnist"], ("--data-root", "{empty}"), ("'mnist'", "{empty}", "--data-root", "--download")),
    (["dataset=svhn"], ("--data-root", "{empty}"), ("'svhn'", "--data-root", "--download")),
    (["dataset=image-folder:pets"], (), ("'image-folder:pets'", "--data-root DIRECTORY")),
    (["dataset=image-folder:pets"], ("--data-root", "{empty}"), ("{empty}/pets/train", "--data-root")),
    (["dataset=image-folder"], ("--data-root", "{empty}/none"), ("{empty}/none/train", "--data-root")),
    (["device=cuda:99"], (), ("device = 'cuda:99' is not on this machine", "legal: cpu")),
]


def test_the_compiler_is_checked_before_anything_is_measured(
    cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]]
) -> None:
    ended = cli("run", sweep, "--out", results, "--set", "compile=true", "--set", "passes=latency")
    assert ended.exit_code == 0
    assert [(task, cell.compile) for task, cell in asked] == [("check", True), ("time", True), ("time", True)]


def missing_arguments(
    sweep: Path, empty: Path, overrides: list[str], options: tuple[str, ...], fragments: tuple[str, ...]
) -> tuple[list[object], tuple[str, ...]]:
    """The arguments and the expected fragments, with the folder filled in."""
    sets = [part for override in overrides for part in ("--set", override)]
    filled = [option.format(empty=empty) for option in options]
    return [sweep, *sets, *filled], tuple(fragment.format(empty=empty) for fragment in fragments)


@pytest.mark.parametrize(("overrides", "options", "fragments"), MISSING)
def test_missing_data_or_a_missing_device_is_reported_before_anything_is_measured(
    measuring_cli: RunCli,
    sweep: Path,
    results: Path,
    tmp_path: Path,
    overrides: list[str],
    options: tuple[str, ...],
    fragments: tuple[str, ...],
) -> None:
    results.write_bytes(b"")
    empty = tmp_path / "empty"
    empty.mkdir()
    arguments, expected = missing_arguments(sweep, empty, overrides, options, fragments)
    assert_refused(measuring_cli, [*arguments, "--quiet"], results, expected)
    assert list(empty.iterdir()) == []


def test_missing_data_leaves_no_results_file(measuring_cli: RunCli, sweep: Path, results: Path) -> None:
    ended = measuring_cli("run", sweep, "--set", "dataset=mnist", "--out", results)
    assert ended.exit_code == 2
    assert not results.exists()


def test_one_missing_data_set_stops_the_cells_of_all(measuring_cli: RunCli, sweep: Path, results: Path) -> None:
    ended = measuring_cli("run", sweep, "--set", "dataset=random,mnist", "--out", results)
    assert ended.exit_code == 2
    assert not results.exists() or results.read_bytes() == b""


@pytest.mark.parametrize("arguments", [["run", "smok"], ["list", "colours"], ["run", "smoke", "--set", "depth=0"]])
@pytest.mark.long
def test_a_real_process_ends_with_code_2_and_one_message(tmp_path: Path, arguments: list[str]) -> None:
    ended = run_bench(*arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_results_file_is_refused(
    cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]]
) -> None:
    results.write_text("my diary\n")
    assert_refused(cli, [sweep], results, (str(results), "line 1 is damaged"))
    assert asked == []


def test_a_results_folder_that_cannot_be_made_is_refused(
    cli: RunCli, sweep: Path, tmp_path: Path, asked: list[tuple[str, Cell]]
) -> None:
    (tmp_path / "file").write_text("")
    ended = cli("run", sweep, "--out", tmp_path / "file" / "results.jsonl")
    assert ended.exit_code == 2
    assert "error: cannot write" in ended.stderr
    assert asked == []
