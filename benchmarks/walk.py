"""How one `palate run` walks through the house: which file calls into which, and what is read over and over.

The command line's own main runs in one process, under `sys.setprofile`, in a fresh project: a plain script of 20
steps, 2 seed pairs, so 4 trainings, with a forecast. Only the process that the command runs in is looked at, not its
runs.

A move is a call of a function in one file of the package while the innermost function of the package that is at work
is one of another file: whatever is between them (click, SQLAlchemy, a context manager, a sort) is passed over, as a
reader passes over it. A generator counts each time it goes on; what a module does while it is imported counts for
nothing. Progress is told by the clock, so moves differ by some ten from one time to the next; the script is short to
keep that small. A training of more steps gives more moves, as its journals are read record by record.

The chain is opened to be read where its file is opened and not to append. It is parsed as a whole where its first
record is; a fresh project has none, so that is told of a project with a past. `python -m benchmarks.walk` lists between
which files the moves are, the most first; `--no-forecast` for a run without one.
"""

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.table import Row

ROOT = Path(__file__).parents[1]
PACKAGE = f"{ROOT / 'src' / 'palate'}{os.sep}"
SCRIPT = """
import random
import palate
gain = 0.5
seed = 0
random.seed(seed)
level = 0.2
for step in range(20):
    level += gain * (0.9 - level) + random.gauss(0, 0.01)
    palate.log(step, val_acc=level)
"""
FORECAST, NONE = ("--forecast", "better:70"), ("--no-forecast",)
WORDS = ("run", "train.py", "-c", "gain=0.6", "--metric", "val_acc", "--pairs", "2")
PAST = ("run", "train.py", "-c", "gain=0.7", "--metric", "val_acc", "--pairs", "2", "--ask", "--forecast", "same:60")
INSIDE = "--inside"
FIRST_RECORD = '"number": 0,'


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What one command did.

    Attributes:
        moves: how often a file called into another, by both, as (from, to, how often), the most first.
        files: of the package, in which functions ran.
        opened: how often the chain's file was opened to be read.
        whole: how often its first record was parsed.
        parsed: bytes of records that were parsed, at all.
        length: bytes that the chain has in the end.
        catalogs: how often a catalog was made ready.
        content_ids: how often something was hashed to an id.
    """

    moves: list[tuple[str, str, int]]
    files: int
    opened: int
    whole: int
    parsed: int
    length: int
    catalogs: int
    content_ids: int

    @property
    def moved(self) -> int:
        """Moves of all files together."""
        return sum(count for _, _, count in self.moves)

    @property
    def visited(self) -> int:
        """Files that took part in a move."""
        return len({name for one, other, _ in self.moves for name in (one, other)})


def rows() -> Iterator[Row]:
    """Walk in a fresh project, and in one with a past."""
    walk, later = take_walk(), take_walk(past=True)
    what = "a run of 4 trainings"
    yield Row(name=f"{what}: moves between files", measured=walk.moved, target=800)
    yield Row(name=f"{what}: files that take part in them", measured=walk.visited)
    yield Row(name=f"{what}: files of which code ran", measured=walk.files)
    yield Row(name=f"{what}: the chain opened to be read", measured=walk.opened, target=1)
    yield Row(name=f"{what}: the chain parsed as a whole, where it is not new", measured=later.whole, target=1)
    yield Row(name=f"{what}: bytes of it parsed then, of {later.length}", measured=later.parsed)
    yield Row(name=f"{what}: the catalog opened", measured=walk.catalogs, target=1)
    yield Row(name=f"{what}: ids hashed from content", measured=walk.content_ids, target=30)


def take_walk(words: tuple[str, ...] = FORECAST, *, past: bool = False) -> Walk:
    """Run the command in a project, in a process of its own, and give what it did.

    Args:
        words: that follow the others.
        past: whether another question is sealed in the project before; else it is fresh.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "train.py").write_text(SCRIPT)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {
            **os.environ, "PYTHONPATH": path, "PALATE_HOME": str(place / ".palate"), "PALATE_AUTHOR": "bench",
        }  # fmt: skip
        if past:
            before = [sys.executable, "-m", "palate", *PAST]
            subprocess.run(before, cwd=place, env=environment, check=True, capture_output=True)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.walk", INSIDE, str(place / "walk.json"), *WORDS, *words],
            cwd=place, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        told = json.loads((place / "walk.json").read_text())
    return Walk(**{**told, "moves": [(one, other, count) for one, other, count in told["moves"]]})


