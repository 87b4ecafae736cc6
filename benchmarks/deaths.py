"""Runs that end in every way, palate that is ended while they go, several that ask at once, and output that floods."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.training import deaths

from benchmarks.table import Row
from palate.question.target import Order, Task
from palate.training.family import children_of, is_there, send, with_descendants
from palate.training.local import LocalLauncher
from palate.training.output import MOST

AT_ONCE = 7
TIMEOUT_S = 4.0
FLOOD_S = 3.0
SETTLE_S = 10.0
"""Seconds that what was killed has to be gone."""

STARTED = (
    ("Ctrl-C", signal.SIGINT),
    ("SIGTERM", signal.SIGTERM),
    ("SIGHUP", signal.SIGHUP),
    ("kill -9", signal.SIGKILL),
)

GOES = f"""
import os, subprocess, time
import palate
gain = 0.5
palate.log(0, val_acc=gain)
subprocess.Popen(["sleep", "{deaths.SLEEP}"])
subprocess.Popen(["sleep", "{deaths.SLEEP}"], start_new_session=True)
subprocess.run("(env -i setsid sleep {deaths.SLEEP} </dev/null >/dev/null 2>&1 &)", shell=True)
open(os.environ["PALATE_RUN_DIR"] + "/goes", "w")
time.sleep(60)
"""

TRAINS = """
import random, time
import palate
gain = 0.5
seed = 0
random.seed(seed)
time.sleep(0.2)
palate.log(0, val_acc=gain + random.gauss(0, 0.3))
"""

FLOODS = "import sys\nwhile True: sys.stdout.write('all work and no play\\n' * 4000)\n"
QUIET = "import time\nfor i in range(20):\n    time.sleep(0.05)\n    print('quiet', i)\n"


def death_rows() -> Iterator[Row]:
    """Yield what ended otherwise than stated, what was left over, what was made twice, and what a flood kept."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _ways(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        yield from _palate_ended(Path(folder))
    yield from _asked_at_once("2 processes with one question", [0.6, 0.6], pairs=3)
    yield from _asked_at_once("8 questions with one baseline", [0.6 + 0.01 * i for i in range(8)], pairs=3)
    with tempfile.TemporaryDirectory() as folder:
        yield from _floods(Path(folder))


def _ways(folder: Path) -> Iterator[Row]:
    ways, other, left = deaths.WAYS, [], 0
    for first in range(0, len(ways), AT_ONCE):
        some = ways[first : first + AT_ONCE]
        here = folder / str(first)
        here.mkdir()
        told = deaths.carry_out(here, some, timeout_s=TIMEOUT_S)
        other += [way.name for way in some if way.says != told[way.name][0] or way.prints not in told[way.name][1]]
        left += len(deaths.left_over())
        _clean()
    yield Row(name=f"{len(ways)} ways for a run to end: ended otherwise than stated", measured=len(other), target=0)
    yield Row(name=f"{len(ways)} ways for a run to end: processes left over", measured=left, target=0)


def _palate_ended(folder: Path) -> Iterator[Row]:
    left = without_ending = 0
    for name, number in (*STARTED, ("the worker killed", 0)):
        here = folder / name
        here.mkdir()
        (here / "train.py").write_text(GOES)
        palate = _palate(here, 0.9, "--workers", "2")
        pids = _once_it_goes(here, palate)
        keeper = next(pid for pid in children_of(palate.pid) if children_of(pid))
        os.kill(*((palate.pid, number) if number else (children_of(keeper)[0], signal.SIGKILL)))
        palate.wait(timeout=60)
        left += _left_after(pids)
        if number != signal.SIGKILL:
            without_ending += sum(b'"ending"' not in path.read_bytes() for path in here.glob(".palate/runs/*/journal"))
        _clean()
    yield Row(name="palate ended in 4 ways, its worker killed: processes left over", measured=left, target=0)
    yield Row(name="runs without an ending, where palate could write one", measured=without_ending, target=0)


def _asked_at_once(name: str, gains: list[float], *, pairs: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "train.py").write_text(TRAINS)
        asked = [_palate(here, gain, "--pairs", str(pairs), "--workers", "1") for gain in gains]
        ended = [one.wait(timeout=300) for one in asked]
        assert ended == [0] * len(gains), ended
        made = [path.name for path in here.glob(".palate/runs/*")]
        needed = {re.sub(r"(-s\d+)-\d+$", r"\1", run) for run in made}
    yield Row(name=f"{name}: runs needed", measured=len(needed))
    yield Row(name=f"{name}: runs made", measured=len(made), target=len(needed))


def _floods(folder: Path) -> Iterator[Row]:
    """Run two floods beside a quiet run: what they kept, and what the quiet one did."""
    launchers = []
    for place, text in enumerate((FLOODS, FLOODS, QUIET)):
        (folder / f"r{place}").mkdir()
        (folder / f"{place}.py").write_text(text)
        task = Task(kind="script", file=str(folder / f"{place}.py"))
        launchers.append(LocalLauncher(task, timeout_s=FLOOD_S if place < 2 else None))
        launchers[-1].submit(Order(id=f"r{place}", folder=folder / f"r{place}", seed=0, settings={}))
    ended = {}
    while len(ended) < len(launchers):
        for launcher in launchers:
            ended.update((done.id, done) for done in launcher.poll(0.01))
    for launcher in launchers:
        launcher.stop()
    kept = [(folder / f"r{place}" / "output.log").stat().st_size for place in range(2)]
    lines = (folder / "r2" / "output.log").read_text().count("quiet")
    yield Row(name="two floods: bytes kept of the larger", measured=max(kept), unit="bytes", target=MOST)
    yield Row(name="two floods: seconds until the last of them had ended", measured=max(
        ended[f"r{place}"].elapsed_s for place in range(2)), unit="s")  # fmt: skip
    yield Row(name="a quiet run beside them: lines kept of 20", measured=lines, target=20, at_least=True)


def _palate(folder: Path, gain: float, *words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "palate", "run", "train.py", "--metric", "val_acc", "-c", f"gain={gain}"]
    return subprocess.Popen(
        [*command, "--no-forecast", *words],
        cwd=folder,
        env={**os.environ, "PALATE_HOME": str(folder / ".palate")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _once_it_goes(folder: Path, palate: "subprocess.Popen[bytes]") -> list[int]:
    until_s = time.monotonic() + 60
    while len(list(folder.glob(".palate/runs/*/goes"))) < 2 or len(deaths.left_over()) < 6:
        assert palate.poll() is None, "it ended before its runs went"
        assert time.monotonic() < until_s, "no runs went"
        time.sleep(0.05)
    return with_descendants(children_of(palate.pid))


def _left_after(pids: list[int]) -> int:
    until_s = time.monotonic() + SETTLE_S
    while True:
        left = {*deaths.left_over(), *(pid for pid in pids if is_there(pid))}
        if not left or time.monotonic() > until_s:
            return len(left)
        time.sleep(0.05)


def _clean() -> None:
    """End what was left over, so that it is counted once."""
    for pid in deaths.left_over():
        send(pid, signal.SIGKILL)
