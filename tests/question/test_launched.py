"""A command line is taken apart as its launchers read it, and what it trains has the settings of its own file."""

import shlex
import sys
from pathlib import Path

import pytest

from palate.errors import InputError, NotFoundError, SettingError
from palate.ledger.records import target_body, target_of
from palate.question.launched import is_spawner, take_apart
from palate.question.target import find_target
from palate.recipe.settings import parse_assignments

SCRIPTS = [
    "torchrun --nproc-per-node 2 train.py --epochs 3",
    "torchrun --nproc-per-node=2 --standalone train.py --epochs 3",
    "torchrun --nproc 2 --rdzv_endpoint localhost:0 train.py --epochs 3",
    "python -m torch.distributed.run --nnodes 1 train.py --epochs 3",
    "python -u -W ignore train.py --epochs 3",
    "accelerate launch --config_file a.yaml --cpu --num_processes 2 train.py --epochs 3",
    "accelerate launch train.py --epochs 3",
    "deepspeed --num_gpus 2 train.py --epochs 3",
    "fabric run --devices 2 train.py --epochs 3",
    "lightning run model --devices 2 train.py --epochs 3",
    "uv run --with numpy train.py --epochs 3",
    "uv --offline run --extra gpu python train.py --epochs 3",
    "uv run torchrun --nproc-per-node 2 train.py --epochs 3",
    "poetry run python train.py --epochs 3",
    "conda run -n env --no-capture-output python train.py --epochs 3",
    "nohup nice -n 5 python train.py --epochs 3",
    "time python train.py --epochs 3",
    "timeout -s INT 60 python train.py --epochs 3",
    "env -u HOME CUDA_VISIBLE_DEVICES=0 python train.py --epochs 3",
    "A=b LR=.1 python train.py --epochs 3",
    "mpirun -np 2 --bind-to none python train.py --epochs 3",
    "srun -n 2 --gpus=1 python train.py --epochs 3",
    "srun --gpus-per-node 2 --qos high --new-option value python train.py --epochs 3",
    "srun --unknown 2 env -u A python train.py --epochs 3",
    "uv --project there run --no-sync train.py --epochs 3",
    "poetry -C there run python train.py --epochs 3",
    "python -m cProfile -o out train.py --epochs 3",
    "timeout --preserve-status 60 python train.py --epochs 3",
    "conda run --live-stream python train.py --epochs 3",
    "xvfb-run -a python train.py --epochs 3",
    "taskset 0x3 python train.py --epochs 3",
    "coverage run --branch train.py --epochs 3",
]


@pytest.mark.parametrize("typed", SCRIPTS)
def test_the_script_is_found_behind_its_launchers(typed):
    launched = take_apart(shlex.split(typed))
    assert (launched.what, launched.name, launched.arguments) == ("script", "train.py", ("--epochs", "3"))
    assert shlex.join((*launched.words, *launched.arguments)) == typed


@pytest.mark.parametrize(
    ("typed", "what", "name"),
    [
        ("python -m pkg.train --lr .1", "module", "pkg.train"),
        ("torchrun -m --nproc-per-node 2 pkg.train --lr .1", "module", "pkg.train"),
        ("accelerate launch -m pkg.train --lr .1", "module", "pkg.train"),
        ("uv run -m pkg.train --lr .1", "module", "pkg.train"),
        ("torchrun --no-python --nproc-per-node 2 ./go --lr .1", "program", "./go"),
        ("uv run mytrain --lr .1", "program", "mytrain"),
        ("bash -e train.sh --lr .1", "shell", "train.sh"),
        ("./train.sh --lr .1", "shell", "./train.sh"),
        ("bash -c 'python train.py' --lr .1", "text", "python train.py"),
    ],
)
def test_modules_programs_and_shells_are_told_apart(typed, what, name):
    launched = take_apart(shlex.split(typed))
    assert (launched.what, launched.name, launched.arguments) == (what, name, ("--lr", ".1"))


@pytest.mark.parametrize("typed", ["torchrun --nproc-per-node 2", "uv run", "python -u", "env A=b", "LR=.1", "bash -x"])
def test_a_command_that_trains_nothing_is_refused_with_what_to_type(typed):
    with pytest.raises(InputError, match="does not say what is trained") as refused:
        take_apart(shlex.split(typed))
    assert any(f"-- {typed}" in line for line in refused.value.todo)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A project, and a PATH on which programs are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin")
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "train.py").write_text(
        "import argparse, os\nparser = argparse.ArgumentParser()\nparser.add_argument('--learning_rate', type=float, "
        "default=0.1)\nparser.add_argument('--seed', type=int, default=0)\nargs = parser.parse_args()\nWIDTH = 64\n"
    )
    return tmp_path


def target(typed):
    words = shlex.split(typed)
    return find_target(words[0], words[1:])


def handed(typed, change):
    """Return the words, and the variables, that a run of a command with a change is started with."""
    found = target(typed)
    order = found.order("r", Path("r"), 7, found.changes(parse_assignments([change])))
    return shlex.join((*found.task.argv, *order.argv)), dict(order.environment), dict(order.constants)


