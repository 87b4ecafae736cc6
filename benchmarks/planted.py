"""Trainings with a planted fault: changes that do not arrive, baselines that are out of date, names that are shared.

Each is a few lines, in the manner of a public report. `NOT_ARRIVED` are asked by `palate run F -c CHANGE`; what must be
named stands beside. `STALE` are asked twice, with something different in between. `FIXED_NAMES` write output under a
name that stands in the script, and read it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HEAD = "import argparse, json, os, random, sys\nimport palate\n"
TAIL = """
for step in range(4):
    palate.log(step, val_acc=.5 + float({value}) * .1 + random.gauss(0, .003))
"""
SEED = "random.seed(int(os.environ['PALATE_SEED']))\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One planted fault.

    Attributes:
        name: of the kind.
        files: by name; the first one is run.
        change: what `-c` says.
        words: one of these must be said; "arrives" where palate makes it arrive instead.
        arguments: of both arms.
    """

    name: str
    files: Mapping[str, str]
    change: str
    words: tuple[str, ...]
    arguments: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """The file that is run."""
        return next(iter(self.files))

    def write(self, folder: Path) -> None:
        """Write its files into a folder."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if name.endswith(".sh"):
                path.chmod(0o755)


def parsed(more: str, body: str = "", value: str = "args.lr", *, call: str = "parser.parse_args()") -> str:
    """Write a script with an argparse option, and something that keeps its value away."""
    return f"{HEAD}parser = argparse.ArgumentParser()\n{more}\nargs = {call}\n{body}\n{SEED}{TAIL.format(value=value)}"


def constant(body: str, value: str = "lr", head: str = "") -> str:
    """Write a script with a constant, and something that sets it again."""
    return f"{HEAD}{head}lr = 0.1\n{body}\n{SEED}{TAIL.format(value=value)}"


LR = 'parser.add_argument("--lr", type=float, default=0.1)'
TOLD = ("did not reach", "same in both arms", "in both arms")
CHILD = f"""{HEAD}parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
args, rest = parser.parse_known_args()
{SEED}{TAIL.format(value="args.lr")}"""

NOT_ARRIVED = (
    Planted(
        name="store_true behind --",
        files={"t.py": parsed('parser.add_argument("--ema", action="store_true")', value="args.ema")},
        change="ema=false",
        arguments=("--ema",),
        words=("arrives",),
    ),
    Planted(
        name="type=bool",
        files={"t.py": parsed('parser.add_argument("--amp", type=bool, default=True)', value="args.amp")},
        change="amp=false",
        words=("bool",),
    ),
    Planted(
        name="configurator that is executed",
        files={"t.py": constant('exec(open("configurator.py").read())'), "configurator.py": "lr = 0.2\n"},
        change="lr=0.5",
        words=("configurator.py",),
    ),
    Planted(
        name="configuration that updates the globals",
        files={"t.py": constant('globals().update(json.load(open("conf.json")))'), "conf.json": '{"lr": 0.2}'},
        change="lr=0.5",
        words=("conf.json",),
    ),
    Planted(
        name="configuration that updates the arguments",
        files={"t.py": parsed(LR, 'vars(args).update(json.load(open("conf.json")))'), "conf.json": '{"lr": 0.2}'},
        change="lr=0.5",
        words=("conf.json",),
    ),
    Planted(
        name="set again behind the parser",
        files={"t.py": parsed(LR, "if args.lr > 0.1: args.lr = 0.1")},
        change="lr=0.5",
        words=TOLD,
    ),
    Planted(
        name="an empty command line, as in notebooks",
        files={"t.py": parsed(LR, call="parser.parse_args([])")},
        change="lr=0.5",
        words=TOLD,
    ),
    Planted(
        name="a command line of its own",
        files={"t.py": parsed(LR, call='parser.parse_args(["--lr", "0.3"])')},
        change="lr=0.5",
        words=TOLD,
    ),
    Planted(
        name="a global that a function sets",
        files={"t.py": constant("def setup():\n    global lr\n    lr = 0.3\nsetup()")},
        change="lr=0.5",
        words=TOLD,
    ),
    Planted(
        name="an environment variable that counts more",
        files={"t.py": parsed(LR, 'args.lr = float(os.environ.get("LR", "0.3"))')},
        change="lr=0.5",
        words=TOLD,
    ),
    Planted(
        name="an unknown flag is left over",
        files={"run.sh": '#!/bin/bash\npython u.py "$@"\n', "u.py": CHILD},
        change="learning_rate=0.5",
        words=("left over", "--learning-rate"),
    ),
    Planted(
        name="an unknown flag is refused",
        files={
            "run.sh": '#!/bin/bash\npython u.py "$@"\n',
            "u.py": CHILD.replace("args, rest = parser.parse_known_args()", "args = parser.parse_args()"),
        },
        change="learning_rate=0.5",
        words=("there is no such setting",),
    ),
    Planted(
        name="a shell script that drops its arguments",
        files={"run.sh": "#!/bin/bash\npython u.py\n", "u.py": CHILD},
        change="lr=0.5",
        words=("passes no arguments on",),
    ),
    Planted(
        name="a second parser with its own defaults",
        files={
            "t.py": parsed(
                LR,
                'again = argparse.ArgumentParser()\nagain.add_argument("--lr", type=float, default=0.2)\nargs = again.parse_args([])',
            )
        },
        change="lr=0.5",
        words=("was read 2 times",),
    ),
    Planted(
        name="a checkpoint that brings its arguments",
        files={
            "t.py": parsed(
                LR,
                'saved = json.load(open("ckpt/args.json"))\nargs = argparse.Namespace(**saved)\nfor k, v in saved.items(): globals().update({k: v})',
                value="args.lr",
            ),
            "ckpt/args.json": '{"lr": 0.2}',
        },
        change="lr=0.5",
        words=("changes nothing", *TOLD),
    ),
    Planted(
        name="a constant that a later import sets",
        files={"t.py": constant("import late"), "late.py": "import sys\nsys.modules['__main__'].lr = 0.7\n"},
        change="lr=0.5",
        words=TOLD,
    ),
    Planted(
        name="a value that is out of range",
        files={
            "t.py": parsed(
                'parser.add_argument("--mode", choices=["a", "b"], default="a")', "v = {'a': 1, 'b': 2}[args.mode]", "v"
            )
        },
        change="mode=c",
        words=("one of",),
    ),
    Planted(
        name="palate.settings() in a branch that is not taken",
        files={
            "t.py": f"{HEAD}lr = 0.1\nif os.environ.get('TUNED'):\n    lr = palate.settings(rate=0.1).rate\n{SEED}{TAIL.format(value='lr')}"
        },
        change="rate=0.5",
        words=("was not called",),
    ),
    Planted(
        name="spawned workers read the file again",
        files={
            "t.py": "import multiprocessing as mp, os, random\nimport palate\nlr = 0.1\nseed = 0\ndef work(q):\n    random.seed(seed)\n    q.put([lr + random.gauss(0, .003) for _ in range(3)])\nif __name__ == '__main__':\n    c = mp.get_context('spawn')\n    q = c.Queue()\n    p = c.Process(target=work, args=(q,))\n    p.start()\n    for step, value in enumerate(q.get()):\n        palate.log(step, val_acc=value)\n    p.join()\n"
        },
        change="lr=0.5",
        words=("arrives",),
    ),
    Planted(
        name="a seed that stands in the script",
        files={"t.py": f"{HEAD}lr = 0.1\nrandom.seed(1337)\n{TAIL.format(value='lr')}"},
        change="lr=0.5",
        words=("random.seed(1337)",),
    ),
    Planted(
        name="seed 0 is taken for none",
        files={
            "t.py": parsed(
                LR + '\nparser.add_argument("--seed", type=int, default=0)', "if args.seed: random.seed(args.seed)"
            ).replace(SEED, "")
        },
        change="lr=0.11",
        words=("Seed 0 seeds nothing",),
    ),
    Planted(
        name="nothing seeds",
        files={"t.py": f"{HEAD}lr = 0.1\n{TAIL.format(value='lr')}"},
        change="lr=0.5",
        words=("no seeding of this training was seen",),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """A baseline that is out of date when the second question is asked.

    Attributes:
        name: of what is different.
        files: by name; the first one is run. Files of `later` take their place before the second question.
        environment: of the second question.
        words: must be said.
    """

    name: str
    files: Mapping[str, str]
    later: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    words: str = ""


def depth(expression: str, more: str = "") -> str:
    """Write a script whose level depends on something that it reads."""
    return f"{HEAD}import pathlib\nlift = 0.0\n{more}\ndepth = float({expression})\n{SEED}{TAIL.format(value='lift + depth')}"


_READ = {
    "json": 'json.load(open("c.json"))["d"]',
    "text": 'open("c.txt").read()',
    "pathlib": 'pathlib.Path("c.txt").read_text()',
    "yaml by hand": 'open("conf/c.yaml").read().split(":")[1]',
    "toml": '__import__("tomllib").loads(open("c.toml").read())["d"]',
    "ini": '(lambda c: (c.read("c.ini"), c["a"]["d"])[1])(__import__("configparser").ConfigParser())',
    "csv": 'list(__import__("csv").reader(open("c.csv")))[0][0]',
    "gzip": '__import__("gzip").open("c.gz", "rt").read()',
    "pickle": '__import__("pickle").load(open("c.pkl", "rb"))',
    "numpy": '__import__("numpy").loadtxt("c.txt")',
    "os.open": "os.read(os.open('c.txt', os.O_RDONLY), 9)",
    "sqlite": '__import__("sqlite3").connect("c.db").execute("select d from t").fetchone()[0]',
}


def _bytes_of(name: str, value: float) -> Mapping[str, str]:
    """Return the file that is read, as a script that makes it where it is not text."""
    text = {
        "json": ("c.json", f'{{"d": {value}}}'),
        "yaml by hand": ("conf/c.yaml", f"d: {value}"),
        "toml": ("c.toml", f"d = {value}"),
        "ini": ("c.ini", f"[a]\nd = {value}\n"),
        "csv": ("c.csv", f"{value},1"),
    }
    file, content = text.get(name, ("c.txt", f"{value}"))
    return {file: content}


STALE = (
    *(
        Stale(
            name=f"a file read by {name}",
            files={"t.py": depth(_READ[name]), **_bytes_of(name, 1)},
            later=_bytes_of(name, 2),
            words="changed",
        )
        for name in ("json", "text", "pathlib", "yaml by hand", "toml", "ini", "csv", "numpy", "os.open")
    ),
    Stale(
        name="os.environ.get",
        files={"t.py": depth('os.environ.get("DEPTH", "1")')},
        environment={"DEPTH": "2"},
        words="DEPTH",
    ),
    Stale(
        name="os.getenv", files={"t.py": depth('os.getenv("DEPTH") or 1')}, environment={"DEPTH": "2"}, words="DEPTH"
    ),
    Stale(
        name="in os.environ",
        files={"t.py": depth('2 if "DEEP" in os.environ else 1')},
        environment={"DEEP": "1"},
        words="DEEP",
    ),
    Stale(
        name="os.environ[...]",
        files={"t.py": depth('os.environ["DEPTH"] if "X" in os.environ else 1')},
        environment={"X": "1", "DEPTH": "2"},
        words="X was not set",
    ),
    Stale(
        name="a variable in a function",
        files={"t.py": depth("d()", "def d():\n    return os.environ.get('DEPTH', 1)")},
        environment={"DEPTH": "3"},
        words="DEPTH",
    ),
    Stale(
        name="a module imported by name",
        files={"t.py": depth('__import__("importlib").import_module("mo" + "d").d'), "mod.py": "d = 1\n"},
        later={"mod.py": "d = 2\n"},
        words="mod.py",
    ),
    Stale(
        name="code that is executed",
        files={"t.py": depth("d", 'exec(open("conf.py").read())'), "conf.py": "d = 1\n"},
        later={"conf.py": "d = 2\n"},
        words="conf.py",
    ),
    Stale(
        name="a module on a path of its own",
        files={"t.py": depth("m.d", 'sys.path.insert(0, "lib")\nm = __import__("m")'), "lib/m.py": "d = 1\n"},
        later={"lib/m.py": "d = 2\n"},
        words="m.py",
    ),
    Stale(
        name="a file that was not there",
        files={"t.py": depth("d", 'try:\n    d = open("extra.txt").read()\nexcept OSError:\n    d = 1')},
        later={"extra.txt": "2"},
        words="extra.txt is there now",
    ),
    Stale(
        name="a file that a child reads",
        files={
            "t.py": depth(
                "d",
                'import subprocess\nd = subprocess.run([sys.executable, "c.py"], capture_output=True, text=True).stdout',
            ),
            "c.py": 'print(open("c.txt").read())',
            "c.txt": "1",
        },
        later={"c.txt": "2"},
        words="c.txt",
    ),
    Stale(
        name="a file in a folder above",
        files={"sub/t.py": depth('open(os.path.join(os.path.dirname(__file__), "..", "c.txt")).read()'), "c.txt": "1"},
        later={"c.txt": "2"},
        words="c.txt",
    ),
)

FIXED_NAMES = (
    "open('model.txt', 'w').write(str(w)); w = float(open('model.txt').read())",
    "os.makedirs('checkpoints', exist_ok=True); open('checkpoints/best', 'w').write(str(w)); w = float(open('checkpoints/best').read())",
    "import pickle; pickle.dump(w, open('m.pkl', 'wb')); w = pickle.load(open('m.pkl', 'rb'))",
    "import pathlib; pathlib.Path('out').mkdir(exist_ok=True); pathlib.Path('out/w').write_text(str(w)); w = float(pathlib.Path('out/w').read_text())",
    "import json; json.dump(w, open('s.json', 'w')); w = json.load(open('s.json'))",
    "import shutil; shutil.rmtree('o', ignore_errors=True); os.mkdir('o'); open('o/w', 'w').write(str(w)); w = float(open('o/w').read())",
    "open('w.tmp', 'w').write(str(w)); os.replace('w.tmp', 'w.txt'); w = float(open('w.txt').read())",
    "open('log.csv', 'a').write(str(w) + chr(10)); w = float(open('log.csv').read().split()[-1])",
    "import sqlite3; c = sqlite3.connect('db'); c.execute('create table if not exists t (w real)'); c.execute('delete from t'); c.execute('insert into t values (?)', (w,)); c.commit(); w = c.execute('select w from t').fetchone()[0]",
    "import numpy; numpy.save('w.npy', w); w = float(numpy.load('w.npy'))",
    "p = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'w.txt'); open(p, 'w').write(str(w)); w = float(open(p).read())",
    "f = os.open('raw', os.O_RDWR | os.O_CREAT); os.ftruncate(f, 0); os.pwrite(f, str(w).encode(), 0); w = float(os.pread(f, 99, 0))",
)
"""Statements that write `w` under a fixed name and read it back."""


def fixed_name(statement: str) -> str:
    """Write a training of which each step goes through a file of a fixed name."""
    body = "\n    ".join(statement.split("; "))
    return (
        f"import os, random, time\nimport palate\nlift = 0.0\nseed = 0\nrandom.seed(seed)\nw = 0.5\n"
        f"for step in range(8):\n    w += lift + random.gauss(0, .003)\n    {body}\n    time.sleep(.02)\n"
        f"    palate.log(step, val_acc=w)\n"
    )