class _Watch:
    """Counts calls, as a profile function."""

    def __init__(self, chain: Path) -> None:
        from palate.recipe.codec import content_id
        from palate.store.catalog import Catalog

        self.chain = chain
        self.moves: Counter[tuple[str, str]] = Counter()
        self.files: set[str] = set()
        self.calls: Counter[CodeType] = Counter()
        self.opened = self.whole = self.parsed = 0
        self._catalog, self._content_id = Catalog.__init__.__code__, inspect.unwrap(content_id).__code__
        self._decode = json.JSONDecoder.decode.__code__
        sys.addaudithook(self._hear)

    def _hear(self, event: str, told: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(told[0], str | os.PathLike) and Path(told[0]) == self.chain:
            self.opened += told[2] & os.O_ACCMODE == os.O_RDONLY

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Take in one event."""
        if event != "call":
            return
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE):
            self._enter(frame, code)
        elif code is self._decode and _at_work(frame).endswith("store/chain.py"):
            text = frame.f_locals["s"]
            self.parsed += len(text.encode())
            self.whole += FIRST_RECORD in text

    def _enter(self, frame: FrameType, code: CodeType) -> None:
        if code.co_name == "<module>":
            return
        self.calls[code] += 1
        self.files.add(code.co_filename)
        caller = _at_work(frame)
        if caller and caller != code.co_filename:
            self.moves[caller.removeprefix(PACKAGE), code.co_filename.removeprefix(PACKAGE)] += 1

    def told(self) -> dict[str, Any]:
        """Give what was counted, as fields of a `Walk`."""
        return {
            "moves": [(*pair, count) for pair, count in self.moves.most_common()],
            "files": len(self.files),
            "opened": self.opened,
            "whole": self.whole,
            "parsed": self.parsed,
            "length": self.chain.stat().st_size,
            "catalogs": self.calls[self._catalog],
            "content_ids": self.calls[self._content_id],
        }


def _at_work(frame: FrameType) -> str:
    """Name the file of the innermost function of the package that calls a frame; "" for none, or a module's import."""
    caller = frame.f_back
    while caller is not None and not caller.f_code.co_filename.startswith(PACKAGE):
        caller = caller.f_back
    return "" if caller is None or caller.f_code.co_name == "<module>" else caller.f_code.co_filename


def _run_inside(out: Path, words: list[str]) -> None:
    """Run a command in this process and write what it did."""
    from palate.cli import main

    watch = _Watch(Path(os.environ["PALATE_HOME"]) / "chain.jsonl")
    sys.argv = ["palate", *words]
    status: object = 0
    sys.setprofile(watch)
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    finally:
        sys.setprofile(None)
    out.write_text(json.dumps(watch.told()))
    sys.exit(1 if status else 0)


def main() -> None:
    """List the moves."""
    if sys.argv[1:2] == [INSIDE]:
        _run_inside(Path(sys.argv[2]), sys.argv[3:])
    walk = take_walk(NONE if sys.argv[1:] == list(NONE) else FORECAST)
    print(f"{walk.moved} moves between {walk.visited} files, {walk.files} files at work")
    print(f"chain opened {walk.opened}, parsed as a whole {walk.whole}, {walk.parsed} bytes parsed of {walk.length}")
    print(f"catalog opened {walk.catalogs}, ids hashed {walk.content_ids}")
    for one, other, count in walk.moves[:60]:
        print(f"{count:>5}  {one} -> {other}")


if __name__ == "__main__":
    main()