def test_python_of_this_environment_with_a_script_is_the_script(here):
    found = target("python train.py --learning_rate .3")
    assert (found.task.kind, found.settings["learning_rate"]) == ("script", 0.3)
    assert target("python -O train.py").task.kind == "command"


def test_a_change_stands_behind_the_scripts_own_arguments_and_the_launcher_keeps_its_own(here):
    words, _, _ = handed("nice -n 1 python train.py --learning_rate .3", "learning_rate=.5")
    assert words == "nice -n 1 python train.py --learning_rate .3 --learning_rate=0.5 --seed=7"
    _, _, constants = handed("nice python train.py", "WIDTH=3")
    assert constants == {"WIDTH": 3}


def test_one_word_in_quotes_is_a_command(here):
    assert find_target("nice python train.py").settings["learning_rate"] == 0.1
    with pytest.raises(InputError, match="signs that a shell reads") as refused:
        find_target("cd src && python train.py")
    assert "bash -c 'cd src && python train.py'" in str(refused.value)


def test_a_program_that_is_not_there_is_refused_with_near_ones(here):
    (here / "bin").mkdir()
    (here / "bin" / "mytrain").write_text("#!/bin/sh\n")
    (here / "bin" / "mytrain").chmod(0o755)
    with pytest.raises(NotFoundError, match="no program on PATH") as refused:
        target("mytrian --lr .1")
    assert "Close to it: mytrain" in str(refused.value)
    with pytest.raises(NotFoundError, match=r"trian\.py: there is no such file.*did you mean train\.py"):
        target("nice python trian.py")
    with pytest.raises(NotFoundError, match="no module pkg"):
        target("python -m pkg.train")


def test_a_launcher_that_is_not_installed_says_how_it_is(here, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotFoundError) as refused:
        target("deepspeed train.py")
    assert "pip install deepspeed" in str(refused.value)


def test_a_variable_in_front_is_a_setting_and_leaves_the_words_where_it_is_handed_over(here):
    (here / "train.py").write_text("import os\nlr = float(os.environ['LR'])\n")
    found = target("LR=.1 python train.py")
    assert found.settings == {"LR": 0.1}
    words, variables, _ = handed("LR=.1 python train.py", "LR=.4")
    assert (words, variables) == ("env LR=.1 python train.py", {"LR": "0.4"})


def test_a_secret_in_front_of_a_command_is_refused(here):
    with pytest.raises(InputError, match="API_KEY is a secret"):
        target("API_KEY=sk-abcdefghijklmnopqrstuvwxyz python train.py")


def test_a_seed_on_the_command_line_is_refused(here):
    with pytest.raises(InputError, match="a seed for each pair"):
        target("nice python train.py --seed 3")


def test_a_shell_script_hands_on_flags_as_its_python_script_spells_them(here):
    (here / "run.sh").write_text('python train.py --seed $PALATE_SEED "$@"\n')
    words, _, _ = handed("bash run.sh", "learning_rate=.5")
    assert words == "bash run.sh --learning_rate=0.5"
    with pytest.raises(SettingError, match="learning_rat"):
        target("bash run.sh").changes(parse_assignments(["learning_rat=.5"]))


def test_a_shell_scripts_value_for_a_flag_is_the_baselines(here):
    (here / "run.sh").write_text('RATE=0.4\nexec python train.py --learning_rate "$RATE" "$@"  # usual\n')
    found = target("bash run.sh")
    assert found.settings["learning_rate"] == 0.4
    assert found.settings["RATE"] == 0.4
    assert str(found.seed_by) == "--seed"


def test_what_a_shell_script_redirects_and_loops_over_hides_no_flag(here):
    (here / "run.sh").write_text(
        'for rate in 1 2; do\n  nice python train.py --learning_rate $rate "$@" 2>&1 > "out $rate" | tee log\ndone\n'
    )
    found = target("bash run.sh")
    assert str(found.settings["learning_rate"]) == "<not set>"
    assert handed("bash run.sh", "learning_rate=.5")[0] == "bash run.sh --learning_rate=0.5 --seed=7"


def test_a_shell_script_that_passes_nothing_on_says_what_to_write(here):
    (here / "run.sh").write_text("python train.py\n")
    found = target("bash run.sh")
    assert found.settings == {"WIDTH": 64}
    assert str(found.how["WIDTH"]) == "constant train.py:WIDTH"
    with pytest.raises(SettingError) as refused:
        found.changes(parse_assignments(["lr=.5"]))
    assert '"$@"' in str(refused.value)
    assert "${LR:-0.1}" in str(refused.value)


def test_variables_and_places_of_a_shell_script_are_settings(here):
    (here / "run.sh").write_text("LR=${LR:-0.1}\nexport WIDTH=64\nN=$1\n./prog $LR $WIDTH $N ${DEPTH:-3} $CUDA_HOME\n")
    found = target("bash run.sh 5")
    assert {name: (found.settings[name], str(how)) for name, how in found.how.items()} == {
        "LR": (0.1, "environment LR"),
        "WIDTH": (64, "constant run.sh:WIDTH"),
        "N": (5, "position 0"),
        "DEPTH": (3, "environment DEPTH"),
    }
    assert handed("bash run.sh 5", "N=9")[0] == "bash run.sh 9"


