"""Ways in which a run ends, as scripts, with how palate has to say that they ended."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from palate.question.target import Order, Task
from palate.training.launch import Ended
from palate.training.local import LocalLauncher
from palate.training.outcome import describe_exit

SLEEP = f"777.{os.getpid()}"
"""Seconds that a left-over process would sleep: nobody else's, and those of no other process that runs tests."""

BEGIN = f"""
import atexit, ctypes, os, resource, shutil, signal, subprocess, sys, threading, time
import palate
print("begins")
palate.log(0, acc=1.0)
def leave_behind():
    subprocess.Popen(["sleep", "{SLEEP}"])
    subprocess.Popen(["sleep", "{SLEEP}"], start_new_session=True)
    subprocess.run("(setsid sleep {SLEEP} </dev/null >/dev/null 2>&1 &)", shell=True, start_new_session=True)
    subprocess.run("(env -i setsid sleep {SLEEP} </dev/null >/dev/null 2>&1 &)", shell=True)
leave_behind()
"""


@dataclass(frozen=True)
class Way:
    """One way to end.

    Attributes:
        name: of it.
        script: what the run does, after `BEGIN`.
        says: how it is told: "ok", or the first line of a bad end.
        prints: what has to be in its output.
    """

    name: str
    script: str
    says: str
    prints: str = "begins"


IGNORES = f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsubprocess.Popen(['sleep', '{SLEEP}'])\n"
TIMEOUT = "ended after so many s, its time being up"

WAYS = (
    Way("an exit status", "sys.exit(3)", "exit status 3"),
    Way("an exception", "raise ValueError('no such luck')", "exit status 1", "ValueError: no such luck"),
    Way("os._exit", "os._exit(0)", "ok"),
    Way("kill -9", "os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    Way("a segmentation fault", "ctypes.string_at(0)", "killed by SIGSEGV"),
    Way("abort", "os.abort()", "killed by SIGABRT"),
    Way("a signal without a name", "os.kill(os.getpid(), 40)", "killed by signal 40"),
    Way("no memory", "bytearray(1 << 60)", "out of memory", "MemoryError"),
    Way("recursion", "def f(): f()\nf()", "exit status 1", "RecursionError"),
    Way(
        "a stack overflow",
        "sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
        "killed by SIGSEGV",
    ),
    Way("an exit with a text", "sys.exit('no data here')", "exit status 1", "no data here"),
    Way("an exception in atexit", "atexit.register(lambda: 1 / 0)", "ok", "ZeroDivisionError"),
    Way("a thread that goes on", "threading.Thread(target=time.sleep, args=(777,), daemon=True).start()", "ok"),
    Way(
        "a deadlock",
        "lock = threading.Lock(); lock.acquire()\nthreading.Thread(target=lock.acquire).start()",
        TIMEOUT,
    ),
    Way("being stopped", "os.kill(os.getpid(), signal.SIGSTOP)", TIMEOUT),
    Way("a child that ignores SIGTERM", IGNORES, "ok"),
    Way("a closed output", "print('last words')\nsys.stdout.close()\nos.close(1)\nos.close(2)", "ok", "last words"),
    Way("a folder that is gone", "os.mkdir('x'); os.chdir('x'); os.rmdir('../x'); print('here')", "ok", "here"),
    Way("no descriptors left", "files = []\nwhile True: files.append(os.dup(0))", "exit status 1", "OSError"),
    Way("a shell that prints on", "subprocess.Popen('while :; do echo on; sleep .1; done', shell=True)", "ok"),
    Way("a flood", "while True: sys.stdout.write('y\\n' * 4000)", TIMEOUT, "y\ny\ny"),
)  # fmt: skip


def left_over(mark: str = SLEEP) -> list[int]:
    """List the processes that a way left behind: they sleep for so long."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def carry_out(folder: Path, ways: tuple[Way, ...], **options: float) -> dict[str, tuple[str, str]]:
    """Run ways at once; give, by name, how each ended in words and what it printed."""
    launchers = {way.name: _launch(folder, place, way, **options) for place, way in enumerate(ways)}
    ended: dict[str, Ended] = {}
    try:
        while len(ended) < len(ways):
            for name, launcher in launchers.items():
                ended.update((name, done) for done in launcher.poll(0.01))
    finally:
        for launcher in launchers.values():
            launcher.stop()
    return {name: _told(done, folder / done.id / "output.log") for name, done in ended.items()}


def _launch(folder: Path, place: int, way: Way, **options: float) -> LocalLauncher:
    here, file = folder / f"r{place}", folder / f"way{place}.py"
    here.mkdir()
    file.write_text(f"{BEGIN}{way.script}\n")
    launcher = LocalLauncher(Task(kind="script", file=str(file)), **options)
    launcher.submit(Order(id=here.name, folder=here, seed=0, settings={}))
    return launcher


def _told(ended: Ended, output: Path) -> tuple[str, str]:
    well = ended.status == 0 and not ended.timed_out
    words = "ok" if well else re.sub(r"after \d+ s", "after so many s", describe_exit(ended, output).partition("\n")[0])
    return words, output.read_text(errors="replace")
