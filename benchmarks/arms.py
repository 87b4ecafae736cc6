"""Whether each arm is what the question says, and what it costs to check: `./scripts/bench arms`.

Planted faults (`planted`) are asked about by the command line, each in a folder of its own. Costs are ratios taken in
one run: a run that is read back next to the same one that is not, an edit's second arm next to its first.
"""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.planted import FIXED_NAMES, NOT_ARRIVED, STALE, Planted, fixed_name
from benchmarks.table import Row

PALATE = (sys.executable, "-m", "palate")
EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = 2000


def rows() -> Iterator[Row]:
    """Measure all of it."""
    named = [one.name for one in NOT_ARRIVED if not is_named(one)]
    yield from _counted("scripts whose change or seed does not arrive, not named before the second pair", named)
    used = [one.name for one in STALE if not is_run_again(one)]
    yield from _counted("baselines that are out of date, used again", used)
    wrong = [statement for statement in FIXED_NAMES if not is_apart(statement)]
    yield from _counted("scripts with fixed output names, two at once not equal to one at a time", wrong)
    alarms = [name for name, train in healthy().items() if not is_quiet(train)]
    yield from _counted(f"false alarms on {len(healthy())} healthy scripts", alarms)
    different = [name for name in SAME if not is_same_as_python(name)]
    yield from _counted("kinds of random numbers that differ from python train.py", different)
    yield from folder_rows()
    yield from reading_rows()
    yield from edit_rows()


def _counted(name: str, failed: list[str]) -> Iterator[Row]:
    yield Row(name=name, measured=len(failed), target=0)
    for one in failed:
        print(f"    {one}", file=sys.stderr)


