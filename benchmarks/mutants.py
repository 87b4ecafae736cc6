"""Whether the tests would notice: small faults put into the code, one at a time, and the tests of that room run.

`python -m benchmarks.mutants [ROOM ...] [--each N] [--seed S] [--jobs J]` prints each fault that no test noticed, with
its line before and after. Each room gets as many faults, drawn at random from all that can be made there.
"""

import argparse
import ast
import contextlib
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Row

REPOSITORY = Path(__file__).parents[1]
EACH = 20
MOST_S = 900
SLOWER = 4
"""How much longer than without a fault the tests may take, before they count as hanging."""

WHICH = ("not slow", "slow")
NOTHING_RUN = 5
"""Exit status of pytest where no test was chosen."""

ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "store": (
        ("store",),
        ("tests/store", "tests/training/test_log.py", "tests/ledger/test_verify.py", "tests/loop/test_lost_points.py"),
    ),
    "verdict": (
        ("verdict",),
        ("tests/verdict", "tests/loop/test_judge.py", "tests/loop/test_report.py", "src/palate/verdict"),
    ),
    "forecast": (
        ("forecast/score.py", "forecast/density.py", "forecast/skill.py", "forecast/calibration.py"),
        ("tests/forecast", "tests/ledger/test_standings.py", "src/palate/forecast"),
    ),
}
"""By room: the files that faults are put into, and the tests that have to notice."""

_COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_REACHED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the file, the line, and how the line reads before and after."""

    file: Path
    line: int
    before: str
    after: str
    source: str


def rows() -> Iterator[Row]:
    """Count the faults that no test noticed, in all rooms."""
    faults = [fault for room in ROOMS for fault in missed(room, EACH, seed=0, jobs=2)]
    for fault in faults:
        print(_line(fault), file=sys.stderr)
    yield Row(
        name=f"{EACH * len(ROOMS)} faults put into the code: unnoticed by any test", measured=len(faults), target=5
    )


def missed(room: str, most: int, *, seed: int, jobs: int) -> list[Fault]:
    """Return the faults of a room that its tests did not notice."""
    files, tests = ROOMS[room]
    faults = random.Random(seed).sample(_all_faults(files), most)
    limit_s = SLOWER * _seconds_without_fault(tests)
    with ThreadPoolExecutor(jobs) as pool:
        noticed = list(pool.map(lambda fault: _is_noticed(fault, tests, limit_s), faults))
    return [fault for fault, seen in zip(faults, noticed, strict=True) if not seen]


def _all_faults(files: Sequence[str]) -> list[Fault]:
    places = [REPOSITORY / "src" / "palate" / name for name in files]
    paths = [path for place in places for path in (sorted(place.glob("*.py")) if place.is_dir() else [place])]
    return [fault for path in paths for fault in _faults_of(path)]


def _faults_of(path: Path) -> list[Fault]:
    """Return every fault that can be put into a file."""
    tree, faults = ast.parse(path.read_text()), []
    apart = {id(part) for one in _without_effect(tree) for part in ast.walk(one)}
    for number, node in enumerate(ast.walk(tree)):
        for change in _changes(node) if id(node) not in apart else ():
            spoilt = copy.deepcopy(tree)
            target = next(one for place, one in enumerate(ast.walk(spoilt)) if place == number)
            change(target)
            before, after = ast.unparse(tree).splitlines(), ast.unparse(spoilt)
            pairs = zip(before, after.splitlines(), strict=False)
            differing = next((pair for pair in pairs if pair[0] != pair[1]), None)
            if differing is not None:
                line = getattr(node, "lineno", 0)
                faults.append(Fault(path, line, differing[0].strip(), differing[1].strip(), after))
    return faults


def _without_effect(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield what does not change what the code does: decorators, and whether `zip` checks lengths that are equal."""
    for node in ast.walk(tree):
        yield from getattr(node, "decorator_list", ())
        if isinstance(node, ast.keyword) and node.arg == "strict":
            yield node


def _changes(node: ast.AST) -> list[Callable[[ast.AST], None]]:
    """Return what can be done wrong at a node; each changes the node in place."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        return [_compare]
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _REACHED:
        return [_reach]
    if isinstance(node, ast.BoolOp):
        return [_other_bool]
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return [_negate]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return [_shift]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return [_leave_out]
    return []


def _compare(node: ast.AST) -> None:
    assert isinstance(node, ast.Compare)
    node.ops[0] = _COMPARED[type(node.ops[0])]()


def _reach(node: ast.AST) -> None:
    assert isinstance(node, ast.BinOp | ast.AugAssign)
    node.op = _REACHED[type(node.op)]()


def _other_bool(node: ast.AST) -> None:
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()


def _negate(node: ast.AST) -> None:
    assert isinstance(node, ast.If | ast.IfExp | ast.While)
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _shift(node: ast.AST) -> None:
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, bool | int | float)
    node.value = not node.value if isinstance(node.value, bool) else node.value + 1


def _leave_out(node: ast.AST) -> None:
    assert isinstance(node, ast.Expr)
    node.value = ast.Constant(None)


def _is_noticed(fault: Fault, tests: Sequence[str], limit_s: float) -> bool:
    """Put a fault into a copy of the code, and run the tests there until one fails."""
    with _copy_of_the_code() as place:
        (place / fault.file.relative_to(REPOSITORY)).write_text(fault.source)
        return any(_fails(place, tests, which, limit_s) for which in WHICH)


def _seconds_without_fault(tests: Sequence[str]) -> float:
    """Return how long the slower half of the tests takes on the code as it is; a test that fails there is no notice."""
    took = []
    with _copy_of_the_code() as place:
        for which in WHICH:
            started = time.monotonic()
            if _fails(place, tests, which, MOST_S):
                raise RuntimeError(f"tests fail without any fault, so nothing can be told: {' '.join(tests)} ({which})")
            took.append(time.monotonic() - started)
    return max(took)


@contextlib.contextmanager
def _copy_of_the_code() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("src", "tests", "benchmarks"):
            shutil.copytree(REPOSITORY / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(REPOSITORY / "pyproject.toml", place)
        yield place


def _fails(place: Path, tests: Sequence[str], which: str, limit_s: float) -> bool:
    """Run tests of a copy of the code until one fails; return whether one does."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", which, *tests]
    process = subprocess.Popen(
        words,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(limit_s) not in (0, NOTHING_RUN)
    except subprocess.TimeoutExpired:  # it hangs, which nobody would miss
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def _line(fault: Fault) -> str:
    where = f"{fault.file.relative_to(REPOSITORY)}:{fault.line}"
    return f"not noticed: {where}\n    {fault.before}\n    {fault.after}"


def main() -> None:
    """Print the faults of some rooms that no test noticed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rooms", nargs="*", default=[*ROOMS])
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    for room in asked.rooms:
        faults = missed(room, asked.each, seed=asked.seed, jobs=asked.jobs)
        print(f"{room}: {len(faults)} of {asked.each} faults not noticed", flush=True)
        for fault in faults:
            print(_line(fault), flush=True)


if __name__ == "__main__":
    main()
