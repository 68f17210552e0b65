"""Messages between two commands of a job, one line each, over a connection that notices when the other end is gone."""

import socket
from contextlib import suppress

from bench.execute.messages import Message

_CHUNK_BYTES = 1 << 16
_SECONDS_TO_SEND = 60
# A host that was switched off says nothing: after so many seconds without a sign of life it counts as gone.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6}


class GoneError(Exception):
    """The command at the other end has ended, or its host does not answer."""


class Channel:
    """One end of a connection.

    Args:
        connection: connected; it is closed with the channel.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        connection.settimeout(_SECONDS_TO_SEND)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def fileno(self) -> int:
        """The file descriptor, for a selector; readable when :meth:`receive` will not wait for the first byte."""
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        """Sends a message.

        Raises:
            GoneError: the other end is gone, or has not taken it for a minute.
        """
        try:
            self._connection.sendall(message.line())
        except OSError as error:
            raise GoneError from error

    def receive(self, seconds: float | None = None) -> bytes:
        """Waits for the next line.

        Args:
            seconds: between two parts of it; None for no limit.

        Raises:
            GoneError: the other end is gone, or the time is up.
        """
        try:
            self._connection.settimeout(seconds)
            while b"\n" not in self._received:
                chunk = self._connection.recv(_CHUNK_BYTES)
                if not chunk:
                    raise GoneError
                self._received += chunk
        except OSError as error:
            raise GoneError from error
        finally:
            with suppress(OSError):
                self._connection.settimeout(_SECONDS_TO_SEND)
        line, _, self._received = self._received.partition(b"\n")
        return line

    def is_gone(self) -> bool:
        """Whether the other end is gone and everything that it has sent was received."""
        try:
            self._connection.settimeout(0)
            return not self._received and self._connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            with suppress(OSError):
                self._connection.settimeout(_SECONDS_TO_SEND)

    def close(self) -> None:
        """Closes the connection, which the other end notices."""
        self._connection.close()
