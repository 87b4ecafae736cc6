"""How settings are found, spelled and handed over at the edges: bad input, names that are not known, places."""

from pathlib import Path

import pytest
from tests.question.files import write

from palate.errors import InputError, SettingError
from palate.question.handover import Handover, handover_named
from palate.question.question import real_changes
from palate.question.target import OTHER_ARGUMENTS, find_target
from palate.question.ways.constants import script_file, with_constants
from palate.recipe.settings import Typed, parse_assignments

PARSER = "import argparse\np = argparse.ArgumentParser()\n"


def changed(target, *texts, seed=7):
    return target.order("id", Path("folder"), seed, target.changes(parse_assignments(texts)))


def test_every_way_of_handing_over_is_read_as_it_is_written():
    for text in (
        "parameter", "constant", "constant seed", "constant config.py:Config.lr", "--lr", "-b:apart",
        "--amp:store_true@2",
        "--lr@0", "override optim.lr", "environment LR", "position 3", "words --set=lr:{value}",
    ):  # fmt: skip
        assert str(Handover.read(text)) == text


@pytest.mark.parametrize(
    ("how", "value", "words"),
    [
        ("override optim.lr", 3e-4, ["optim.lr=0.0003"]),
        ("override name", "a b", ["name='a b'"]),
        ("override name", "1.10", ["name='1.10'"]),
        ("override path", "data/x-1.csv", ["path=data/x-1.csv"]),
        ("override on", True, ["on=true"]),
        ("override clip", None, ["clip=null"]),
        ("override widths", [1, 2], ["widths=[1,2]"]),
        ("--lrs", [1e-05, 2.0], ["--lrs", "0.00001", "2.0"]),
        ("--tag:append", ["a", "b"], ["--tag=a", "--tag=b"]),
        ("--tags:comma", ["a", "b"], ["--tags=a,b"]),
        ("--amp:literal", False, ["--amp=False"]),
        ("--amp:yaml", False, ["--amp=false"]),
        ("--opt.amp:negated", False, ["--opt.no-amp"]),
        ("-b:apart", 8, ["-b", "8"]),
        ("words --gin=a.b={literal}", "x", ["--gin=a.b='x'"]),
        ("words --set=lr:{value}", 0.1, ["--set=lr:0.1"]),
    ],
)
def test_a_value_is_written_as_its_option_reads_it(how, value, words):
    assert Handover.read(how).as_arguments(value) == words


def test_a_name_that_is_not_known_is_handed_over_as_typed_where_options_cannot_be_read(tmp_path):
    script = PARSER + "for name in NAMES:\n    p.add_argument(f'--{name}')\n"
    target = find_target(str(write(tmp_path, script)))
    assert changed(target, "batch_size=8").argv == ("--batch_size=8",)
    [words] = target.typed_words(target.changes({"batch_size": Typed("8")}))
    assert words == "Not found in the script, so handed over as typed: batch_size as --batch_size=VALUE."
    dashed = script + "p.add_argument('--weight-decay', type=float, default=0.1)\n"
    assert changed(find_target(str(write(tmp_path, dashed))), "batch_size=8").argv == ("--batch-size=8",)


def test_a_name_that_is_nearly_known_is_refused_and_not_handed_over(tmp_path):
    script = PARSER + "p.add_argument(f'--{X}')\np.add_argument('--learning_rate', default=.1)\n"
    with pytest.raises(SettingError, match="did you mean learning_rate"):
        changed(find_target(str(write(tmp_path, script))), "learing_rate=.2")


def test_what_pyproject_names_is_handed_over_so_and_the_seed_too(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.palate]\nseed = "--rng"\n[tool.palate.settings]\nlr = "--optim.lr"\n'
    )
    target = find_target(str(write(tmp_path, "print(1)\n")))
    assert changed(target, "lr=0.5").argv == ("--optim.lr=0.5", "--rng=7")
    (tmp_path / "pyproject.toml").write_text("[tool.palate.settings]\nlr = 3\nb = 4\n")
    with pytest.raises(InputError, match=r"(?s)lr = 3 is no text.*b = 4 is no text"):
        find_target(str(tmp_path / "train.py"))
    with pytest.raises(InputError, match="does not say how"):
        handover_named("lr", "optim lr")


def test_without_a_change_all_that_can_be_changed_is_listed(tmp_path):
    script = (
        PARSER + "p.add_argument('--lr', type=float, default=.1)\n"
        "p.add_argument('--amp', action='store_true')\np.add_argument('--seed', type=int)\nWIDTH = 8\n"
    )
    target = find_target(str(write(tmp_path, script)), ["--lr", "0.5"])
    with pytest.raises(SettingError) as refused:
        real_changes(target, {})
    assert [line.split() for line in refused.value.why[1:]] == [
        ["lr", "0.5", "--lr=VALUE"], ["amp", "False", "--amp"], ["WIDTH", "8", "written", "into", "the", "script"],
        ["The", "seed", "of", "a", "run:", "--seed=VALUE"],
    ]  # fmt: skip


