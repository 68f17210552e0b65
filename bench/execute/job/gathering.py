"""How the commands of a job find each other: rank 0 listens, and leaves its port and a token in the job's store."""

import datetime
import hmac
import os
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError, first_line
from bench.execute.job.channel import Channel, GoneError
from bench.execute.messages import Hello, Place
from bench.execute.network import check_interface
from bench.machine.environment import machine_environment

START_SECONDS = 300.0
_SECONDS_TO_SAY_HELLO = 10.0
_SAME = ("sid_bench", "commit", "python", "torch")


@dataclass(frozen=True)
class Follower:
    """The command of another rank, as rank 0 sees it.

    Attributes:
        rank: from 1.
        host: the name of its host.
        channel: to it.
    """

    rank: int
    host: str
    channel: Channel


class Gathering:
    """Rank 0's end: the store of the job, and a connection to every other command.

    Args:
        place: of rank 0.
        seconds: how long to wait for the others.

    Attributes:
        followers: the commands of the other ranks, in order.
        token: a text that nobody outside of the job knows.

    Raises:
        BenchError: a rank has not come in time, or runs another version.
    """

    def __init__(self, place: Place, seconds: float = START_SECONDS) -> None:
        check_interface()
        self.token = secrets.token_hex(16)
        self.followers: list[Follower] = []
        self._key = _key(place)
        self._store = _open_store(place, seconds)
        with ExitStack() as on_error:
            on_error.callback(self.close)
            with _listen() as listener:
                self._store.set(self._key, f"{listener.getsockname()[1]} {self.token}")
                self._accept(place, listener, seconds)
            on_error.pop_all()

    def close(self) -> None:
        """Closes all connections, so that the other commands end."""
        for follower in self.followers:
            follower.channel.close()
        try:
            self._store.delete_key(self._key)  # torchrun's own store outlives this command
        except RuntimeError:
            return  # and so does nothing that needs it

    def _accept(self, place: Place, listener: socket.socket, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        missing = set(range(1, place.ranks))
        while missing:
            listener.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                connection, _ = listener.accept()
            except OSError:
                ranks = ", ".join(map(str, sorted(missing)))
                raise BenchError(
                    f"--executor torchrun: of {place.ranks} ranks, {ranks} had not come after {seconds:g} s; legal: "
                    "the same command on every rank, on hosts that reach each other"
                ) from None
            channel = Channel(connection)
            try:
                hello = Hello.parse(channel.receive(_SECONDS_TO_SAY_HELLO))
            except (GoneError, ValueError):
                channel.close()  # it is no command of this job
                continue
            if not hmac.compare_digest(hello.token, self.token) or hello.rank not in missing:
                channel.close()
                continue
            missing.remove(hello.rank)
            self.followers.append(Follower(hello.rank, hello.host, channel))
            _require_same(hello)
        self.followers.sort(key=lambda follower: follower.rank)


def join(place: Place, seconds: float = START_SECONDS) -> Channel:
    """Connects this command to that of rank 0.

    Raises:
        BenchError: rank 0 has not come in time.
    """
    check_interface()
    store = _open_store(place, seconds)
    try:
        port, token = store.get(_key(place)).decode().split()
        connection = socket.create_connection((place.address, int(port)), timeout=seconds)
        channel = Channel(connection)
        channel.send(Hello(token=token, rank=place.rank, host=socket.gethostname(), versions=_versions()))
    except (RuntimeError, OSError, GoneError) as error:
        raise BenchError(
            f"--executor torchrun: rank {place.rank} of {place.ranks} did not find rank 0 at {place.address} within "
            f"{seconds:g} s: {first_line(error)}"
        ) from None
    return channel


def _listen() -> socket.socket:
    """A socket that hosts of the network reach, by whatever protocol there is."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _key(place: Place) -> str:
    """Where rank 0's port is; torchrun may start all commands again, with the same store."""
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return f"sid-bench/{restart}/{place.ranks}"


def _open_store(place: Place, seconds: float) -> Any:
    """The store at ``MASTER_ADDR`` and ``MASTER_PORT``: torchrun's own, or one that rank 0 runs."""
    from torch._C._distributed_c10d import TCPStore

    serves = place.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    timeout = datetime.timedelta(seconds=seconds)
    try:
        return TCPStore(
            place.address, place.port, place.ranks, is_master=serves, timeout=timeout, wait_for_workers=False
        )
    except RuntimeError as error:
        what = "run" if serves else "reach"
        raise BenchError(
            f"--executor torchrun: rank {place.rank} cannot {what} the store at MASTER_ADDR = {place.address}, "
            f"MASTER_PORT = {place.port}: {first_line(error)}"
        ) from None


def _versions() -> dict[str, str | None]:
    environment = machine_environment()
    return {name: environment.get(name) for name in _SAME}


def _require_same(hello: Hello) -> None:
    own = _versions()
    for name, value in hello.versions.items():
        if value != own.get(name):
            raise BenchError(
                f"--executor torchrun: rank {hello.rank} on {hello.host} has {name} = {value} and rank 0 has "
                f"{own.get(name)}; legal: the same on every rank"
            )


def hosts_of(followers: Sequence[Follower]) -> int:
    """How many hosts the ranks are on, rank 0 included."""
    return len({socket.gethostname(), *(follower.host for follower in followers)})
