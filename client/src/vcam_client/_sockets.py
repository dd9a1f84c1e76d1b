"""Connections that are opened to look at a server, beside those of a transport."""

import socket
from urllib.parse import unquote

UNIX = "unix:"
"""What addresses of sockets in the file system begin with, as in gRPC."""


def opened(address: str, seconds: float) -> socket.socket:
    """A connection to an address of a `Connection`; the caller closes it.

    Raises:
        OSError: nothing takes it.
    """
    if address.startswith(UNIX):
        link = socket.socket(socket.AF_UNIX)
        try:
            link.settimeout(seconds)
            link.connect(unquote(address.removeprefix(UNIX)))  # as gRPC does
        except BaseException:
            link.close()
            raise
        return link
    return socket.create_connection(host_and_port(address), seconds)


def host_and_port(address: str) -> tuple[str, int]:
    """Of HOST:PORT or a URL; an IPv6 address without its brackets."""
    host, _, port = address.split("://")[-1].split("/")[0].rpartition(":")
    return host.strip("[]"), int(port)


def host_name(address: str) -> str:
    """The name that a certificate should be made out to."""
    return "localhost" if address.startswith(UNIX) else host_and_port(address)[0]
