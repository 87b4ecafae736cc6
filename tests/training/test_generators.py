"""A forked run draws the random numbers that a fresh process would: seeded ones go on, all others are its own."""

import json

import pytest
from tests.training.test_local import carry_out

from palate.question.target import Order, Task
from palate.training.local import LocalLauncher

NUMBERS = """
import json, random
import numpy as np
import palate
{imported}
rng, state, seeded = np.random.default_rng(), np.random.RandomState(), np.random.RandomState(3)
known, also = np.random.default_rng(5), np.random.default_rng(seed=5)
{decorator}
def train(run=None, *, x=1, seed=0):
{inside}
    told = {{"random": random.random(), "numpy": np.random.rand(), "rng": rng.random(), "state": state.rand(),
             "seeded": seeded.rand(), "known": known.random(), "also": also.random()}}
    if {torch}:
        told["torch"] = torch.rand(1).item()
    print(json.dumps(told))
{end}
"""


def numbers(folder, imported="", inside="", *, script=False, torch=False, warm=()):
    """Give what two runs of a training draw: one dictionary each."""
    decorator, end = ("", "train()") if script else ('@palate.experiment(metric="acc")', "")
    imported = f"{'import torch' if torch else ''}\n{imported}"
    text = NUMBERS.format(
        imported=imported, decorator=decorator, inside=f"    {inside or 'pass'}", end=end, torch=bool(torch)
    )
    (folder / "draws.py").write_text(text)
    task = Task(kind="function", file=str(folder / "draws.py"), name="train")
    if script:
        task = Task(kind="script", file=str(folder / "draws.py"), warm=warm)
    orders = []
    for number in range(2):
        (folder / f"r{number}").mkdir()
        orders.append(Order(id=f"r{number}", folder=folder / f"r{number}", seed=number, settings={}))
    with LocalLauncher(task, workers=2) as launcher:
        carry_out(launcher, orders)
    return [json.loads((one.folder / "output.log").read_text()) for one in orders]


def alike(folder, *arguments, **options):
    """List what is the same in both runs."""
    one, other = numbers(folder, *arguments, **options)
    return {name for name in one if one[name] == other[name]}


SEEDED = {"seeded", "known", "also"}


@pytest.mark.slow
def test_what_is_seeded_when_the_code_is_imported_goes_on_in_each_run_and_all_else_is_new(tmp_path):
    for number, (imported, seeded) in enumerate([
        ("", set()),
        ("np.random.seed(1)", {"numpy"}),
        ("random.seed(1)", {"random"}),
        ("palate.seed_everything(1)", {"numpy", "random"}),
        ("np.random.rand(); random.random()", set()),
    ]):  # fmt: skip
        (tmp_path / str(number)).mkdir()
        assert alike(tmp_path / str(number), imported) == SEEDED | seeded


def test_what_a_run_seeds_itself_is_seeded_and_all_else_is_new(tmp_path):
    for number, (inside, seeded) in enumerate([("np.random.seed(1)", {"numpy"}), ("random.seed(1)", {"random"})]):
        (tmp_path / str(number)).mkdir()
        assert alike(tmp_path / str(number), "", inside) == SEEDED | seeded


def test_a_script_whose_packages_are_warm_draws_its_own_numbers(tmp_path):
    assert alike(tmp_path, script=True, warm=("numpy",)) == SEEDED


def test_what_was_seeded_when_the_code_was_imported_is_drawn_as_in_a_process_of_its_own(tmp_path):
    import random

    (told, _) = numbers(tmp_path, "random.seed(7)")
    assert told["random"] == random.Random(7).random()


@pytest.mark.slow
@pytest.mark.parametrize("script", [True, False])
def test_torch_is_seeded_and_numpy_is_not(tmp_path, script, torch):
    both = alike(tmp_path, "torch.manual_seed(1)", script=script, torch=True, warm=("numpy", "torch"))
    assert both == SEEDED | {"torch"}


@pytest.mark.slow
def test_numpy_is_warm_and_the_script_seeds_torch_alone(tmp_path, torch):
    assert alike(tmp_path, "torch.manual_seed(1)", script=True, torch=True, warm=("numpy",)) == SEEDED | {"torch"}
