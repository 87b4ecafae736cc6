"""What a launcher says of the failure of what it started: the frame is left out, the cause is the training's own.

`torchrun` ends with its own traceback and a frame of what failed where; make and accelerate end with a line of theirs.
The training's traceback stands above that, and its exit status in it.
"""

import re
from collections.abc import Sequence

_INNER = (
    re.compile(r"^\s*exitcode\s*: (-?\d+) \(pid"),
    re.compile(r"^g?make(?:\[\d+\])?: \*\*\* \[.*\] Error (\d+)"),
    re.compile(r"CalledProcessError: Command .* returned non-zero exit status (\d+)\."),
)
"""How launchers say with which status ended what they started."""

_OF_LAUNCHER = re.compile(
    r"torch/distributed/(run|launch|launcher|elastic)|accelerate/commands/|deepspeed/launcher/"
    r"|bin/(torchrun|accelerate|accelerate-launch|deepspeed)\b"
)
_LOG_LINE = re.compile(r"^(\[rank\d+\]:)?[EWI]\d{4} [\d:.]+ +\d+ .*torch/distributed/")
_RULE = re.compile(r"^[=\-*─━]{8,}$")
_FAILED = ("ChildFailedError", "CalledProcessError", "SignalException")
TRACEBACK = "Traceback (most recent call last)"
_NO_RULE = re.compile(r"\*\*\* (No rule to make target|No targets)|unrecognized option|invalid option")


def inner_status(status: int, lines: Sequence[str]) -> int:
    """Return the exit status of the training itself, where a launcher in front of it ended with one of its own.

    >>> inner_status(1, ["  exitcode  : 2 (pid: 7)"]), inner_status(2, ["make: *** [Makefile:3: train] Error 1"])
    (2, 1)
    >>> inner_status(2, ["make: *** No rule to make target 'tarin'.  Stop."])
    2
    """
    told = [[int(found[1]) for line in lines if (found := one.search(line))] for one in _INNER]
    frame, *others = told  # torchrun names the cause last, the others are told of from within
    causes = [*frame[-1:], *(one[0] for one in others if one)]
    return causes[0] if status > 0 and causes and causes[0] > 0 else status


def without_frames(lines: Sequence[str]) -> list[str]:
    """Leave out of printed lines what launchers add to the failure of what they started.

    All is kept where nothing else was printed.
    """
    kept: list[str] = []
    waiting = list(lines)
    while waiting:
        line = waiting[0]
        if (TRACEBACK in line and (length := _launchers_traceback(waiting))) or (
            _RULE.match(line.strip()) and (length := _frame(waiting))
        ):
            del waiting[:length]
        else:
            waiting.pop(0)
            if not _LOG_LINE.match(line):
                kept.append(line)
    if any(line.strip() for line in kept):
        own = [line for line in kept if not _INNER[1].search(line)]
        return own if any(line.strip() for line in own) else kept
    return list(lines)


def _launchers_traceback(lines: Sequence[str]) -> int:
    """Return how many lines a launcher's own traceback has; 0 where it is the training's."""
    end = next((n for n, line in enumerate(lines) if n and line and not line.startswith((" ", "["))), len(lines))
    if end == len(lines) or not any(one in lines[end] for one in _FAILED):
        return 0
    return end + 1 if any(_OF_LAUNCHER.search(line) for line in lines[1:end]) else 0


def _frame(lines: Sequence[str]) -> int:
    """Return how many lines a frame of torchrun's has, with what is in it; 0 where it is none."""
    rule = lines[0].strip()
    end = next((n for n, line in enumerate(lines) if n and line.strip() == rule), 0)
    inside = "\n".join(lines[:end])
    if "Root Cause" in inside or "exitcode" in inside or "OMP_NUM_THREADS" in inside:
        return end + 1
    return 0


def hints(lines: Sequence[str]) -> list[str]:
    """Return what to type where the cause of a failure is of the machine and not of the training."""
    text = "\n".join(lines).lower()
    found = []
    if _NO_RULE.search("\n".join(lines)):
        found.append("That is make's own word: the target is not in the Makefile that it read.")
    if re.search(r"(failed to fetch|dns error|error sending request|network (is )?unreachable)", text) and (
        "uv" in text or "pypi" in text or "simple index" in text
    ):
        found.append("uv looks for packages in the network. Without one: uv run --offline ..., or export UV_OFFLINE=1")
    return found
