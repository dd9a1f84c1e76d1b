"""The addresses of the embedded server: names, IPv4 and IPv6."""

import errno
import socket

from vcam_client.errors import InputError, ServerUnavailableError, VcamError

_MAX_PORT = 65535
# Free ports for a name with several addresses: each of them must have the port free.
_ATTEMPTS = 8
_NOT_OURS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def bound(host: str, port: int, option: str) -> list[socket.socket]:
    """Holds a port without listening on it, on every address that the host name stands for.

    Args:
        host: an IPv4 or IPv6 address, or a name of this machine.
        port: 0 takes a free one.
        option: what sets the port, for messages.

    Raises:
        InputError: the host is not an address of this machine.
        ServerUnavailableError: the port is taken.
    """
    if not 0 <= port <= _MAX_PORT:
        raise InputError(f"Expected a port from 0 to {_MAX_PORT} for {option}, received {port}.")
    addresses = _addresses(host)
    for attempt in range(_ATTEMPTS):
        try:
            return _bound_at_once(addresses, port)
        except OSError as error:
            last = attempt == _ATTEMPTS - 1
            if last or port or error.errno != errno.EADDRINUSE:
                raise _refused(host, port, option, error) from error
    raise AssertionError("the last attempt returns or raises")


def shown(host: str, port: int) -> str:
    """HOST:PORT, with brackets around an IPv6 address."""
    host = _bare(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def numeric(holder: socket.socket) -> str:
    """The numeric address of a bound socket, as gRPC writes it."""
    host, port = socket.getnameinfo(
        holder.getsockname(), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    )
    return shown(host, int(port))


def _addresses(host: str) -> list[tuple[socket.AddressFamily, tuple]]:
    try:
        found = socket.getaddrinfo(
            _bare(host), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise _not_here(host, error.strerror or str(error)) from error
    except ValueError as error:  # a name that no DNS server could know
        raise _not_here(host, "not a host name") from error
    # {} keeps the order: the system's preference
    return list({(family, address): None for family, _, _, _, address in found})


def _bound_at_once(
    addresses: list[tuple[socket.AddressFamily, tuple]], port: int
) -> list[socket.socket]:
    holders: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses:
            try:
                holder = _bound_to(family, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise
                missing = error  # "localhost" may name ::1 where IPv6 is off
            else:
                holders.append(holder)
                port = holder.getsockname()[1]
        if missing is not None and not holders:
            raise missing
    except OSError:
        for holder in holders:
            holder.close()
        raise
    return holders


def _bound_to(family: socket.AddressFamily, address: tuple) -> socket.socket:
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" is every address, IPv4 too, as TensorFlow Serving has it
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        holder.bind(address)
    except OSError:
        holder.close()
        raise
    return holder


def _bare(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _refused(host: str, port: int, option: str, error: OSError) -> VcamError:
    if error.errno in _NOT_OURS:
        return _not_here(host, error.strerror)
    if error.errno == errno.EACCES:
        what_helps = "Ports below 1024 are reserved: choose"
    else:
        what_helps = "Stop the server that has it, or choose"
    return ServerUnavailableError(
        f"Expected {shown(host, port)} to be free, received: {error.strerror or error}. "
        f"{what_helps} another port with {option} (0: any free one)."
    )


def _not_here(host: str, why: str) -> InputError:
    return InputError(
        f"Expected --host to be an address of this machine, received {host!r}: {why}. Use "
        "127.0.0.1 or ::1 for this machine alone, 0.0.0.0 or :: for every network."
    )
