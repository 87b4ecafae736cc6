"""From Enter to the second screen, on a terminal, in projects with a past; guessers who are planted, until "behind"."""

import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import prompt
from benchmarks.people import KEYS, MOST, SURE, World, first_ahead
from benchmarks.table import Row
from palate.forecast.density import FloatArray

PASTS = (200, 1000)
TIMES = 5
THINKING_S = 1.5
"""Seconds from the prompt to the keys: nobody reads a question faster."""

PEOPLE, LOOKS = 300, 60

Guess = Callable[[int, np.random.Generator], FloatArray]
GUESSERS: dict[str, tuple[Guess, str]] = {
    "any key": (lambda n, rng: rng.integers(0, len(KEYS), n), "78 / 48 / 40"),
    "any answer at 80 %": (lambda n, rng: rng.integers(0, 3, n) * len(SURE) + 3, "78 / 49 / 42"),
    "always better at 80 %": (lambda n, _: np.full(n, 2 * len(SURE) + 3), "62 / 38 / 34"),
}


def rows() -> Iterator[Row]:
    """Measure the second screen, and how soon guessers are told."""
    for past in PASTS:
        with tempfile.TemporaryDirectory() as folder:
            yield from screen_rows(Path(folder), past)
    yield from guesser_rows()


def screen_rows(folder: Path, past: int) -> Iterator[Row]:
    """Answer by three keys at a terminal of its own; take the time until "Keep it?" stands there."""
    prompt.make_past(folder, past)
    took = [_enter_to_screen(folder, k) for k in range(TIMES)]
    wall, cpu = (1000 * float(np.median(column)) for column in zip(*took, strict=True))
    told = f'Enter to "Keep it?", {past} questions in the past'
    yield Row(name=f"{told} (median; 17 s where the arms were read first)", measured=wall, unit="ms", target=300)
    yield Row(name="  CPU of it", measured=cpu, unit="ms", target=300)


def _enter_to_screen(folder: Path, k: int) -> tuple[float, float]:
    command = [
        sys.executable,
        "-m",
        "palate",
        "run",
        "train.py",
        "-c",
        f"lr={0.7 + k / 100}",
        "--metric",
        "val_loss",
        "--margin",
        "0.01",
    ]
    environment = {**os.environ, "PALATE_HOME": str(folder / ".palate"), "PALATE_AUTHOR": "bench"}
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    try:
        _wait_for(controller, b"then how sure")
        time.sleep(THINKING_S)
        began_s, cpu_s = time.monotonic(), _cpu_s(process.pid)
        os.write(controller, b"\x1b[C8\r")
        _wait_for(controller, b"Keep it?")
        return time.monotonic() - began_s, _cpu_s(process.pid) - cpu_s
    finally:
        process.terminate()
        process.wait(20)
        os.close(controller)


def _cpu_s(pid: int) -> float:
    """Read the CPU that all threads of a process took, to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_for(controller: int, want: bytes) -> None:
    told, until = b"", time.monotonic() + 30
    while want not in told:
        if not select.select([controller], [], [], 1)[0]:
            if time.monotonic() > until:
                raise TimeoutError(told)
            continue
        told += os.read(controller, 4096)


def guesser_rows() -> Iterator[Row]:
    """Guessers, who know nothing: forecasts until "behind", and the share of them that are told within 60."""
    world = World()
    for name, (guess, before) in GUESSERS.items():
        for seeds in (1, 3, 5):
            first = _first_behind(world, guess, seeds)
            told = f"{name}, {seeds} seed{'s' if seeds > 1 else ''}: forecasts until behind"
            yield Row(name=f"{told} (median; before, 1 / 3 / 5 seeds: {before})", measured=float(np.median(first)))
            yield Row(name="  share told within 60", measured=float((first <= LOOKS).mean()), target=0.5, at_least=True)


def _first_behind(world: World, guess: Guess, seeds: int) -> FloatArray:
    rng = np.random.default_rng(1)
    bits, keys = [], []
    for _ in range(PEOPLE):
        effects, mine = world.effects(200, rng), guess(200, rng)
        seen = effects + rng.normal(0, np.sqrt(2 / seeds), len(effects))
        bits.append(world.bits(mine, seen, seeds))
        keys.append(mine)
    most = MOST[np.array(keys)]
    return first_ahead(-np.minimum(np.array(bits), most), -most)
