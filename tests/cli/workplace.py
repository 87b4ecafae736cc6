"""A folder in which palate is called, in this process or in one of its own, and a small training to call it on."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pexpect

from palate.cli import main
from palate.training.debug import start_debug
from palate.training.local import start_local

SCRIPT = """
import os, random, sys, time
import palate
gain = 0.5
noise = 0.01
mode = "train"
pause = 0.0
seed = 0
random.seed(seed)
level = 0.2
for step in range(5):
    level += gain * (0.9 - level) + random.gauss(0, noise)
    time.sleep(pause)
    if mode == "nan":
        level = float("nan")
    if mode == "crash" and step == 2:
        raise RuntimeError("out of luck")
    palate.log(step, val_acc=level, loss=1 - level)
"""

RUN = ("run", "train.py", "--metric", "val_acc")
PALATE = (sys.executable, "-m", "palate")


@dataclass(frozen=True)
class Ended:
    """How a call of palate ended: what a finished process would tell."""

    returncode: int
    stdout: str
    stderr: str


class Workplace:
    """A folder in which palate is called.

    `call` and `json` run the command line in this process, and the trainings too, unless `real_workers` is set: an
    interpreter for palate and one for its worker are not paid for. `process`, `start` and `terminal` start both, for
    what only a process shows: its exit status, signals, keys.

    Attributes:
        folder: the folder.
        real_workers: whether `call` and `json` start the worker that trains as a person's palate does.
    """

    def __init__(self, folder, *, real_workers=True):
        self.folder = Path(folder)
        self.real_workers = real_workers
        self.environment = {**os.environ, "COLUMNS": "200", "PALATE_HOME": str(self.folder / ".palate")}

    def write(self, text, name="train.py"):
        """Write a file into the folder; give its name."""
        (self.folder / name).write_text(text)
        return name

    def call(self, *words, **more):
        """Call palate in this process; `more` are environment variables."""
        out, err = io.StringIO(), io.StringIO()
        with (
            self._as_a_process_would_find_it(words, more),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as leave:
                status = leave.code
        return Ended(status, out.getvalue(), err.getvalue())

    def json(self, *words, status=0, **more):
        """Call palate in this process; give the document that it prints."""
        ended = self.call(*words, "--json", **more)
        assert ended.returncode == status, ended.stderr
        return json.loads(ended.stdout)

    def process(self, *words, **more):
        """Call palate in a process of its own."""
        return subprocess.run(
            [*PALATE, *words], cwd=self.folder, env={**self.environment, **more}, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip

    def start(self, *words, **options):
        """Start palate in a process of its own; give the process, which still runs."""
        return subprocess.Popen([*PALATE, *words], cwd=self.folder, env=self.environment, **options)

    def terminal(self, *words, rows=40, columns=200):
        """Start palate at a terminal; give what types keys and reads the screen."""
        python, *arguments = (*PALATE, *words)
        return pexpect.spawn(
            python, arguments, cwd=str(self.folder), env={**self.environment, "COLUMNS": str(columns)},
            dimensions=(rows, columns), encoding="utf-8", timeout=60,
        )  # fmt: skip

    @contextlib.contextmanager
    def _as_a_process_would_find_it(self, words, more):
        """Set what a process is started with, and put it back; the user's modules are imported anew each time."""
        modules = set(sys.modules)
        with (
            mock.patch.dict(os.environ, {**self.environment, **more}, clear=True),
            mock.patch.object(sys, "argv", ["palate", *words]),
            mock.patch.object(sys, "stdin", io.StringIO()),
            mock.patch.object(sys, "path", sys.path[:]),
            mock.patch("palate.loop.ask.start_local", start_local if self.real_workers else start_debug),
            contextlib.chdir(self.folder),
        ):
            yield
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(self.folder)):
                del sys.modules[name]
