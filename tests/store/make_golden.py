"""Make the golden project that tests/store/golden/ keeps: one record of every kind, written by real commands.

Run by hand only, and only when the stored form is meant to change, which nothing sealed ever should:

    python tests/store/make_golden.py           # a new project, then its ids, then the transcript

What is kept was made by palate 0.1.0 with Python 3.11, before the modules were moved. It is made in a neutral folder
(/tmp/palate-golden, a team mate's project in /tmp/palate-mate), so that no path of a person's own stands in it.

    home/            what `.palate/` held: the chain, the runs' journals and outputs, the catalog, recipes, vocabulary
    exports/         question files that team mates exchanged, blind and whole
    configs/         configuration files that the vocabulary was proposed from
    train.txt        the training; it has another ending here so that nothing imports it
    numbers.txt      declared as data by one of the questions
    ids.json         experiments by what they are for here, their run keys, and number, kind and hash of every record
    transcript.json  what the command line says about all this; see transcript.py
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
PLACE, MATE = Path("/tmp/palate-golden"), Path("/tmp/palate-mate")
RUN = ("run", "train.py", "--metric", "val_acc")

SCRIPT = '''"""A training that only looks like one: its curve follows from its settings and its seed."""

import random
import sys

import palate

gain = 0.5
noise = 0.02
width = 4
unused = 1
mode = "train"
plan = "configs/small.json"
seed = 0

random.seed(seed)
level = 0.2
for step in range(6):
    level += gain * (0.9 - level) + noise * sum(random.random() - 0.5 for _ in range(width)) / width
    if mode == "crash" and step == 2:
        sys.exit("out of luck")
    if mode == "nan":
        level = float("nan")
    palate.log(step, val_acc=level, loss=1 - level)
print("trained to", step)
'''


class Kitchen:
    """A folder with its own project, and the command line called in it."""

    def __init__(self, folder: Path, author: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.folder = folder
        (folder / "train.py").write_text(SCRIPT)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PALATE_")}
        mine = {"PALATE_HOME": str(folder / ".palate"), "PALATE_AUTHOR": author, "COLUMNS": "110"}
        self.environment = {**kept, **mine, "XDG_CONFIG_HOME": str(folder / "no-config")}

    def python(self, *words: str) -> str:
        ended = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if ended.returncode:
            raise SystemExit(f"{words} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
        return ended.stdout

    def call(self, *words: str) -> dict:
        return json.loads(self.python("-m", "palate", *words, "--json"))

    def ask(self, *words: str) -> str:
        """Run or ask a question; give its experiment's id."""
        return self.call(*RUN, *words)["experiment"]


def make() -> dict[str, str]:
    """Make both projects; give the experiments' ids by what they are for here."""
    ada, mate = Kitchen(PLACE, "ada"), Kitchen(MATE, "cleo")
    (ada.folder / "numbers.txt").write_text("1\n2\n3\n")
    write_configs(ada.folder / "configs")
    (ada.folder / "exports").mkdir()
    asked = {}
    ada.python("train.py")  # by hand: a run without a question
    tear(ada)
    asked["better"] = ada.ask(
        "-c", "gain=0.9", "--pairs", "5", "--forecast", "better:80:2-4", "--why", "it learns faster — much"
    )
    asked["worse"] = ask_worse(ada)
    asked["same"] = ada.call(
        "run", "train.py", "--metric", "loss", "-c", "noise=0.021", "--margin", "0.1", "--take", "best",
        "--pairs", "4", "--forecast", "same:70",
    )["experiment"]  # fmt: skip
    asked["nothing"] = ada.ask("-c", "unused=2", "--pairs", "4", "--no-forecast")
    asked["failed"] = ada.ask("-c", "mode=crash", "--pairs", "4", "--forecast", "crash:70")
    asked["nan"] = ada.ask("-c", "mode=nan", "--pairs", "4", "--author", "ben", "--forecast", "same:60")
    said = json.dumps({"answer": "better", "confidence": 60, "why": "a little"})
    asked["unclear"] = ada.ask("-c", "gain=0.501", "--pairs", "2", "--forecast", said)
    asked["data"] = ada.ask("-c", "gain=0.4", "--data", "numbers.txt", "--pairs", "2", "--forecast", "worse:60")
    asked["void"] = ask_void(ada)
    asked["when"] = ask_when(ada)
    asked["exchanged"] = exchange(ada, mate)
    keep_recipes(ada)
    asked["recipes"] = ada.ask("-c", "width=8", "--pairs", "3", "--forecast", "better:55")
    accept_chunk(ada)
    asked["files"] = ada.ask("-c", "plan=configs/odd.json", "--pairs", "2", "--forecast", "same:60")
    asked["confounded"] = ada.ask("-c", "gain=0.9", "-c", "width=2", "--pairs", "2", "--no-forecast")
    ada.call(*RUN, "-c", "gain=0.9", "-c", "noise=0.04", "--split", "--pairs", "4", "--no-forecast")
    ada.call("confirm")
    asked["asked"] = ask_only(ada)
    return asked