def test_a_program_of_which_nothing_is_known_takes_any_flag_and_the_listing_says_so(here):
    found = target("true")
    assert found.takes_any
    assert any("is not known" in line for line in found.can_change())


MAKEFILE = """
include other.mk
LR ?= 0.1
SEED = 0
FLAGS := --width $(WIDTH)
train: data ; @python train.py \\
    --learning_rate $(LR)
data:
\tcurl data
"""


def test_variables_of_a_makefile_are_words_behind_its_target(here):
    (here / "sub").mkdir()
    (here / "sub" / "Makefile").write_text(MAKEFILE)
    words, _, _ = handed("make -C sub train", "LR=.5")
    assert words == "make -C sub train LR=0.5 SEED=7"
    assert target("make -C sub train LR=.3").settings["LR"] == 0.3


def test_a_target_that_a_makefile_does_not_have_is_refused_before_anything_runs(here):
    (here / "Makefile").write_text("train:\n\tpython train.py\n")
    with pytest.raises(NotFoundError, match="no target tarin; did you mean train"):
        target("make tarin")
    (here / "Makefile").write_text("%.out: %.in\n\tpython train.py\n")
    assert target("make a.out").label == "a.out"
    (here / "Makefile").unlink()
    with pytest.raises(NotFoundError, match="no Makefile"):
        target("make train")


def test_a_module_of_a_package_is_read_with_what_it_imports_from_the_package(here):
    (here / "pkg").mkdir()
    (here / "pkg" / "__init__.py").touch()
    (here / "pkg" / "options.py").write_text((here / "train.py").read_text())
    (here / "pkg" / "train.py").write_text("from pkg import options\n")
    assert target("python -m pkg.train").settings["learning_rate"] == 0.1


def test_how_many_processes_a_command_starts_is_known_of_it_from_the_ledger_too(here):
    (here / "train.py").write_text("lr = 0.1\n")
    for typed in ("torchrun --nproc-per-node 2 train.py", "uv run torchrun --nproc 2 train.py"):
        found = target(typed)
        assert (found.processes, target_of(target_body(found)).processes) == (2, 2)
    assert find_target("train.py").processes == 1


@pytest.mark.parametrize(
    ("words", "spawns"),
    [
        ("/env/bin/torchrun --nproc-per-node 2 train.py", True),
        ("-u -m torch.distributed.run train.py", True),
        ("-u -m deepspeed.launcher.launch --world_info=a --master_port=1 train.py", True),
        ("-W ignore /env/bin/accelerate launch train.py", True),
        ("/env/bin/fabric run train.py", True),
        ("train.py --strategy deepspeed", False),
        ("train.py accelerate", False),
        ("-m train torchrun", False),
        ("-m coverage run train.py", False),
        ("/env/bin/coverage run train.py", False),
        ("-c pass torchrun", False),
    ],
)
def test_a_python_is_a_launcher_by_what_it_executes_and_not_by_words_of_the_training(words, spawns):
    assert is_spawner(["/env/bin/python3", *words.split()]) == spawns


def test_where_a_file_and_a_package_have_one_name_the_package_is_read_as_python_does_it(here):
    (here / "train").mkdir()
    (here / "train" / "__init__.py").write_text("")
    (here / "train" / "__main__.py").write_text("LR = 0.1\n")
    (here / "train.py").write_text("LR = 0.7\n")
    for typed in ("python -m train", "nice python -m train", "torchrun -m train"):
        assert (typed, target(typed).settings["LR"]) == (typed, 0.1)
    (here / "train" / "__main__.py").unlink()
    with pytest.raises(NotFoundError, match="train"):  # python -m train refuses it too
        target("nice python -m train")


def test_a_console_entry_point_has_the_settings_of_the_file_that_it_imports(here, monkeypatch):
    (here / "mine").mkdir()
    (here / "mine" / "__init__.py").write_text("LR = 0.1\ndef main():\n    pass\n")
    (here / "mine" / "__main__.py").write_text("VERBOSE = 3\n")
    (here / "bin").mkdir()
    (here / "bin" / "mytrain").write_text(
        f"#!{sys.executable}\nimport sys\nfrom mine import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    (here / "bin" / "mytrain").chmod(0o755)
    monkeypatch.syspath_prepend(here)
    assert dict(target("mytrain").settings) == {"LR": 0.1}


def test_a_plain_start_of_a_module_is_the_module_as_it_is_asked_about_by_m(here):
    (here / "pkg").mkdir()
    (here / "pkg" / "train.py").write_text("LR = 0.1\n")
    assert target("python -m pkg.train") == find_target("-m pkg.train")
    assert target("python -O -m pkg.train").task.kind == "command"
