"""A port of its own for each run: two trainings at once that meet their processes at one port would meet each other's.

A variable is enough for what reads MASTER_PORT (torch's `env://`, Lightning) or PET_MASTER_PORT (torchrun); other
launchers are told by an option. A script that writes the port into its code takes it from nobody; see
`palate.loop.ports`.
"""

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from palate.errors import InputError
from palate.question.launched import take_apart

_OF_TORCHRUN = ("torchrun", "torch.distributed.run", "torch.distributed.launch")
_OPTIONS = {
    "accelerate launch": "--main_process_port",
    "accelerate-launch": "--main_process_port",
    "accelerate.commands.launch": "--main_process_port",
    "deepspeed": "--master_port",
    "deepspeed.launcher.runner": "--master_port",
    "fabric run": "--main-port",
}
"""Launchers that are told a port by an option, and which."""

PORT = "PET_MASTER_PORT"
"""Environment variable from which torchrun takes the port, where its command line does not say it."""

VARIABLES = ("MASTER_PORT", PORT)
"""Environment variables that say at which port the processes of one training meet."""

_NAMED = ("master_port", "main_process_port", "main_port", "rdzv_endpoint")
_SEVERAL = ("nnodes", "num_machines", "num_nodes")


def launcher_of(words: Sequence[str]) -> str:
    """Return the launcher of a command that starts several processes which meet at a port; "" where there is none."""
    try:
        launchers = take_apart(words).launchers
    except InputError:
        return ""
    return next((one for one in launchers if one in _OF_TORCHRUN or one in _OPTIONS), "")


def named_port(words: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Return the port that a command's runs meet at, where a person names one; None where each has its own.

    >>> named_port(["torchrun", "--master-port", "29511", "train.py"], {})
    29511
    >>> named_port(["torchrun", "--rdzv-endpoint=localhost:0", "train.py"], {}) is None
    True
    """
    launcher = launcher_of(words)
    if not launcher or "--standalone" in words:
        return None
    found = [text.rpartition(":")[2] for name, text in _options(words) if name in _NAMED]
    if launcher in _OF_TORCHRUN:
        found += [environ[PORT]] if PORT in environ else []
    ports = [int(text) for text in found if text.isdigit() and int(text)]
    return ports[0] if ports else None


def give_port() -> None:
    """Set a free port in this process's environment, unless the person set one."""
    if any(os.environ.get(name) for name in VARIABLES):
        return
    with contextlib.suppress(OSError):  # without a network, there is nothing to give
        os.environ |= dict.fromkeys(VARIABLES, str(free_port()))


def with_port(words: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Give a run a free port, where nobody names one and its processes are on this machine alone.

    Returns:
        the words that start it, and variables that it is given.
    """
    launcher = launcher_of(words)
    options = dict(_options(words))
    said = "standalone" in options or any(name in options for name in _NAMED)
    several = any(options.get(name, "1") not in ("", "1", "1:1") for name in _SEVERAL)
    if not launcher or said or several:
        return list(words), {}
    if launcher in _OF_TORCHRUN:
        return list(words), {} if PORT in environ else {PORT: str(free_port())}
    last = launcher.rpartition(" ")[2]
    place = next(n for n, word in enumerate(words) if Path(word).name == last) + 1
    return [*words[:place], _OPTIONS[launcher], str(free_port()), *words[place:]], {}


def free_port() -> int:
    """Return a port that nothing listens at now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _options(words: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            found.append((name.lstrip("-").replace("-", "_"), value if equals else following))
    return found


def without_handed(words: Sequence[str], handed: Sequence[str]) -> list[str]:
    """Leave out of `env LR=0.1 python train.py` the variables that are handed over with another value.

    >>> without_handed(["env", "LR=0.1", "A=b", "python", "train.py", "LR=0.1"], ["LR"])
    ['env', 'A=b', 'python', 'train.py', 'LR=0.1']
    """
    kept = list(words)
    for name, value in take_apart(words).variables.items() if handed else ():
        if name in handed:
            kept.remove(f"{name}={value}")  # the first of these words: those of what is trained come later
    return kept