def tear(ada: Kitchen) -> None:
    """Leave a second run by hand as a lost machine would: its journal without its end."""
    runs = ada.folder / ".palate" / "runs"
    shutil.copytree(next(runs.iterdir()), runs / "train-torn")
    journal = runs / "train-torn" / "journal"
    journal.write_bytes(journal.read_bytes()[:-60])


def ask_worse(ada: Kitchen) -> str:
    """Ask, forecast by two, revise by both, one skips; then run."""
    words = ("-c", "gain=0.2", "--pairs", "5")
    name = ada.ask(*words, "--ask", "--forecast=-0.2/-0.1/0.02")
    ada.call("forecast", name, "worse:90", "--author", "robo", "--agent", "--why", "gain sets how far it gets")
    ada.call("forecast", name, "--revise", "worse:80", "--why", "on second thoughts")
    ada.call("forecast", name, "--revise", "worse:97", "--author", "robo", "--agent")
    ada.call("forecast", name, "--skip", "--author", "ben")
    return ada.ask(*words)


def ask_void(ada: Kitchen) -> str:
    """Ask, forecast by two, void."""
    name = ada.ask("-c", "width=6", "--pairs", "4", "--ask", "--forecast", "better:60")
    ada.call("forecast", name, "same:60", "--author", "ben")
    ada.call("forecast", name, "--void", "the numbers were mislabelled", "--author", "ben")
    return name


def ask_when(ada: Kitchen) -> str:
    """Ask, forecast when something happens in its first run, run."""
    words = ("-c", "gain=0.7", "--pairs", "4")
    name = ada.ask(*words, "--ask", "--forecast", "better:70")
    ada.call("when", name, "9:60", "--metric", "val_acc")
    ada.call("when", name, "never:80", "--metric", "val_acc", "--reach", "0.95", "--author", "robo", "--agent")
    return ada.ask(*words)


def exchange(ada: Kitchen, mate: Kitchen) -> str:
    """Take in two promises and one whole forecast of a team mate's project; one promise is opened after the runs."""
    words = ("-c", "gain=0.8", "--pairs", "4")
    name = mate.ask(*words, "--ask", "--forecast", "better:85", "--why", "as at home")
    mate.call("forecast", name, "worse:65", "--author", "dan")
    mate.call("forecast", name, "same:60", "--author", "eve", "--agent")
    files = {"cleo-blind": ["--blind"], "cleo-whole": [], "dan-whole": ["--author", "dan"],
             "eve-blind": ["--author", "eve", "--blind"], "eve-whole": ["--author", "eve"]}  # fmt: skip
    for file, more in files.items():
        mate.call("forecast", name, "--export", str(ada.folder / "exports" / f"{file}.json"), *more)
    for file in ("cleo-blind", "dan-whole", "eve-blind"):
        ada.call("forecast", "--import", f"exports/{file}.json")
    ada.call("forecast", name, "better:70")
    ada.call("forecast", name, "0.01/0.05/0.1", "--author", "robo", "--agent")
    assert ada.ask(*words) == name
    ada.call("forecast", "--import", "exports/cleo-whole.json")
    return name


def ask_only(ada: Kitchen) -> str:
    """Ask, forecast by three, run nothing."""
    name = ada.ask("-c", "gain=0.6", "--pairs", "4", "--ask", "--forecast", "better:75:1-2", "--why", "no rush")
    ada.call("forecast", name, "worse:55", "--author", "ben")
    ada.call("forecast", name, "0.0/0.03/0.06", "--author", "robo", "--agent")
    for file, more in {"asked-whole": [], "asked-blind": ["--blind"]}.items():
        ada.call("forecast", name, "--export", f"exports/{file}.json", *more)
    return name


def write_configs(folder: Path) -> None:
    """Write configuration files in which a chunk recurs."""
    folder.mkdir()
    adam = {"name": "adamw", "lr": 0.0003, "betas": [0.9, 0.95], "eps": 1e-08, "weight_decay": 0.1}
    for name, width in {"small": 64, "wide": 256, "deep": 64, "odd": 96}.items():
        document = {
            "model": {"width": width, "depth": 24 if name == "deep" else 6, "dropout": 0.0},
            "optimizer": {**adam, "lr": 0.001} if name == "odd" else adam,
            "data": {"path": "numbers.txt", "batch_size": 32},
            "epochs": 6,
        }
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def keep_recipes(ada: Kitchen) -> None:
    """Put the recipes of a question's two arms on the shelf, as capturing would; the arms differ in more than asked."""
    from palate.question.question import build_question
    from palate.question.target import find_target
    from palate.store.project import Project
    from palate.store.recipes import Recipes

    here = Path.cwd()
    os.chdir(ada.folder)
    question = build_question(find_target("train.py"), {"width": 8}, metric="val_acc", budget=3)
    os.chdir(here)
    shelf = Recipes(Project(ada.folder / ".palate").home)
    shelf.keep(question.run_key("baseline"), recipe_of(4, 0.1))
    shelf.keep(question.run_key("treatment"), recipe_of(8, 0.05))


