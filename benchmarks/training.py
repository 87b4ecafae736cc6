"""The training side: what a logged point costs, what a kill loses, what a warm worker saves; next to other trackers."""

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.table import Row
from palate.question.folder import place_of
from palate.question.target import Order, Task
from palate.store.journal import Journal
from palate.store.reader import read_journal
from palate.training.local import LocalLauncher
from palate.training.loggers import listening, patching, trackers
from palate.training.placing import count_cores
from palate.training.run import Run

POINTS = 100_000
KILLS = 20
PEERS = Path(__file__).with_name("peers.py")
PEER_PYTHON = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"

LOGGER = """
import os, sys, time
from palate.store.journal import Journal
journal, pause = Journal.open(sys.argv[1]), float(sys.argv[2])
for step in range(10**9):
    journal.log(step, {"loss": step / 7})
    if pause:
        os.write(1, b".")
        time.sleep(pause)
    elif step % 100 == 99:
        os.write(1, b"." * 100)
"""

OPENER = """
import sys
from pathlib import Path
from palate.store.catalog import Catalog
from palate.store.journal import Journal
from palate.store.project import Project
project = Project(Path(sys.argv[1]))
journal = Journal.open(project.journal("run-" + sys.argv[2]))
for step in range(100):
    journal.log(step, {"loss": 1 / (step + 1)})
journal.close()
with Catalog.open(project) as catalog:
    catalog.refresh()
"""

REPOSITORY = Path(__file__).parents[1]
"""The folder that runs see here."""


def rows() -> Iterator[Row]:
    """Measure the journal, the kills, the fresh store, the peers, the warm worker."""
    with tempfile.TemporaryDirectory() as folder:
        yield from journal_rows(Path(folder))
        yield from name_rows(Path(folder))
        yield from kill_rows(Path(folder))
        yield from fresh_store_rows(Path(folder))
    yield from heard_rows()
    yield from peer_rows()
    with tempfile.TemporaryDirectory() as folder:
        yield from warm_rows(Path(folder))


