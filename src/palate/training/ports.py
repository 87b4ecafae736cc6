"""A port of its own for each run: two trainings at once that meet their processes at one port would meet each other's.

Effective for what reads MASTER_PORT (torch's `env://`, Lightning, accelerate) or PET_MASTER_PORT (torchrun). A script
that writes the port into its code takes it from nobody; see `palate.loop.ports`. Standard library only.
"""

import contextlib
import os
import socket

VARIABLES = ("MASTER_PORT", "PET_MASTER_PORT")
"""Environment variables that say at which port the processes of one training meet."""


def give_port() -> None:
    """Set a free port in this process's environment, unless the person set one."""
    if any(os.environ.get(name) for name in VARIABLES):
        return
    with contextlib.suppress(OSError), socket.socket() as one:  # without a network, there is nothing to give
        one.bind(("127.0.0.1", 0))
        for name in VARIABLES:
            os.environ[name] = str(one.getsockname()[1])
