"""Fixtures of the doctor's tests."""

from pathlib import Path

import pytest
from fake_machine import FakeMachine


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "machine")


@pytest.fixture(autouse=True)
def cores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPUs of a machine in files have cores of their own, whatever those of this machine do."""
    monkeypatch.setattr("bench.machine.doctor.cores.speed_at_once", lambda _threads: 0.98)
    monkeypatch.setattr("bench.measure.latency.exchange_check.exchange_speed", lambda _threads: 0.9)
