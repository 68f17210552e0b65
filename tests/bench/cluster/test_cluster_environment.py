"""What a record says of the job that it comes from."""

import platform

import pytest

from bench.machine.environment import machine_environment


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "0"}, "12_0"),
    ],
    ids=["job", "task of an array"],
)
def test_a_record_names_job_node_and_partition(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], job: str
) -> None:
    for name, value in {**variables, "SLURM_JOB_PARTITION": "gpu"}.items():
        monkeypatch.setenv(name, value)
    found = machine_environment.__wrapped__()
    assert found["slurm"] == {"job": job, "node": platform.node(), "partition": "gpu"}


def test_a_record_from_outside_of_a_job_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    assert "slurm" not in machine_environment.__wrapped__()
