"""The hosts of a run meet before TensorFlow connects them.

TensorFlow waits for missing hosts for an hour, without a word, deaf to signals. So each host first
listens at its own address and tries those of the others, until all have answered.
"""

import socket
import time

from keras_reptile.distribution.cluster import Cluster


def meet(hosts: Cluster, seconds: float) -> None:
    """Returns once every other host has answered.

    Raises:
        ValueError: If this host's own port is taken, or some host does not answer in time.
    """
    missing = [a for i, a in enumerate(hosts.addresses) if i != hosts.index]
    end = time.monotonic() + seconds
    with _listen(hosts.addresses[hosts.index]):
        while missing:
            missing = [address for address in missing if not _answers(address)]
            if missing and time.monotonic() > end:
                raise ValueError(
                    f"Not all hosts in TF_CONFIG answered within {seconds:g} s: nobody listens at "
                    f"{', '.join(missing)}. Start every worker, or raise connect_timeout."
                )
            time.sleep(0.1 if missing else 0)


def _listen(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    try:
        # Connections wait in the queue; nobody needs to accept them.
        return socket.create_server(("", port), backlog=1024)
    except OSError as error:
        raise ValueError(
            f"This worker cannot listen at {address}, its address in TF_CONFIG: {error.strerror}. "
            "Does another worker run with the same `index`?"
        ) from None


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except OSError:
        return False
    return True
