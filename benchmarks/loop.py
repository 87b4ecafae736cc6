"""The main job end to end: `palate try` in an empty folder, its time, its memory, and how soon a second one trains."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.house import cpu_s
from benchmarks.table import Row

ROOT = Path(__file__).parents[1]


def rows() -> Iterator[Row]:
    """Measure `palate try`."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PALATE_HOME": folder}
        command = [sys.executable, "-m", "palate", "try", "--task", "mnist1d", "--forecast", "better:80", "--json"]
        started = time.perf_counter()
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        yield Row(name="palate try, wall", measured=time.perf_counter() - started, unit="s", target=90)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        yield Row(name="palate try, peak memory of its largest process", measured=peak, unit="GiB", target=1.5)
        report = json.loads(ended.stdout)
        yield Row(name="palate try, seed pairs to its verdict", measured=report["verdict"]["n"])
        asked = [sys.executable, "-m", "palate", "forecast", report["experiment"], "--json"]
        os.environ["PALATE_HOME"] = folder
        yield Row(name="palate forecast on a sealed experiment, CPU", measured=1000 * cpu_s(*asked), unit="ms")
    yield Row(name="./scripts/try, second start until training begins", measured=second_start(), unit="s", target=10)


def second_start() -> float:
    """Start ./scripts/try where all is installed; give the seconds until the first point of a curve is on disk."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(ROOT / "scripts" / "try"), "--forecast", "better:80"]
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, "PALATE_HOME": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not list(Path(folder).glob("runs/*/output.log")):
            time.sleep(0.05)
        took = time.perf_counter() - started
        process.terminate()
        process.wait()
    return took