def journal_rows(folder: Path) -> Iterator[Row]:
    """Measure calls, bytes and reading."""
    path, rng = folder / "journal", random.Random(0)
    values, spent = [rng.random() for _ in range(POINTS)], []
    journal, clock = Journal.open(path), time.perf_counter_ns
    for step, value in enumerate(values):
        started = clock()
        journal.log(step, {"loss": value})
        spent.append(clock() - started)
    journal.close()
    spent.sort()
    yield Row(name="palate: one log call, median", measured=spent[POINTS // 2] / 1e3, unit="us", target=5)
    yield Row(name="palate: one log call, 99th percentile", measured=spent[POINTS * 99 // 100] / 1e3, unit="us")
    yield Row(name="palate: 100,000 points on disk", measured=path.stat().st_size / 1e6, unit="MB", target=1.3)
    took = []
    for _ in range(15):
        started = time.perf_counter()
        curve = read_journal(path).curves["loss"]
        took.append(time.perf_counter() - started)
    wrong = sum(a != b for a, b in zip(curve.values.tolist(), values, strict=True))
    yield Row(name="palate: read 100,000 points, median", measured=1e3 * statistics.median(took), unit="ms", target=10)
    yield Row(name="palate: points that came back as another number", measured=wrong, target=0)


def name_rows(folder: Path) -> Iterator[Row]:
    """Measure how much longer eight times as many metrics take to read, each logged by itself."""
    took = {}
    for count in (1000, 8000):
        path = folder / f"{count} names"
        journal = Journal.open(path)
        for number in range(count):
            journal.log(0, {f"metric{number}": 0.5})
        journal.close()
        reads = []
        for _ in range(5):
            started = time.perf_counter()
            read_journal(path)
            reads.append(time.perf_counter() - started)
        took[count] = min(reads)
    yield Row(name="palate: read 8,000 metrics", measured=1e3 * took[8000], unit="ms")
    yield Row(name="palate: read 8,000 metrics, over 1,000", measured=took[8000] / took[1000], unit="x", target=12)


def kill_rows(folder: Path) -> Iterator[Row]:
    """Kill a logging process at random moments; count points that log() returned from and that are gone."""
    for name, pause in (("at full speed", 0.0), ("at 100 a second", 0.01)):
        lost = total = 0
        rng = random.Random(1)
        for attempt in range(KILLS):
            path = folder / f"killed-{pause}-{attempt}"
            process = subprocess.Popen([sys.executable, "-c", LOGGER, str(path), str(pause)], stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.read(1)
            time.sleep(rng.uniform(0.05, 0.6))
            process.send_signal(signal.SIGKILL)
            said = 1 + len(process.stdout.read())
            process.wait()
            kept = len(read_journal(path).curves["loss"])
            lost += max(0, said - kept)
            total += kept
        yield Row(name=f"palate: lost of {total} points, {KILLS} kill -9 {name}", measured=lost, target=0)


class _Tracker:
    """A tracker whose calls do nothing: what is left of them is what hearing costs."""

    def log(self, data: dict[str, float], step: int | None = None, commit: bool | None = None) -> None:
        """Take it and do nothing."""


class _HeardTracker(_Tracker):
    def log(self, data: dict[str, float], step: int | None = None, commit: bool | None = None) -> None:
        """Take it and do nothing."""


def heard_rows() -> Iterator[Row]:
    """Measure, in processor time, what a call of a tracker costs more when palate hears it."""
    patching.after(_HeardTracker, "log", trackers._wandb_log)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        listening.listen(run)
        for size in (1, 3, 8):
            plain, heard = (min(_calls_us(one(), size) for _ in range(7)) for one in (_Tracker, _HeardTracker))
            name = f"palate: a heard call with {size} metrics, beside the tracker alone"
            yield Row(name=name, measured=heard - plain, unit="us", target=5 if size < 8 else None)
        listening.stop()
        run.close()


def _calls_us(tracker: _Tracker, size: int, calls: int = 20_000) -> float:
    values = {f"m{number}": number / 10 for number in range(size)}
    began_s = time.process_time()
    for step in range(calls):
        values["m0"] = step / 7
        tracker.log(values, step=step)
    return (time.process_time() - began_s) / calls * 1e6


def fresh_store_rows(folder: Path) -> Iterator[Row]:
    """Let 8 fresh processes make and fill one fresh store."""
    command = [sys.executable, "-c", OPENER, str(folder / "store")]
    started = [subprocess.Popen([*command, str(i)], stderr=subprocess.DEVNULL) for i in range(8)]
    errors = sum(process.wait() != 0 for process in started)
    yield Row(name="palate: errors of 8 fresh processes in one fresh store", measured=errors, target=0)


def peer_rows() -> Iterator[Row]:
    """Measure the same calls of other trackers, each in a process of its own."""
    if not PEER_PYTHON.exists():
        return
    for peer in ("wandb", "mlflow", "trackio", "tensorboardX"):
        with tempfile.TemporaryDirectory() as folder:
            told = _peer(peer, "time", folder)
            yield Row(name=f"{peer}: one log call, median", measured=float(told[0]), unit="us")
            yield Row(name=f"{peer}: 100,000 points on disk (from {told[1]})", measured=float(told[2]), unit="MB")
        with tempfile.TemporaryDirectory() as folder:
            said = _killed_peer(peer, folder)
            kept = int(_peer(peer, "count", folder)[0])
            yield Row(name=f"{peer}: lost of {said} points, one kill -9 at 100 a second", measured=max(0, said - kept))


def peer_secret_rows() -> Iterator[Row]:
    """Hand a configuration with five secrets to other trackers; count those that they keep as they are."""
    if not PEER_PYTHON.exists():
        return
    for peer in ("wandb", "mlflow", "trackio", "tensorboardX"):
        with tempfile.TemporaryDirectory() as folder:
            kept = int(_peer(peer, "secret", folder)[0])
        yield Row(name=f"{peer}: of five secrets in a configuration, kept as they are", measured=kept)


def _peer_environment(folder: str) -> dict[str, str]:
    quiet = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": folder, "TRACKIO_DIR": folder}
    offline = {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HOME": folder}
    return {**os.environ, **quiet, **offline, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def _peer(peer: str, what: str, folder: str) -> list[str]:
    command = [str(PEER_PYTHON), str(PEERS), peer, what, folder]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=_peer_environment(folder), cwd=folder, timeout=600
    )
    if ended.returncode:
        raise RuntimeError(f"{peer}: {ended.stderr[-2000:]}")
    return ended.stdout.strip().splitlines()[-1].split()


def _killed_peer(peer: str, folder: str) -> int:
    command = [str(PEER_PYTHON), str(PEERS), peer, "log", folder]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_peer_environment(folder),
        cwd=folder,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = 0
    while said < 310:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{peer} ended before it was killed")
        said += line.startswith(b"logged")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return said


def warm_rows(folder: Path) -> Iterator[Row]:
    """Run the `try` task 20 times in a warm pool, next to the sum of the runs' own training time over the cores."""
    task = Task(kind="module", module="benchmarks.timed_task", name="train")
    cores = count_cores()
    with LocalLauncher(task, workers=cores, threads=1) as launcher:
        _carry_out(
            launcher, [_order(folder, f"first-{i}", i) for i in range(cores)]
        )  # imports and data are there after it
        started = time.perf_counter()
        _carry_out(launcher, [_order(folder, f"run-{i}", i) for i in range(20)])
        wall = time.perf_counter() - started
    own = sum(read_journal(folder / f"run-{i}" / "journal").curves["own_s"].values[-1] for i in range(20))
    yield Row(name="20 runs of the try task: their own training time / cores", measured=own / cores, unit="s")
    yield Row(name="20 runs of the try task: wall time in a warm pool", measured=wall, unit="s")
    yield Row(name="20 runs of the try task: wall / (own / cores)", measured=wall / (own / cores), target=1.15)


def _order(folder: Path, run_id: str, seed: int) -> Order:
    (folder / run_id).mkdir()
    return Order(id=run_id, folder=folder / run_id, seed=seed, settings={}, place=place_of(REPOSITORY, folder))


def _carry_out(launcher: LocalLauncher, orders: list[Order]) -> None:
    for order in orders:
        launcher.submit(order)
    left = len(orders)
    while left:
        for ended in launcher.poll(0.01):
            assert ended.status == 0, ended
            left -= 1
