"""The fork servers that run for this process, of which there may be several in threads of their own.

All of them are children of this process, and so are the orphans that it adopts from a server that has ended. Whoever
kills those orphans must know the servers that run.
"""

import threading
from collections.abc import Mapping, Sequence, Set

from bench.execute.server_process import ServerProcess
from bench.machine.descendants import adopt_orphans, kill_children

_lock = threading.Lock()
_running: set[ServerProcess] = set()


def start_server(command: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]) -> ServerProcess:
    """Starts a fork server, see :class:`~bench.execute.server_process.ServerProcess`.

    Raises:
        OSError: no process or no pipe can be made.
    """
    with _lock:  # no other thread takes the new process for an orphan
        adopt_orphans()
        server = ServerProcess(command, arguments, environment)
        _running.add(server)
        return server


def forget_server(server: ServerProcess) -> None:
    """Notes that ``server`` has ended and was waited for."""
    with _lock:
        _running.discard(server)


def kill_orphans(spared: Set[int]) -> None:
    """Kills all children of this process except the running servers and ``spared``, and what is adopted from them.

    Orphans of another server may be among them: that server has ended, too, so they are to be killed in any case.
    """
    with _lock:
        kill_children(spared | {server.process.pid for server in _running})
