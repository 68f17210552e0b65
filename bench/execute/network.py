"""The network interface over which this host reaches rank 0."""

import os
import socket

import psutil

from bench.errors import ConfigError

INTERFACE = "GLOO_SOCKET_IFNAME"


def check_interface() -> None:
    """Checks that the interfaces that the user has named exist.

    Raises:
        ConfigError: one does not.
    """
    known = psutil.net_if_addrs()
    for name in filter(None, os.environ.get(INTERFACE, "").split(",")):
        if name not in known:
            raise ConfigError(f"{INTERFACE} = {name!r}; legal: a network interface of this host: {', '.join(known)}")


def interface_towards(address: str, port: int) -> str | None:
    """The interface from which this host sends to ``address``; None where it cannot be told.

    Gloo would take the interface of the host's own name, which on many hosts is that of 127.0.1.1.
    """
    own = {_own_address(*found) for found in _addresses(address, port)}
    for name, interface in psutil.net_if_addrs().items():
        if any(one.address.partition("%")[0] in own for one in interface):
            return str(name)
    return None


def _addresses(address: str, port: int) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return [(family, place) for family, *_, place in found]


def _own_address(family: socket.AddressFamily, place: tuple[object, ...]) -> str | None:
    """The address that datagrams to ``place`` would come from; none is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        try:
            datagrams.connect(place)
        except OSError:
            return None
        own: str = datagrams.getsockname()[0]
        return own.partition("%")[0]