class Folder:
    """A fresh folder in which palate is called."""

    def __init__(self) -> None:
        self._made = tempfile.TemporaryDirectory(prefix="arms-")
        self.path = Path(self._made.name)
        bin_first = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self.environment = {
            **os.environ,
            "PATH": bin_first,
            "PALATE_HOME": str(self.path / ".palate"),
            "PALATE_AUTHOR": "bench",
        }

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *_: object) -> None:
        self._made.cleanup()

    def write(self, files: Mapping[str, str]) -> None:
        """Write some files."""
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name.endswith(".sh") else 0o644)

    def ask(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Call `palate run`, without a forecast."""
        command = [*PALATE, "run", "--metric", "val_acc", "--no-forecast", *words]
        environment = {**self.environment, **more}
        return subprocess.run(
            command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=300, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def runs(self) -> int:
        """Count the runs that were begun."""
        return len(list((self.path / ".palate" / "runs").glob("*"))) if (self.path / ".palate" / "runs").exists() else 0


def is_named(planted: Planted) -> bool:
    """Whether a planted fault is named before the second pair is begun; or mended, so that the change arrives."""
    with Folder() as folder:
        planted.write(folder.path)
        budget = ("--pairs", "3", "--workers", "1")
        words = ("--", *planted.arguments) if planted.arguments else ()
        asked = folder.ask(planted.script, "-c", planted.change, *budget, *words)
        said = asked.stdout + asked.stderr
        if "arrives" in planted.words:
            return asked.returncode == 0 and ("Better" in said or "Worse" in said or "Cannot tell" in said)
        named = any(word in said for word in planted.words)
        return named and (folder.runs() <= 3 or asked.returncode == 0)


def is_run_again(stale: object) -> bool:
    """Whether a baseline that is out of date is run again, and the reason is said."""
    with Folder() as folder:
        folder.write(stale.files)  # type: ignore[attr-defined]
        script = next(iter(stale.files))  # type: ignore[attr-defined]
        budget = ("--pairs", "2", "--workers", "2")
        first = folder.ask(script, "-c", "lift=.001", *budget)
        folder.write(stale.later)  # type: ignore[attr-defined]
        again = folder.ask(script, "-c", "lift=.002", *budget, "--json", **stale.environment)  # type: ignore[attr-defined]
        told = folder.ask(script, "-c", "lift=.003", *budget, **stale.environment)  # type: ignore[attr-defined]
        if first.returncode or again.returncode:
            print(first.stderr[-300:], again.stderr[-300:], file=sys.stderr)
            return False
        runs = json.loads(again.stdout)["runs"]
        return runs["reused"] == 0 and stale.words in told.stdout  # type: ignore[attr-defined]


def is_apart(statement: str) -> bool:
    """Whether a script that writes a fixed name gives the same two at once as one at a time."""
    values = []
    for workers in ("1", "2"):
        with Folder() as folder:
            folder.write({"t.py": fixed_name(statement)})
            asked = folder.ask("t.py", "-c", "lift=.01", "--pairs", "3", "--workers", workers, "--json")
            if asked.returncode:
                print(asked.stderr[-500:], file=sys.stderr)
                return False
            runs = json.loads(asked.stdout)["runs"]
            values.append([[run["value"] for run in runs[arm]] for arm in ("baseline", "treatment")])
    shared = [min(len(one), len(other)) for one, other in zip(*values, strict=True)]
    return all(one[:n] == other[:n] for one, other, n in zip(*values, shared, strict=True))


def healthy() -> dict[str, Callable[[Folder], tuple[str, ...]]]:
    """Return trainings in which nothing is wrong: the examples, and scripts of common forms."""
    found: dict[str, Callable[[Folder], tuple[str, ...]]] = {}
    for name, (text, change) in FORMS.items():
        found[name] = lambda folder, text=text, change=change: _form(folder, text, change)  # type: ignore[misc]
    found["palate.examples.digits_mlp"] = lambda _: ("palate.examples.digits_mlp:train", "-c", "hidden=16")
    found["palate.examples.mnist1d_cnn"] = lambda _: ("palate.examples.mnist1d_cnn:train", "-c", "epochs=2")
    return found


def _form(folder: Folder, text: str, change: str) -> tuple[str, ...]:
    folder.write({"t.py": text, "conf.yaml": "rate: 0.5\n", "data.csv": "1\n2\n"})
    return ("t.py", "-c", change)


def is_quiet(train: Callable[[Folder], tuple[str, ...]]) -> bool:
    """Whether nothing is said to be wrong, and the same question asked again makes no run."""
    with Folder() as folder:
        words = train(folder)
        first = folder.ask(*words, "--pairs", "2")
        again = folder.ask(*words, "--pairs", "2", "--json")
        said = first.stdout + first.stderr
        alarms = ("goes nowhere", "did not reach", "not apart", "wrote the same", "not used again", "Seed 0")
        quiet = not first.returncode and not any(alarm in said for alarm in alarms)
        if not quiet:
            print(said[-800:], file=sys.stderr)
        return quiet and json.loads(again.stdout)["runs"]["made"] == 0


_LOGS = "\nfor step in range(3):\n    palate.log(step, val_acc=.5 + {} + random.gauss(0, .01))\n"
_ARGS = "import argparse, os, random, sys\nimport palate\np = argparse.ArgumentParser()\n"
FORMS: dict[str, tuple[str, str]] = {
    "constants": ("import random, palate\nlr = .1\nseed = 0\nrandom.seed(seed)" + _LOGS.format("lr"), "lr=.2"),
    "argparse with a seed": (
        f"{_ARGS}p.add_argument('--lr', type=float, default=.1)\np.add_argument('--seed', type=int, default=1)\n"
        "a = p.parse_args()\nrandom.seed(a.seed + 100)" + _LOGS.format("a.lr"),
        "lr=.2",
    ),
    "two parsers, one for the configuration": (
        f"{_ARGS}p.add_argument('--config', default='conf.yaml')\nknown, rest = p.parse_known_args()\n"
        "q = argparse.ArgumentParser(parents=[p], add_help=False)\nq.add_argument('--lr', type=float, default=.1)\n"
        "q.set_defaults(rate=float(open(known.config).read().split(':')[1]))\na = q.parse_args()\n"
        "random.seed(int(os.environ['PALATE_SEED']))" + _LOGS.format("a.lr * a.rate"),
        "lr=.2",
    ),
    "a value that decays": (
        f"{_ARGS}p.add_argument('--lr', type=float, default=.1)\na = p.parse_args()\npalate.seed_everything()\n"
        "for step in range(3):\n    a.lr = max(a.lr * .1, 1e-4)\n    palate.log(step, val_acc=.5 + a.lr + random.random() / 9)",
        "lr=.2",
    ),
    "a global that decays": (
        "import random, palate\nlr = .1\nseed = 0\nrandom.seed(seed)\ndef decay():\n    global lr\n"
        "    lr = max(lr * .1, 1e-4)\nfor step in range(3):\n"
        "    palate.log(step, val_acc=.5 + lr + random.random() / 9)\n    decay()",
        "lr=.2",
    ),
    "palate.settings": (
        "import random, palate\ns = palate.settings(lr=.1)\npalate.seed_everything()" + _LOGS.format("s.lr"),
        "lr=.2",
    ),
    "a function": (
        "import random, palate\n@palate.experiment(metric='val_acc')\ndef train(run, *, lr=.1):\n"
        "    random.seed(run.seed)\n    for step in range(3):\n"
        "        run.log(step, val_acc=.5 + lr + random.gauss(0, .01))",
        "lr=.2",
    ),
    "a log that is appended to": (
        "import random, palate\nlr = .1\nseed = 0\nrandom.seed(seed)\nopen('log.txt', 'a').write('x')"
        + _LOGS.format("lr"),
        "lr=.2",
    ),
    "a cache that is made once": (
        "import os, random, palate\nlr = .1\nseed = 0\nrandom.seed(seed)\n"
        "if not os.path.exists('cache.txt'):\n    open('cache.txt', 'w').write('1')\nd = int(open('cache.txt').read())"
        + _LOGS.format("lr * d"),
        "lr=.2",
    ),
    "a cache in the home folder": (
        "import os, random, tempfile, palate\nlr = .1\nseed = 0\nrandom.seed(seed)\n"
        "p = os.path.join(tempfile.gettempdir(), f'cache-{os.path.basename(os.environ[\"PALATE_HOME\"])}-bench.txt')\n"
        "if not os.path.exists(p):\n    open(p, 'w').write('1')\nd = int(open(p).read())" + _LOGS.format("lr * d"),
        "lr=.2",
    ),
    "a file of its time": (
        "import os, random, tempfile, time, palate\nlr = .1\nseed = 0\nrandom.seed(seed)\n"
        "with tempfile.NamedTemporaryFile('w+') as f:\n    f.write('1')\nopen(f'run-{time.time()}.txt', 'w').write('x')"
        + _LOGS.format("lr"),
        "lr=.2",
    ),
    "numpy": (
        "import random, numpy as np, palate\nlr = .1\nseed = 0\nrng = np.random.default_rng(seed)\nrandom.seed(seed)\n"
        "np.random.seed(seed)" + _LOGS.format("lr + rng.random() * .01"),
        "lr=.2",
    ),
}

SAME = {
    "random": "import random\nrandom.seed(seed)\ndraw = random.random",
    "numpy": "import numpy\nnumpy.random.seed(seed)\ndraw = numpy.random.rand",
    "numpy generator": "import numpy\ndraw = numpy.random.default_rng(seed).random",
    "torch": "import torch\ntorch.manual_seed(seed)\ndraw = lambda: torch.rand(()).item()",
    "DataLoader workers": (
        "import torch\ntorch.manual_seed(seed)\n"
        "class D(torch.utils.data.Dataset):\n    def __len__(self): return 8\n"
        "    def __getitem__(self, i): return torch.rand(())\n"
        "values = iter([v.item() for b in torch.utils.data.DataLoader(D(), batch_size=2, num_workers=2, shuffle=True)"
        " for v in b])\ndraw = lambda: next(values)"
    ),
}


def is_same_as_python(name: str) -> bool:
    """Whether a run of a warm worker draws what `python train.py` draws with the same seed, bit for bit."""
    head = f"import os, palate\nseed = 0\nlift = 0.0\n{SAME[name]}\nif __name__ == '__main__':\n"
    text = (
        head + "    drawn = [draw().hex() for _ in range(5)]\n    print('drawn', *drawn)\n"
        "    for step, value in enumerate(drawn):\n        palate.log(step, val_acc=float.fromhex(value))\n"
    )
    with Folder() as folder:
        folder.write({"t.py": text})
        folder.ask("t.py", "-c", "lift=1.0", "--pairs", "2", "--threads", "1")
        mine = {}
        for journal in (folder.path / ".palate" / "runs").glob("*/output.log"):
            lines = [line for line in journal.read_text().splitlines() if line.startswith("drawn")]
            mine.setdefault(journal.parent.name.rpartition("-s")[2], set()).update(lines)
        for seed, lines in mine.items():
            text_now = text.replace("seed = 0\n", f"seed = {seed}\n", 1)
            folder.write({"by_hand.py": text_now})
            more = {"OMP_NUM_THREADS": "1", "PALATE_HOME": str(folder.path / "other")}
            done = subprocess.run(
                [sys.executable, "by_hand.py"], cwd=folder.path, env={**os.environ, **more}, capture_output=True,
                text=True, check=True,
            )  # fmt: skip
            if lines != {line for line in done.stdout.splitlines() if line.startswith("drawn")}:
                return False
        return len(mine) == 2


def folder_rows() -> Iterator[Row]:
    """What a folder of its own costs a run: made, and cleared, of a project with many files and large inputs."""
    from palate.question.folder import Place
    from palate.training import apart

    with Folder() as folder:
        for number in range(FILES // 20):
            (folder.path / f"pkg{number}").mkdir()
            for one in range(20):
                (folder.path / f"pkg{number}" / f"m{one}.py").write_text("x = 1\n")
        with (folder.path / "data.bin").open("wb") as file:
            file.truncate(1 << 30)
        place = Place(root=str(folder.path), home=str(folder.path / ".palate"))
        took, sizes = [], []
        for number in range(9):
            work = str(folder.path / ".palate" / "runs" / str(number) / "work")
            began_s = time.perf_counter()
            apart.make_folder(place, work)
            made_s = time.perf_counter() - began_s
            copied = sum(p.lstat().st_size for p in Path(work).rglob("*") if p.is_file() and not p.is_symlink())
            began_s = time.perf_counter()
            apart.clear_folder(place, work)
            took.append(1000 * (made_s + time.perf_counter() - began_s))
            sizes.append(copied)
    yield Row(name=f"a folder of its own, made and cleared, {FILES} files", measured=statistics.median(took), unit="ms",
              target=50)  # fmt: skip
    yield Row(name="bytes of inputs that are copied (a file of 1 GiB beside)", measured=max(sizes) // (1 << 20), unit="MiB",
              target=0)  # fmt: skip


OPENS = """
import os, sys, time
{start}
names = [f"d/{{i}}" for i in range({files})]
began = time.process_time()
for name in names:
    with open(name, "rb") as file:
        file.read()
print(time.process_time() - began)
"""


def reading_rows() -> Iterator[Row]:
    """What reading back costs: an opened file, and a run of 10 s."""
    with Folder() as folder:
        (folder.path / "d").mkdir()
        for number in range(FILES):
            (folder.path / "d" / str(number)).write_text("x")
        start = (
            "from palate.training.received import start_recorder\nos.makedirs('run')\n"
            "start_recorder(os.path.abspath('run/received.jsonl'), os.getcwd())"
        )
        costs = []
        for _ in range(5):
            shutil.rmtree(folder.path / "run", ignore_errors=True)
            times = [
                float(
                    subprocess.run(
                        [sys.executable, "-c", OPENS.format(start=text, files=FILES)],
                        cwd=folder.path, capture_output=True, text=True, check=True,
                    ).stdout
                )
                for text in ("", start)
            ]  # fmt: skip
            costs.append(1e6 * (times[1] - times[0]) / FILES)
        yield Row(name="reading back, an opened file (CPU)", measured=statistics.median(costs), unit="us", target=10)
    yield Row(name="reading back, share of a run of 10 s", measured=100 * _share_of_a_run(), unit="%", target=2)


def _share_of_a_run() -> float:
    """Return what the recorder adds to a run of about 10 s that opens files, as a share of it, by CPU time."""
    work = (
        "import os, random, time\nseed = 0\nlift = 0.0\n"
        "import palate\nrandom.seed(seed)\nx = 0.0\nfor i in range({n}):\n"
        "    x += random.random()\n    if i % 20000 == 0:\n        open('d/' + str(i // 20000 % 200)).read()\n"
        "palate.log(0, val_acc=.5)\n"
    )
    with Folder() as folder:
        (folder.path / "d").mkdir()
        for number in range(200):
            (folder.path / "d" / str(number)).write_text("x" * 1000)
        began = time.process_time()
        for _i in range(10**6):
            pass
        n = 120_000_000 if time.process_time() - began < 0.02 else 60_000_000
        (folder.path / "t.py").write_text(work.format(n=n))
        start = (
            "import os\nfrom palate.training.received import start_recorder, stop_recorder\nos.makedirs('run')\n"
            "start_recorder(os.path.abspath('run/received.jsonl'), os.getcwd())\n"
        )
        run = "exec(compile(open('t.py').read(), 't.py', 'exec'))\n"
        import resource

        spent: dict[str, list[float]] = {run: [], start + run + "stop_recorder()\n": []}
        for _i in range(3):
            shutil.rmtree(folder.path / "run", ignore_errors=True)
            for text, times in spent.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([sys.executable, "-c", text], cwd=folder.path, env=folder.environment, check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        plain, noted = (min(times) for times in spent.values())
        return (noted - plain) / plain


def edit_rows() -> Iterator[Row]:
    """What an edit as an arm costs: the second arm's start beside the first, and the bytes of the tree that change."""
    with Folder() as folder:
        git = ["git", "-C", str(folder.path), "-c", "user.email=a@b", "-c", "user.name=a"]
        script = "import random, palate\nimport torch\nimport part\nseed = 0\nrandom.seed(seed)\n"
        script += "for step in range(3):\n    palate.log(step, val_acc=.5 + part.level() + random.gauss(0, .003))\n"
        modules = {f"pkg/m{number}.py": f"x = {number}\n" for number in range(500)}
        folder.write({"t.py": script, "part.py": "def level():\n    return .1\n", ".gitignore": "data/\n", **modules})
        (folder.path / "data").mkdir()
        (folder.path / "data" / "x.bin").write_bytes(b"1" * 1000)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
            subprocess.run([*git, *words], check=True, capture_output=True)
        folder.write({"part.py": "def level():\n    return .2\n"})
        before = _tree(folder.path)
        times = []
        for number in range(3):
            with_edit = ("t.py", "--against", "HEAD", "--pairs", "2", "--workers", "2")
            shutil.rmtree(folder.path / ".palate", ignore_errors=True)
            times.append(
                _started_s(folder, with_edit) - _started_s(folder, ("t.py", "-c", f"seed_{number}=1"), plain=True)
            )
        after = _tree(folder.path)
    yield Row(name="an edit as an arm: start beside a question about a setting", measured=statistics.median(times),
              unit="s", target=1.5)  # fmt: skip
    changed = sum(before.get(name) != after.get(name) for name in {*before, *after})
    yield Row(name="files of the tree that an edit's question changed", measured=changed, target=0)


def _started_s(folder: Folder, words: tuple[str, ...], *, plain: bool = False) -> float:
    """Return the seconds of a whole question of two pairs; a plain one is about a constant."""
    if plain:
        text = (folder.path / "t.py").read_text().replace("seed = 0\n", "seed = 0\nlift = 0.0\n")
        (folder.path / "plain.py").write_text(text)
        words = ("plain.py", "-c", "lift=1.0", "--pairs", "2", "--workers", "2")
    began_s = time.perf_counter()
    asked = folder.ask(*words)
    took_s = time.perf_counter() - began_s
    (folder.path / "plain.py").unlink(missing_ok=True)
    if asked.returncode:
        print(asked.stderr[-500:], file=sys.stderr)
    return took_s


def _tree(folder: Path) -> dict[str, str]:
    """Return a hash of every file of a folder, git's own included, palate's left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and ".palate" not in path.parts
    }
