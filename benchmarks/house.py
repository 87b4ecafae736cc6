"""How the house is built, and what it costs before it does anything: CPU time of processes, each next to bare Python.

Circles and layers are read off the imports, look-ups by text off the source (`lookups`), how a run walks through the
files off one run (`walk`), and what a long past costs off two projects of different age (`scale`).
"""

import contextlib
import io
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from importlinter.application import use_cases
from importlinter.configuration import configure
from scripts.circles import find_circles, read_arrows

from benchmarks import lookups, scale, walk
from benchmarks.table import Row

RUNS = 15
PACKAGE = Path(__file__).parents[1] / "src" / "palate"


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
    """Measure all of it."""
    circled = sum(map(len, find_circles(read_arrows(PACKAGE))))
    yield Row(name="files that import each other in circles", measured=circled, target=0)
    yield Row(
        name="arrows upwards: chains of imports from a layer to one above it", measured=arrows_upwards(), target=0
    )
    yield from lookups.rows()
    yield from walk.rows()
    yield from start_rows()
    yield from scale.rows()


def arrows_upwards() -> int:
    """Count the chains of imports that go from a layer to one above it."""
    configure()
    pyproject = PACKAGE.parents[1] / "pyproject.toml"
    options = use_cases.read_user_options(config_filename=str(pyproject))
    use_cases._register_contract_types(options)
    with contextlib.redirect_stdout(io.StringIO()):
        report = use_cases.create_report(options, cache_dir=None)
    broken = [
        check.metadata["invalid_dependencies"]
        for contract, check in report.get_contracts_and_checks()
        if not check.kept and "invalid_dependencies" in check.metadata
    ]
    return sum(len(layer["routes"]) for layers in broken for layer in layers)


def start_rows() -> Iterator[Row]:
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
