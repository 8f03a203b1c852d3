"""Waits for all hosts of a run before TensorFlow connects them.

TensorFlow waits for missing hosts for an hour, without a message, and ignores signals. So each host
first listens at its own address and calls the other addresses, until all hosts have answered and
called.
"""

import contextlib
import os
import socket
import time

from keras_reptile.distribution.cluster import Cluster


def meet(hosts: Cluster, seconds: float) -> None:
    """Returns once every other host has answered and has called.

    Raises:
        ValueError: If this host's port is in use, or a host does not answer in time.
    """
    own = hosts.addresses[hosts.index]
    others = [address for address in hosts.addresses if address != own]
    unanswered, unheard = set(others), set(others)
    end = time.monotonic() + seconds
    with _listen(own) as server:
        while unanswered or unheard:
            if time.monotonic() > end:
                missing = [a for a in others if a in unanswered | unheard]
                raise ValueError(
                    f"Not all hosts in TF_CONFIG answered within {seconds:g} s. Missing: "
                    f"{', '.join(missing)}. Start every worker, or raise connect_timeout."
                )
            unanswered = {address for address in unanswered if not _call(address, own)}
            unheard.discard(_heard(server))


def _listen(address: str) -> socket.socket:
    """Returns a server at an address's port, also for IPv6 where the system has it."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        server = socket.create_server(
            ("", _port(address)), family=family, backlog=1024, dualstack_ipv6=both
        )
    except OSError as error:
        raise ValueError(
            f"This worker cannot listen at {address}, its address in TF_CONFIG: "
            f"{os.strerror(error.errno or 0)}. Does another worker run with the same `index`?"
        ) from None
    server.settimeout(0.1)
    return server


def _call(address: str, own: str) -> bool:
    """Sends this host's address to another host. Returns whether it answered."""
    with contextlib.suppress(OSError):
        host = address.rpartition(":")[0].strip("[]")
        with socket.create_connection((host, _port(address)), timeout=1) as connection:
            connection.sendall(own.encode())
            return True
    return False


def _heard(server: socket.socket) -> str:
    """Returns the address of a host that calls, or "" if none does."""
    with contextlib.suppress(OSError):
        connection, _ = server.accept()
        with connection:
            connection.settimeout(1)
            return connection.recv(256).decode(errors="replace")
    return ""


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
