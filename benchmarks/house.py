"""What the house costs before it does anything: CPU time of whole processes, each next to bare Python."""

import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.table import Row

RUNS = 15


def cpu_s(*command: str) -> float:
    """CPU seconds (user and system) of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median_ms(*command: str) -> float:
    """Median CPU milliseconds of several runs, after one that warms the disk's cache."""
    cpu_s(*command)
    return 1000 * statistics.median(cpu_s(*command) for _ in range(RUNS))


def rows() -> Iterator[Row]:
    """Measure the start of the command line and of `import palate`."""
    bare = median_ms(sys.executable, "-c", "pass")
    yield Row(name="bare Python, CPU", measured=bare, unit="ms")
    help_ms = median_ms(sys.executable, "-m", "palate", "--help")
    yield Row(name="palate --help, CPU, bare Python included", measured=help_ms, unit="ms", target=150)
    imported = median_ms(sys.executable, "-c", "import palate")
    yield Row(name="import palate, CPU above bare Python", measured=imported - bare, unit="ms", target=60)
    side = median_ms(sys.executable, "-c", "import palate; palate.log, palate.experiment")
    yield Row(
        name="training side (palate.log, experiment), CPU above bare", measured=side - bare, unit="ms", target=100
    )