def recipe_of(width: int, lr: float) -> object:
    """Make a small recipe: values of every kind that is written, every origin, a tie, an environment, notes."""
    from palate.recipe.codec import Opaque, Secret, Symbol, Tensor, Unread
    from palate.recipe.recipe import Recipe
    from palate.recipe.tree import Chunk, Note, Origin, Setting

    layer = Chunk(
        "0", "module",
        (
            Setting("class", Symbol(kind="class", text="torch.nn.modules.linear.Linear")),
            Setting("in_features", 2, Origin.SET, "train.py:8"),
            Setting("out_features", width, Origin.DERIVED, "train.py:8"),
        ),
    )  # fmt: skip
    twin = replace(layer, name="1")
    settings = (
        Setting("gain", 0.5, Origin.SET, "train.py:8"),
        Setting("width", width, Origin.SET, "train.py:10"),
        Setting("unused", 1, Origin.DEFAULT, "train.py:11"),
        Setting("warmup", 0 if width == 4 else 10, Origin.SET, "train.py:12"),
        Setting("shape", (2, width), Origin.DERIVED),
        Setting("limits", {"low": float("-inf"), "high": 0.1 + 0.2, 3: None}),
        Setting("when", Unread(type="datetime", text="<today>")),
        Setting("token", Secret(hash="0123456789abcdef")),
        Setting("helper", Opaque(type="x.Helper", fingerprint="abc123")),
    )
    optimiser = (
        Setting("class", Symbol(kind="class", text="torch.optim.sgd.SGD")),
        Setting("lr", lr, Origin.REWRITTEN, "train.py:14"),
        Setting("momentum", 0.9 if width == 4 else 0.8, Origin.SET, "train.py:14"),
        Setting("betas", [0.9, 0.95], Origin.DEFAULT, "torch 2.0.0 SGD"),
        Setting("state", Tensor(dtype="float32", shape=(2, 2), grad=True, fingerprint="00ff")),
    )
    root = Chunk(
        "recipe", "object recipe",
        (
            Chunk("model", "module", (layer, twin)),
            Chunk("optimiser", "dict", optimiser),
            Chunk("settings", "dict", settings),
            Chunk("compute", "dict", (Setting("threads", 1, Origin.AMBIENT),)),
        ),
    )  # fmt: skip
    return Recipe(
        root=root,
        aliases=((("model", "0"), ("model", "1")),),
        env=Chunk("env", "dict", (Setting("python", "3.11"), Setting("torch", "2.0.0"))),
        notes=(
            Note("dead", "settings.unused", "settings.unused = 1 decides nothing: nothing reads it"),
            Note("rewritten", "optimiser.lr", f"optimiser.lr was 0.3, and the schedule makes it {lr}"),
        ),
    )


def accept_chunk(ada: Kitchen) -> None:
    """Take the first chunk that is proposed from the recipes under a name of one's own, refuse the second."""
    files = sorted(f"configs/{file.name}" for file in (ada.folder / "configs").iterdir())
    first, *rest = ada.call("recipe", "chunks", *files, "--all")["proposals"]
    refused = [word for one in rest[:1] for word in ("--refuse", one["name"])]
    ada.call("recipe", "chunks", *files, "--accept", f"{first['name']}=my-usual", *refused)


def keep() -> None:
    """Move the project to where it is kept; its catalog as one file, without the .gitignore that would hide it all."""
    home = PLACE / ".palate"
    with closing(sqlite3.connect(home / "catalog.sqlite")) as catalog:
        catalog.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (home / ".gitignore").unlink()
    for name in ("home", "exports", "configs"):
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
    shutil.copytree(home, GOLDEN / "home")
    for name in ("exports", "configs"):
        shutil.copytree(PLACE / name, GOLDEN / name)
    shutil.copy(PLACE / "train.py", GOLDEN / "train.txt")
    shutil.copy(PLACE / "numbers.txt", GOLDEN / "numbers.txt")


def write_ids(names: dict[str, str]) -> None:
    """Write down what must never change: ids, keys, numbers, kinds, hashes."""
    from palate.ledger.records import question_of

    records = [json.loads(line) for line in (GOLDEN / "home" / "chain.jsonl").read_text().splitlines()]
    asked = {one["body"]["experiment"]: one["body"] for one in records if one["kind"] == "question"}
    keys = {}
    for name, body in asked.items():
        question = question_of(body)
        keys[name] = {arm: question.run_key(arm) for arm in question.arms}
    document = {
        "experiments": names,
        "run_keys": keys,
        "records": [{name: one[name] for name in ("number", "kind", "hash")} for one in records],
    }
    (GOLDEN / "ids.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    made = make()
    keep()
    write_ids(made)
    print(json.dumps(made, indent=1))
    print("Now: python tests/store/transcript.py")