SUBCOMMANDS = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("--seed", type=int)
p.add_argument("--lr", type=float, default=.1)
sub = p.add_subparsers()
common = argparse.ArgumentParser(add_help=False)
common.add_argument("--width", type=int, default=8)
a = sub.add_parser("train", parents=[common])
a.add_argument("--epochs", type=int, default=3)
b = sub.add_parser("test")
b.add_argument("--epochs", type=int, default=9)
"""


def test_an_option_stands_on_its_side_of_the_subcommand_and_has_the_value_that_it_has_there(tmp_path):
    path = str(write(tmp_path, SUBCOMMANDS))
    target = find_target(path, ["--lr", "0.2", "train", "--width=16"])
    assert {n: v for n, v in target.settings.items() if n != OTHER_ARGUMENTS} == {"lr": 0.2, "width": 16, "epochs": 3}
    assert find_target(path, ["test"]).settings["epochs"] == 9
    assert changed(target, "lr=.3", "epochs=5").argv == (
        "--lr", "0.2", "--lr=0.3", "--seed=7", "train", "--width=16", "--epochs=5",
    )  # fmt: skip


def test_a_positional_argument_is_replaced_where_it_stands(tmp_path):
    script = PARSER + "p.add_argument('data')\np.add_argument('lr', type=float)\n"
    script += "p.add_argument('--width', type=int, default=8)\n"
    target = find_target(str(write(tmp_path, script)), ["mnist", "--width", "4", "0.1"])
    assert (target.settings["data"], target.settings["lr"]) == ("mnist", 0.1)
    assert changed(target, "lr=.2").argv == ("mnist", "--width", "4", "0.2")
    assert changed(target, "data=cifar").argv == ("cifar", "--width", "4", "0.1")


def test_a_flag_that_adds_to_its_default_is_refused(tmp_path):
    script = PARSER + "p.add_argument('--tag', action='append', default=['a'])\n"
    with pytest.raises(SettingError, match=r"adds to .* and cannot replace it"):
        changed(find_target(str(write(tmp_path, script))), "tag=[b]")


def test_a_broken_module_beside_the_script_does_no_harm_to_what_is_found(tmp_path):
    (tmp_path / "train.py").write_text(PARSER + "p.add_argument('--lr', default=.1)\n")
    (tmp_path / "other.py").write_text("raise SystemExit('imported')\n")
    with (tmp_path / "train.py").open("a") as file:
        file.write("import other\nfrom yaml import safe_load\np.set_defaults(lr=.3)\n")
    assert find_target(str(tmp_path / "train.py")).settings["lr"] == 0.3


def test_of_a_dotted_name_the_last_part_is_enough_where_one_setting_has_it(tmp_path):
    script = "class Config:\n    lr = 0.1\n    width = 8\nmodel = {'width': 4}\n"
    target = find_target(str(write(tmp_path, script)))
    assert changed(target, "lr=.2").constants == {"Config.lr": 0.2}
    with pytest.raises(SettingError, match="no such setting"):
        changed(target, "width=3")


def test_models_and_enumerations_are_no_settings(tmp_path):
    script = (
        "from torch import nn\nfrom enum import Enum\nclass Net(nn.Module):\n    width = 8\n"
        "class Kind(Enum):\n    A = 1\nclass Runner:\n    steps = 3\n    def run(self): ...\n"
    )
    assert find_target(str(write(tmp_path, script))).settings == {}


def test_constants_in_dictionaries_and_classes_are_written_where_they_stand():
    code = b'params = {"lr": 0.1, "opt": {"w": 1}}\nclass Config:\n    lr: float = field(default=0.1)  # usual\n'
    new = with_constants(code, {"params.opt.w": 2, "Config.lr": 0.3})
    assert new == b'params = {"lr": 0.1, "opt": {"w": 2}}\nclass Config:\n    lr: float = field(default=0.3)  # usual\n'


def test_a_constant_of_a_file_outside_of_the_scripts_folder_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="not in the script's folder"):
        script_file("../config.py", tmp_path)


def test_other_values_of_a_dictionary_are_no_other_code(tmp_path):
    one = find_target(str(write(tmp_path, "params = {'lr': 0.1}\nprint(params)\n"))).code
    assert find_target(str(write(tmp_path, "params = {'lr': 0.2}\nprint(params)\n"))).code == one
    assert find_target(str(write(tmp_path, "params = {'rate': 0.2}\nprint(params)\n"))).code != one


@pytest.mark.parametrize("name", ["seed", "random_state", "manualSeed", "RANDOM_SEED", "rng_seed"])
def test_the_seed_is_found_by_its_usual_names(tmp_path, name):
    assert changed(find_target(str(write(tmp_path, f"{name} = 0\nlr = 0.1\n")))).constants == {name: 7}


def test_a_variable_of_the_environment_that_is_set_is_the_value_in_force(tmp_path, monkeypatch):
    monkeypatch.setenv("LR", "0.5")
    script = "import os\nlr = float(os.environ.get('LR', 0.1))\nrank = int(os.environ.get('RANK', 0))\n"
    target = find_target(str(write(tmp_path, script)))
    assert target.settings == {"LR": 0.5}
    assert changed(target, "lr=.25").environment == {"LR": "0.25"}


def test_hydra_takes_groups_from_the_command_line_and_new_names_as_typed(tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("defaults:\n  - model: small\n  - _self_\nlr: 1e-3\ndir: ${lr}\n")
    for name, width in (("small", 8), ("big", 64)):
        (tmp_path / "conf" / "model" / f"{name}.yaml").write_text(f"width: {width}\n")
    script = "import hydra\n@hydra.main(config_path='conf', config_name='config')\ndef main(cfg): ...\n"
    target = find_target(str(write(tmp_path, script)), ["model=big", "lr=0.01"])
    shown = {name: target.settings[name] for name in ("model", "model.width", "lr")}
    assert shown == {"model": "big", "model.width": 64, "lr": 0.01}
    assert changed(target, "model.width=32", "+clip=1").argv == ("model=big", "lr=0.01", "model.width=32", "+clip=1")


def test_a_script_that_is_handed_things_over_in_another_way_makes_other_runs(tmp_path):
    path = write(tmp_path, "import sys\nprint(sys.argv)\n")
    before = find_target(str(path)).code
    (tmp_path / "pyproject.toml").write_text('[tool.palate]\nseed = "--system.seed"\n')
    named = find_target(str(path)).code
    (tmp_path / "pyproject.toml").write_text('[tool.palate]\nseed = "--rng"\n')
    assert len({before, named, find_target(str(path)).code}) == 3


def test_of_very_many_settings_a_line_lists_the_first(tmp_path):
    script = "".join(f"x{number} = {number}\n" for number in range(30))
    with pytest.raises(SettingError) as refused:
        real_changes(find_target(str(write(tmp_path, script))), {})
    assert len(refused.value.why) == 1 + 30 + 1  # a heading, the settings, the seed
    with pytest.raises(SettingError) as refused:
        real_changes(find_target(str(write(tmp_path, script))), {"x0": 0})
    assert refused.value.todo[0].endswith("x18, x19, ...)")


def test_the_seed_is_palates_own_however_it_is_spelled(tmp_path):
    path = str(write(tmp_path, PARSER + "p.add_argument('-s', '--seed', type=int)\n"))
    for words in (["--seed", "3"], ["--seed=3"], ["-s", "3"]):
        with pytest.raises(InputError, match="--seed is set by palate"):
            find_target(path, words)
    with pytest.raises(SettingError, match="palate gives each pair its own"):
        changed(find_target(path), "seed=3")


@pytest.mark.parametrize(
    "added",
    [
        '"lib"',
        "str(Path(__file__).resolve().parent / 'lib')",
        "os.path.join(os.path.dirname(__file__), 'lib')",
        "os.path.dirname(os.path.abspath(__file__)) and HERE",
        "HERE",
        "Path(__file__).parents[0].joinpath('lib') and HERE",
    ],
)
def test_modules_are_read_from_folders_that_a_script_adds(tmp_path, monkeypatch, added):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lib").mkdir()
    parser = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=.1)\n"
    (tmp_path / "lib" / "core.py").write_text(f"{parser}p.parse_args()\n")
    head = "import os, sys\nfrom pathlib import Path\nHERE = os.path.join(os.getcwd(), 'lib')\n"
    code = f"{head}sys.path.append({added})\nimport core\n"
    found = find_target(str(write(tmp_path, code))).settings
    assert ("lr" in found) == (" and " not in added)


def test_a_script_that_reads_no_command_line_is_not_said_to_take_flags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = find_target(str(write(tmp_path, "width = 3\nprint(width)\n")))
    with pytest.raises(SettingError, match="It reads no command line: edit lr where it stands") as refused:
        target.changes(parse_assignments(["lr=1"]))
    assert "--against HEAD" in str(refused.value)
