"""A script sees, when palate starts it, what it sees when Python starts it: but for its folder, and what is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from palate.question.folder import place_of
from palate.question.target import find_target
from palate.training.launch import Engines, Resources
from palate.training.local import start_local

LOOK = '''"""The words of the script."""
import inspect, io, json, multiprocessing, os, pickle, signal, sys, threading, warnings

count: int = 3


class Thing:
    value = 1


def function():
    return 1


if __name__ == "__main__":
    main = sys.modules["__main__"]
    named = ("__name__", "__package__", "__doc__", "__file__", "__cached__", "__annotations__")
    seen = {name: str(globals()[name]) for name in named}
    seen["spec"] = __spec__ and [__spec__.name, __spec__.origin, __spec__.parent]
    seen["builtins"] = type(__builtins__).__name__
    seen["loader"] = [type(__loader__).__name__, __loader__.name, __loader__.path]
    seen["argv"] = sys.argv
    seen["orig_argv"] = sys.orig_argv[1:]
    seen["path"] = sys.path
    flags = [name for name in dir(sys.flags) if name[0] != "_" and not callable(getattr(sys.flags, name))]
    seen["flags"] = {name: getattr(sys.flags, name) for name in flags}
    seen["filters"] = list(map(str, warnings.filters))
    seen["input"] = [sys.stdin.isatty(), sys.stdin.read()]
    for name in ("stdin", "stdout", "stderr"):
        one = getattr(sys, name)
        seen[name] = [one.name, one.encoding, one.errors, one.mode, one.isatty(), one.fileno(), one.newlines]
        seen[name] += [one is getattr(sys, f"__{name}__"), isinstance(one, io.TextIOWrapper)]
    seen["source"] = [inspect.getsource(function), inspect.getfile(Thing), inspect.getdoc(main)]
    seen["pickled"] = [pickle.loads(pickle.dumps(Thing())).value, Thing.__module__, main.Thing is Thing]
    seen["hooks"] = [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, hasattr(sys, "ps1")]
    seen["threads"] = [threading.current_thread() is threading.main_thread(), threading.active_count()]
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP, signal.SIGCHLD)
    seen["signals"] = [str(signal.getsignal(one)) for one in watched]
    seen["processes"] = [multiprocessing.current_process().name, multiprocessing.get_start_method()]
    seen["folders"] = [os.getcwd(), os.environ["PWD"], multiprocessing.process.ORIGINAL_DIR]
    seen["variables"] = sorted(os.environ)
    seen["python"] = [sys.executable, sys.prefix, sys.getrecursionlimit()]
    print("SEEN" + json.dumps(seen))
'''

TOLD = {"hash_randomization", "dont_write_bytecode"}
"""Flags that are palate's own, told in docs/starting.md."""

VARIABLES = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MASTER_PORT", "PET_MASTER_PORT", "PWD",
             "GIT_OPTIONAL_LOCKS", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE",
             "PYTORCH_NVML_BASED_CUDA_CHECK", "PYTHONPATH"}  # fmt: skip


def by_python(words, folder, environment):
    command = [sys.executable, *words]
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PWD": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return seen_in(ended.stdout + ended.stderr)


def by_palate(words, home):
    module = words[0] == "-m"
    text, arguments = (f"-m {words[1]}", words[2:]) if module else (words[0], words[1:])
    target = find_target(text, arguments)
    folder = home / "run"
    folder.mkdir(parents=True)
    place = place_of(Path.cwd(), home)
    ended = []
    with Engines(Resources(start=start_local, workers=1, threads=1, place=place)) as engines:
        engines.submit(target.task, target.order("run", folder, 0, ()))
        while not ended:
            ended = engines.poll()
    output = (folder / "output.log").read_text()
    return seen_in(output.replace(str(folder / "work"), place.root))


def seen_in(output):
    lines = [line for line in output.splitlines() if line.startswith("SEEN")]
    assert lines, output
    return json.loads(lines[0][4:])


def without_what_is_told(seen):
    seen["flags"] = {name: value for name, value in seen["flags"].items() if name not in TOLD}
    told = {name for name in seen["variables"] if name.startswith("PALATE_") or name in VARIABLES}
    return {**seen, "variables": sorted(set(seen["variables"]) - told)}


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "package" / "inner").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "look.py").write_text(LOOK)
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "look.py").write_text(LOOK.replace("count: int", "from . import inner\n\ncount: int"))
    (folder / "package" / "inner" / "__init__.py").write_text("")
    (folder / "package" / "inner" / "__main__.py").write_text(LOOK)
    (folder / "bin" / "look.py").symlink_to(Path("..", "package", "inner", "__main__.py"))
    (folder / "setup.cfg").write_text("")  # what marks a project
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["look.py", "--lr", "3"],
        ["package/inner/__main__.py"],
        ["bin/look.py", "x"],
        ["-m", "look", "--lr", "3"],
        ["-m", "package.look"],
        ["-m", "package.inner", "a b"],
    ],
    ids=" ".join,
)
def test_a_script_sees_what_it_sees_under_python(words, project, tmp_path):
    python = by_python(words, project, os.environ)
    assert without_what_is_told(by_palate(words, tmp_path / "home")) == without_what_is_told(python)


@pytest.mark.parametrize("variable", ["PYTHONOPTIMIZE", "PYTHONSAFEPATH", "PYTHONWARNINGS"])
def test_what_variables_say_to_python_is_heeded(variable, project, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, {"PYTHONWARNINGS": "ignore::UserWarning"}.get(variable, "1"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    python = by_python(["look.py"], project, os.environ)
    assert without_what_is_told(by_palate(["look.py"], tmp_path / "home")) == without_what_is_told(python)


def test_from_a_folder_below_a_script_is_called_as_it_is_typed(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project / "bin")
    python = by_python(["../look.py"], project / "bin", os.environ)
    python = json.loads(json.dumps(python).replace("/bin/../", "/"))  # one file, by its shorter name
    assert without_what_is_told(by_palate(["../look.py"], tmp_path / "home")) == without_what_is_told(python)
