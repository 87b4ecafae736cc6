"""Runs whose processes meet at a port in use: at once, because of each other; alone, because of another program.

A run takes a port of its own from MASTER_PORT (see `palate.training.ports`). A script that writes the port into its
code does not, and of two such runs at once, one fails or, worse, meets the other's processes. That is no outcome of a
change: such runs are made again, one at a time.
"""

import re
from collections.abc import Sequence

from palate.errors import RunsFailedError

_IN_USE = re.compile(r"EADDRINUSE|address already in use|errno: ?98\b", re.IGNORECASE)
_PORT = re.compile(r"\bport[:= ]+(\d{2,5})\b|(?:localhost|[\d.]{7,15}|\])['\"]?[:, ]+(\d{2,5})\b", re.IGNORECASE)


def port_in_use(printed: Sequence[str]) -> str:
    """Return which port the end of a run's output says is in use, in words; "" where it says none.

    >>> port_in_use(["RuntimeError: failed to listen on port: 29500, errno: 98 - Address already in use"])
    'port 29500'
    """
    lines = [line for line in printed if _IN_USE.search(line)]
    named = [found[1] or found[2] for line in lines if (found := _PORT.search(line))]
    return f"port {named[0]}" if named else "a port" if lines else ""


def port_taken(run: str, port: str, printed: Sequence[str], named_by: str) -> RunsFailedError:
    """Return what is raised where a run that was alone finds its port in use.

    Args:
        run: its id.
        port: as `port_in_use` says it.
        printed: the last lines of its output.
        named_by: what names the port of its processes for all runs, as `--master-port`; "" where nothing does.
    """
    leaves = f"Or leave {named_by} out: palate gives each run a free port."
    takes = 'Or let the script take the port that palate gives each run: os.environ.setdefault("MASTER_PORT", ...)'
    return RunsFailedError(
        f"{run} could not listen on {port}: it is in use.",
        why=["It ran alone, so another program has it. That is no outcome of a change.", *(f"| {x}" for x in printed)],
        todo=(
            "End what uses it, then type the same command again; nothing that finished is lost.",
            leaves if named_by else takes,
        ),
    )


class Spans:
    """Which runs went at the same time.

    Attributes:
        doubted: runs that go, and went at once with one that found its port in use.
    """

    def __init__(self) -> None:
        self._ended: dict[str, tuple[float, float]] = {}
        self.doubted: set[str] = set()

    def ended(self, run: str, began_s: float, ended_s: float) -> set[str]:
        """Take in a run that ended; return those that ended before and went at the same time."""
        beside = {one for one, (_, until_s) in self._ended.items() if began_s < until_s}
        self._ended[run] = (began_s, ended_s)
        return beside
