"""The fields of a cluster: their forms, and errors that name the field, the value and the legal values."""

from pathlib import Path

import pytest
from command_line import RunCli
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import ConfigError
from bench.execute.cluster.settings import ClusterSettings, load_cluster

TABLE = """
partition = "gpu"
account = "my-project"
qos = "long"
constraint = "a100&ib"
gpu_type = "a100"
time = "1-02:30:01"
memory = "32GiB"
cpus_per_task = 8
cells_per_task = 5
tasks_at_once = 3
setup = ["module load cuda", "export A='b c'"]

[sbatch]
nice = 100
reservation = "bench"
contiguous = true
"""


def test_every_field_can_be_given_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(TABLE)
    assert load_cluster(file).model_dump() == {
        "partition": "gpu",
        "account": "my-project",
        "qos": "long",
        "constraint": "a100&ib",
        "gpu_type": "a100",
        "time": 26 * 60 + 31,
        "memory": 32 << 30,
        "cpus_per_task": 8,
        "cells_per_task": 5,
        "tasks_at_once": 3,
        "setup": ("module load cuda", "export A='b c'"),
        "sbatch": {"nice": 100, "reservation": "bench", "contiguous": True},
    }


def test_every_field_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(TABLE)
    given_texts = ["partition=cpu", "time=90", "memory=512MiB", "cells-per-task=1", "setup=module load a=b"]
    settings = load_cluster(file, [*given_texts, "sbatch.nice=50", "sbatch.gres-flags=enforce-binding"])
    assert (settings.partition, settings.time, settings.memory) == ("cpu", 90, 512 << 20)
    assert (settings.cells_per_task, settings.setup) == (1, ("module load a=b",))
    assert settings.sbatch == {
        "nice": "50",
        "reservation": "bench",
        "contiguous": True,
        "gres-flags": "enforce-binding",
    }
    assert load_cluster(None, ["time=2:00:00"]) == ClusterSettings(time=120)


@given(st.integers(0, 400), st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_a_time_is_rounded_up_to_minutes_as_slurm_does(days: int, hours: int, minutes: int, seconds: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    text = f"{days}-{hours:02}:{minutes:02}:{seconds:02}"
    if total:
        assert load_cluster(None, [f"time={text}"]).time == -(-total // 60)
    else:
        with pytest.raises(ConfigError):
            load_cluster(None, [f"time={text}"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("partitoin = 'gpu'", "unknown field 'partitoin'; did you mean partition? legal: partition, account"),
        ("partition = ''", "partition = ''; legal: the name of a partition"),
        ("partition = 'a b'", "partition = 'a b'; legal: the name of a partition"),
        ("account = 3", "account = 3; legal: the name of an account"),
        ("time = 0", "time = 0; legal: minutes as an integer of 1 or more, or a text as '2:30:00'"),
        ("time = '2h'", "time = '2h'; legal: minutes"),
        ("time = '1:60:00'", "time = '1:60:00'; legal: minutes"),
        ("time = true", "time = True; legal: minutes"),
        ("memory = 32", "memory = 32; legal: a number and one of MB"),
        ("memory = '32'", "memory = '32'; legal: a number and one of MB"),
        ("memory = '1kB'", "memory = '1kB'; legal: a number and one of MB"),
        ("cpus_per_task = 0", "cpus_per_task = 0; legal: an integer of 1 or more"),
        ("cpus_per_task = 1.5", "cpus_per_task = 1.5; legal: an integer of 1 or more"),
        ("cells_per_task = -1", "cells_per_task = -1; legal: an integer of 1 or more"),
        ("tasks_at_once = 'all'", "tasks_at_once = 'all'; legal: an integer of 1 or more"),
        ("setup = 3", "setup = 3; legal: lines of shell"),
        ("sbatch = 3", "sbatch = 3; legal: other options of sbatch"),
        ("[sbatch]\npartition = 'a'", "sbatch = {'partition': 'a'}; legal: other options of sbatch without the dashes"),
        ("[sbatch]\n--nice = 1", "sbatch = {'--nice': 1}; legal: other options of sbatch without the dashes"),
        ("[sbatch]\nnice = false", "sbatch = {'nice': False}; legal: other options of sbatch"),
    ],
)
def test_an_illegal_field_is_named_with_its_value_and_the_legal_ones(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_cluster(file)
    assert str(caught.value).startswith(f"{file}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition", "--cluster-set 'partition' is not FIELD=VALUE"),
        ("partition=", "--cluster-set 'partition=' is not FIELD=VALUE"),
        ("gpus=2", "--cluster-set unknown field 'gpus'; "),
        ("time=soon", "--cluster-set time = 'soon'; legal: minutes"),
        ("sbatch.array=1", "--cluster-set sbatch = {'array': '1'}; legal: other options"),
        ("gpu.type=a", "--cluster-set unknown field 'gpu.type'"),
    ],
)
def test_an_illegal_option_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_cluster(None, [text])
    assert str(caught.value).startswith(message)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read --cluster .*none.toml: No such file"):
        load_cluster(tmp_path / "none.toml")
    file = tmp_path / "broken.toml"
    file.write_text("partition =")
    with pytest.raises(ConfigError, match=r"--cluster .*broken.toml is not a TOML file"):
        load_cluster(file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--executor", "slrum"], "unknown executor 'slrum'; did you mean slurm? legal: local, submitit-local, slurm"),
        (["--cluster", "a.toml"], "--cluster with --executor local, which submits nothing; legal with: submitit-local"),
        (["--cluster-set", "time=3"], "--cluster-set with --executor local, which submits nothing"),
        (["--executor", "slurm", "--jobs", "2"], "--jobs 2 with --executor slurm, whose tasks run at the same time"),
        (["--executor", "slurm", "--cluster-set", "time=0"], "--cluster-set time = '0'; legal: minutes"),
    ],
)
def test_the_command_refuses_options_that_are_of_no_use(cli: RunCli, arguments: list[str], message: str) -> None:
    ended = cli("run", "smoke", "--dry-run", *arguments)
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"error: {message}")
