"""In each way of declaring them that scripts have, a change of a setting arrives, and so does the seed of a run."""

import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from palate.question.folder import place_of
from palate.question.target import find_target
from palate.recipe.settings import parse_assignments
from palate.training.inputs import take_received
from palate.training.launch import Engines, Resources
from palate.training.local import start_local

TARGETS = Path(__file__).parent.parent / "targets"
PRINTED = re.compile(r"lr=([\d.e-]+) seed=([\d.e-]+)")  # ranks print at once, at times into one line


@dataclass(frozen=True)
class Way:
    """A script, and how it is asked about.

    Attributes:
        change: the setting, and what it is changed to.
        handed: how the change is handed over.
        arguments: of both arms.
        library: without which the script does not run.
        start: what is typed to start it.
        slow: whether its processes import torch one after another.
    """

    change: str
    handed: str
    arguments: tuple[str, ...] = ()
    library: str = ""
    start: str = "train.py"
    slow: bool = False


WAYS = {
    "argparse_plain": Way("learning_rate=0.2", "--learning_rate"),
    "argparse_elsewhere": Way("lr=0.2", "--lr"),
    "argparse_package": Way("lr=0.2", "--lr"),
    "argparse_subcommands": Way("lr=0.2", "--lr", ("train",)),
    "argparse_config": Way("lr=0.2", "--lr", ("-c", "fast.yaml"), "yaml"),
    "argparse_short": Way("l=0.2", "-l"),
    "argparse_positional": Way("lr=0.2", "position 1", ("mnist",)),
    "argparse_many": Way("lrs=[0.1, 0.2]", "--lrs"),
    "click_command": Way("lr=0.2", "--lr"),
    "click_group": Way("lr=0.2", "--lr", ("train",)),
    "typer_run": Way("learning_rate=0.2", "--learning-rate", (), "typer"),
    "tyro_dataclass": Way("optim.lr=0.2", "--optim.lr", (), "tyro"),
    "fire_function": Way("lr=0.2", "--lr:literal", (), "fire"),
    "absl_flags": Way("learning_rate=0.2", "--learning_rate", (), "absl"),
    "simple_parsing_dataclass": Way("learning_rate=0.2", "--learning_rate", (), "simple_parsing"),
    "hf_parser": Way("learning_rate=0.2", "--learning_rate", (), "transformers"),
    "jsonargparse_cli": Way("lr=0.2", "--lr:yaml", (), "jsonargparse"),
    "hydra_main": Way("optimizer.lr=2e-1", "override optimizer.lr", (), "hydra"),
    "hydra_structured": Way("lr=0.2", "override lr", (), "hydra"),
    "gin_bindings": Way("train.lr=0.2", "words --gin_bindings=train.lr={literal}", (), "gin"),
    "ml_collections_flags": Way("config.optim.lr=0.2", "--config.optim.lr:literal", (), "ml_collections"),
    "constants_plain": Way("LEARNING_RATE=0.2", "constant"),
    "constants_main": Way("lr=0.2", "constant"),
    "dictionary": Way("params.learning_rate=0.2", "constant"),
    "class_config": Way("Config.lr=0.2", "constant"),
    "dataclass_config": Way("TrainConfig.lr=0.2", "constant"),
    "config_module": Way("config.LR=0.2", "constant config.py:LR"),
    "config_class_elsewhere": Way("Settings.lr=0.2", "constant conf/settings.py:Settings.lr"),
    "configurator": Way("learning_rate=0.2", "--learning_rate:literal", ("config/fast.py",)),
    "source_folder": Way("lr=0.2", "--lr"),
    "attribute_config": Way("optim.lr=0.2", "constant"),
    "environment": Way("lr=0.2", "environment LR"),
    "argv_places": Way("lr=0.2", "position 0"),
    "module_relative": Way("LR=0.2", "constant mnist/config.py:LR", start="-m mnist.train"),
    "package_main": Way("lr=0.2", "--lr", start="-m trainer"),
    "linked_script": Way("LR=0.2", "constant config.py:LR", start="bin/train.py"),
    "spawned_ranks": Way("LR=0.2", "constant", library="torch", slow=True),
    "spawn_workers": Way("lr=0.2", "constant", library="torch", slow=True),
    "child_trainer": Way("LR=0.2", "constant config.py:LR"),
    "process_pool": Way("LR=0.2", "constant"),
    "notebook": Way("lr=0.2", "constant", library="IPython", start="train.ipynb"),
    "own_parser": Way("step=0.2", "words --lr={value}"),
}


def test_each_script_is_asked_about():
    asked = {path.name for path in TARGETS.iterdir() if path.is_dir() and not path.name.startswith("started_")}
    assert asked == set(WAYS)


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.slow] if WAYS[name].slow else []) for name in sorted(WAYS)]
)
def way(request, tmp_path, monkeypatch):
    found = WAYS[request.param]
    if found.library and importlib.util.find_spec(found.library) is None:
        pytest.skip(f"{found.library} is not installed")
    shutil.copytree(TARGETS / request.param, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    return found


def received(target, orders, home):
    """Run a target with some seeds and changes; give what each run printed."""
    printed = {}
    with Engines(Resources(start=start_local, workers=1, threads=1, place=place_of(Path.cwd(), home))) as engines:
        for name, (seed, changes) in orders.items():
            (home / name).mkdir(parents=True)
            engines.submit(target.task, target.order(name, home / name, seed, changes))
        while len(printed) < len(orders):
            for ended in engines.poll():
                printed[ended.id] = (home / ended.id / "output.log").read_text()
    return printed


def test_a_change_and_a_seed_arrive(way, tmp_path):
    target = find_target(way.start, way.arguments)
    [change] = target.changes(parse_assignments([way.change]))
    assert str(target.hands(change.path)) == way.handed
    orders = {"plain": (0, ()), "changed": (0, (change,)), "seeded": (7, (change,))}
    printed = received(target, orders, tmp_path / "home")
    values = {
        name: tuple(map(float, found.groups())) for name, text in printed.items() if (found := PRINTED.search(text))
    }
    assert values == {"plain": (0.1, 0), "changed": (0.2, 0), "seeded": (0.2, 7)}, printed


SEEN = sorted(name for name, way in WAYS.items() if way.handed.startswith("-") and name != "configurator")


@pytest.mark.parametrize("way", SEEN, indirect=True)
def test_what_a_parser_read_is_seen_whichever_it_is(way, tmp_path):
    target = find_target(way.start, way.arguments)
    [change] = target.changes(parse_assignments([way.change]))
    received(target, {"plain": (0, ()), "changed": (0, (change,))}, tmp_path / "home")
    flag = target.hands(change.path).name
    read = {}
    for name in ("plain", "changed"):
        found = take_received(tmp_path / "home" / name, place_of(Path.cwd(), tmp_path / "home"), (), ())
        read[name] = [one.values.get(one.flags[flag]) for one in found.parsed if flag in one.flags]
    assert read["plain"] != read["changed"] and read["changed"], (flag, read)
