"""Every way of spelling a setting, and what is refused before anything is sealed."""

import pytest
from tests.cli.workplace import RUN

OPTIONS = """
import argparse
import palate
parser = argparse.ArgumentParser()
parser.add_argument("--n-layers", type=int, default=2, dest="L")
parser.add_argument("--opt", choices=["sgd", "adam"], default="sgd")
parser.add_argument("--betas", nargs=2, type=float, default=[0.9, 0.99])
parser.add_argument("--warm", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
a = parser.parse_args()
level = a.L + 10 * (a.opt == "adam") + 100 * (not a.warm) + a.betas[0] + (a.seed * 7 % 5) / 100
palate.log(0, score=level)
"""


@pytest.mark.parametrize("change", ["n-layers=4", "L=4", "n_layers=4", "opt=adam", "warm=false", "betas=[1.9, 0.99]"])
def test_every_way_of_spelling_a_flag_reaches_the_script(workplace, change):
    workplace.write(OPTIONS, "opts.py")
    report = workplace.json(
        "run", "opts.py", "-c", change, "--metric", "score", "--goal", "max", "--no-forecast", "--pairs", "2"
    )
    assert report["verdict"]["raw"] > 0.9


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-c", "opt=adagrad"), "it is one of sgd, adam"),
        (("-c", "betas=0.5"), "it takes 2 values"),
        (("-c", "lr=None"), "cannot say None"),
        (("-c", "lr=0.2", "--", "--seed", "5"), "--seed is set by palate"),
        (("-c", "lr=0.2", "--margin", "nan"), "not a difference that could matter"),
    ],
)
def test_what_the_script_would_refuse_is_refused_before_anything_is_sealed(workplace, words, complaint):
    workplace.write(OPTIONS, "opts.py")
    ended = workplace.call("run", "opts.py", "--metric", "score", "--goal", "max", "--no-forecast", *words)
    assert (ended.returncode, complaint in ended.stderr) == (2, True), ended.stderr
    assert not (workplace.folder / ".palate").exists()


def test_a_failure_is_told_with_what_the_run_said_last(workplace):
    report = workplace.call(*RUN, "-c", "mode=crash", "--no-forecast")
    assert "exit status 1: RuntimeError: out of luck" in report.stdout
    assert "palate show train-" in report.stdout


@pytest.mark.slow
def test_an_unknown_metric_is_asked_for_at_a_terminal_once(workplace):
    workplace.write("import palate\nlr = 0.1\nseed = 0\npalate.log(0, val_foo=lr + seed / 100)\n", "foo.py")
    words = ("run", "foo.py", "-c", "lr=0.2", "--metric", "val_foo", "--no-forecast")
    refused = workplace.call(*words)
    assert refused.returncode == 2
    assert "val_foo: is higher better, or lower?" in refused.stderr
    assert "--goal max" in refused.stderr
    screen = workplace.terminal(*words)
    screen.expect("val_foo: is higher better, or lower\\?")
    screen.sendline("higher")
    screen.expect("Better")
    screen.expect("Next")
    again = workplace.call("run", "foo.py", "-c", "lr=0.3", "--metric", "val_foo", "--no-forecast")
    assert "Better" in again.stdout


def test_the_command_takes_its_step_first_and_not_as_a_metric(workplace, tmp_path):
    run = str(tmp_path / "run")
    refused = workplace.call("log", "3", "step=4", "loss=0.5", PALATE_RUN_DIR=run)
    assert (refused.returncode, "it stands first" in refused.stderr) == (2, True)
    assert workplace.json("log", "3", "loss=0.5", PALATE_RUN_DIR=run)["metrics"] == {"loss": 0.5}
