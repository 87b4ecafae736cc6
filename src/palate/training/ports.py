"""A port of its own for each run: two trainings at once that meet their processes at one port would meet each other's.

A variable is enough for what reads MASTER_PORT (torch's `env://`, Lightning) or PET_MASTER_PORT (torchrun); other
launchers are told by an option. A script that writes the port into its code takes it from nobody; see
`palate.loop.ports`.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from palate.errors import InputError
from palate.question.launched import TORCHRUN, launcher_named, take_apart

_TORCHRUNS = "PET_"
"""How the environment variables begin by which torchrun is told its options."""

VARIABLES = ("MASTER_PORT", "PET_MASTER_PORT")
"""Environment variables that say at which port the processes of one training meet."""

_NAMED = ("master_port", "main_process_port", "main_port", "rdzv_endpoint")
_SEVERAL = ("nnodes", "num_machines", "num_nodes")
_ONE = ("", "1", "1:1")


def named_port(words: Sequence[str], environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return what names the port that a training's processes meet at, and that port; None where each run has its own.

    Args:
        words: of its command; none where it is a script, a module or a function.
        environ: in which it is started.

    >>> named_port(["torchrun", "--master-port", "29511", "train.py"], {})
    ('--master-port', 29511)
    >>> named_port([], {"MASTER_PORT": "29511"})
    ('MASTER_PORT', 29511)
    >>> named_port(["torchrun", "--rdzv-endpoint=localhost:0", "train.py"], {}) is None
    True
    """
    ways = _ways(words, environ)
    if "standalone" in ways.options:
        return None
    said = [(ways.typed[name], ways.options[name]) for name in _NAMED if name in ways.options]
    texts = [(by, text.rpartition(":")[2]) for by, text in said]
    return next(((by, int(text)) for by, text in texts if text.isdigit() and int(text)), None)


def with_port(words: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Give a run a free port, where nobody names one and its processes are on this machine alone.

    Args:
        words: of its command; none where it is a script, a module or a function.
        environ: in which it is started.

    Returns:
        the words that start it, and variables that it is given.
    """
    ways = _ways(words, environ)
    said = any(name in ways.options for name in ("standalone", *_NAMED))
    if said or any(ways.options.get(name, "1") not in _ONE for name in _SEVERAL):
        return list(words), {}
    try:
        port = str(free_port())
    except OSError:  # without a network, there is nothing to give
        return list(words), {}
    variables = {name: port for name in VARIABLES if not ways.environ.get(name)}
    option = launcher_named(ways.launcher).port if ways.launcher else ""
    if not option:
        return list(words), variables
    last = ways.launcher.rpartition(" ")[2]
    place = next(n for n, word in enumerate(words) if Path(word).name == last) + 1
    return [*words[:place], option, port, *words[place:]], variables


@dataclass(frozen=True, slots=True)
class _Ways:
    """What a training is told of where its processes meet.

    Attributes:
        launcher: that starts them; "" where there is none.
        environ: in which they are started, with what stands in front of the command.
        options: of the launcher, and what variables say in place of them, by one name each.
        typed: how each of these is typed.
    """

    launcher: str
    environ: Mapping[str, str]
    options: Mapping[str, str]
    typed: Mapping[str, str]


def _ways(words: Sequence[str], environ: Mapping[str, str]) -> _Ways:
    try:
        apart = take_apart(words)
    except InputError:  # of a script there are none
        return _Ways("", environ, *_told(environ, {}))
    launcher = next((one for one in apart.launchers if launcher_named(one).spawns), "")
    told = {**environ, **apart.variables}
    sets_anew = bool(launcher) and launcher_named(launcher) is TORCHRUN  # for what it starts
    reads = {name: text for name, text in told.items() if name != "MASTER_PORT" or not sets_anew}
    return _Ways(launcher, told, *_told(reads, apart.options))


def _told(environ: Mapping[str, str], options: Mapping[str, tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what variables and the options of a launcher say, and how each is typed; an option comes before those."""
    found = [("master_port", "MASTER_PORT", environ.get("MASTER_PORT", ""))]
    found += [(name[4:].lower(), name, text) for name, text in environ.items() if name.startswith(_TORCHRUNS)]
    found = [*(one for one in found if one[2]), *((name, *said) for name, said in options.items())]
    return {name: text for name, _, text in found}, {name: typed for name, typed, _ in found}


def free_port() -> int:
    """Return a port that nothing listens at now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


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
