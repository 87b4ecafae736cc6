"""Trainings that do something else than their code seems to say: one script each, unchanged, and the trap is named."""

import runpy
import textwrap

import pytest

from palate.capture.api import capture
from palate.errors import InputError
from palate.recipe.tree import Origin, find

TRAINING = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
data = TensorDataset(torch.randn(32, 4), torch.randint(0, 2, (32,)))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
scheduler = None
loader = DataLoader(data, batch_size=8)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
# CHANGE
for x, y in loader:
    loss = criterion(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if scheduler:
        scheduler.step()
"""


@pytest.fixture
def captured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(change="", script=TRAINING):
        path = tmp_path / "train.py"
        path.write_text(script.replace("# CHANGE", textwrap.dedent(change)))
        with capture() as training:
            runpy.run_path(str(path), run_name="__main__")
        return training.recipe

    return run


def notes(recipe):
    return {note.kind: note.words for note in recipe.notes}


def setting(recipe, *path):
    return find(recipe.root, path)


def test_a_plain_script_is_read_as_it_stands(captured):
    recipe = captured()
    assert [chunk.name for chunk in recipe.root.items] == ["data", "model", "objective", "optimiser", "compute"]
    lr = setting(recipe, "optimiser", "lr")
    assert (lr.value, lr.origin, lr.source) == (3e-4, Origin.SET, "train.py:9")
    betas = setting(recipe, "optimiser", "betas")
    assert (betas.value, betas.origin) == ((0.9, 0.999), Origin.DEFAULT)
    assert betas.source.startswith("torch 2.")
    assert setting(recipe, "data", "loader", "batch_size").value == 8
    assert setting(recipe, "data", "loader", "batches").value == 4
    assert setting(recipe, "objective", "criterion", "label_smoothing").value == 0.1
    assert setting(recipe, "model", "model", 0, "out_features").value == 8
    assert recipe.notes == ()


def test_one_cycle_makes_the_learning_rate_of_the_optimizer_dead_and_moves_beta1(captured):
    recipe = captured("scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=10)")
    assert "lr=0.0003 (train.py:9) decides nothing: OneCycleLR (train.py:13)" in notes(recipe)["dead"]
    assert "betas=(0.9, 0.999)" in notes(recipe)["rewritten"]
    assert "became (0.95, 0.999): OneCycleLR" in notes(recipe)["rewritten"]
    assert setting(recipe, "optimiser", "lr").origin is Origin.REWRITTEN
    assert setting(recipe, "schedule", "max_lr").value == 1e-2


def test_a_warm_up_overrides_the_first_value_but_does_not_kill_it(captured):
    recipe = captured("scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 10)")
    lr = setting(recipe, "optimiser", "lr")
    assert lr.value == pytest.approx(3e-5)
    assert "LambdaLR (train.py:13); was 0.0003" in lr.source
    assert "dead" not in notes(recipe)


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
def test_a_scheduler_that_steps_first_is_named(captured):
    recipe = captured("scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)\nscheduler.step()")
    assert "stepped 1 time before the first optimizer step" in notes(recipe)["order"]


def test_tied_weights_are_one(captured):
    recipe = captured("model[0] = nn.Linear(4, 4); model[2] = nn.Linear(4, 4); model[2].weight = model[0].weight")
    assert notes(recipe)["tied"].startswith("0.weight = 2.weight: one parameter")


def test_parameters_that_no_optimizer_holds_are_named(captured):
    recipe = captured("model.append(nn.Linear(2, 2))")
    assert (
        "6 of 64 parameters (2 tensors) in no optimizer, so never trained: 3.weight ... 3.bias"
        in (notes(recipe)["untrained"])
    )


def test_frozen_layers_are_named_and_those_that_are_in_an_optimizer(captured):
    recipe = captured("model[0].requires_grad_(False)")
    words = [note.words for note in recipe.notes if note.kind == "frozen"]
    assert words[0] == "40 of 58 parameters (2 tensors) frozen: 0.weight ... 0.bias"
    assert "an optimizer holds 2 frozen tensors" in words[1]


def test_parameter_groups_that_differ_are_named(captured):
    recipe = captured("""\
        biases = [p for n, p in model.named_parameters() if n.endswith("bias")]
        rest = [p for n, p in model.named_parameters() if not n.endswith("bias")]
        groups = [{"params": rest}, {"params": biases, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=3e-4, weight_decay=0.1)""")
    assert "group 1 (2 tensors) has weight_decay 0, unlike group 0 (2 tensors)" in notes(recipe)["groups"]


def test_a_loader_that_shuffles_by_the_global_generator_is_named(captured):
    recipe = captured("loader = DataLoader(data, batch_size=8, shuffle=True)")
    assert "loader (train.py:13) shuffles without a generator of its own" in notes(recipe)["seed"]
    seeded = "DataLoader(data, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3))"
    assert "seed" not in notes(captured(f"loader = {seeded}"))


def test_losses_that_are_functions_are_read_with_their_options(captured):
    recipe = captured("criterion = lambda p, y: nn.functional.cross_entropy(p, y, label_smoothing=0.2)")
    assert setting(recipe, "objective", "cross_entropy", "label_smoothing").value == 0.2


def test_files_that_are_read_are_compared_by_their_content(captured, tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n")
    first = captured("text = __import__('pathlib').Path('x.csv').read_text()")
    (tmp_path / "x.csv").write_text("1,3\n")
    second = captured("text = __import__('pathlib').Path('x.csv').read_text()")
    assert setting(first, "data", "files", "x.csv").value != setting(second, "data", "files", "x.csv").value
    assert first.id != second.id


def test_own_subclasses_declared_in_the_script_are_read(captured):
    recipe = captured("""\
        class Mine(torch.optim.SGD):
            def __init__(self, params, lr=0.5, temper=2):
                super().__init__(params, lr=lr)
        optimizer = Mine(model.parameters(), temper=3)""")
    assert setting(recipe, "optimiser", "temper").value == 3
    assert setting(recipe, "optimiser", "lr").origin is Origin.DEFAULT


def test_two_optimizers_with_a_schedule_on_one_are_separate(captured):
    from palate.recipe.view import lines

    recipe = captured("""\
        other = torch.optim.AdamW(model[0].parameters(), lr=3e-4)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 10)""")
    assert setting(recipe, "optimiser", "other", "lr").value == 3e-4
    assert lines(recipe.view(), depth=9)


def test_an_optimizer_built_before_the_capture_is_read_too(tmp_path):
    import torch

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
    with capture() as training:
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    assert setting(training.recipe, "optimiser", "lr").value == 5.0
    assert setting(training.recipe, "model", "model", "in_features").value == 2


def test_a_fault_of_the_capture_does_not_end_the_training(tmp_path):
    import torch

    class Stream(torch.utils.data.Dataset):
        def __len__(self):
            raise NotImplementedError

        def __getitem__(self, place):
            return torch.ones(2)

    class Odd(torch.nn.Linear):
        @property
        def training(self):
            raise RuntimeError("odd")

        @training.setter
        def training(self, value):
            pass

    model = torch.nn.Linear(2, 1)
    with capture() as captured:
        torch.utils.data.DataLoader(Stream(), batch_size=None, sampler=[0])
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    assert setting(captured.recipe, "data", "loader", "dataset", "length").value is None
    with capture() as broken:
        odd = Odd(2, 1)
        optimizer = torch.optim.SGD(odd.parameters(), lr=0.1)
        odd(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    with pytest.raises(InputError, match="could not be read"):
        _ = broken.recipe


def test_a_capture_in_a_capture_is_refused():
    with capture(), pytest.raises(InputError, match="captured already"), capture():
        pass


def test_a_training_is_as_it_was_after_the_capture(captured):
    import torch

    before = (torch.optim.AdamW.__init__, torch.nn.Module.__init__, torch.Tensor.backward)
    captured()
    assert (torch.optim.AdamW.__init__, torch.nn.Module.__init__, torch.Tensor.backward) == before
    assert "__init_subclass__" not in vars(torch.optim.Optimizer)


def test_a_script_that_fails_leaves_nothing_behind(captured):
    import torch

    before = torch.nn.Module.__init__
    with pytest.raises(ZeroDivisionError):
        captured("1 / 0")
    assert torch.nn.Module.__init__ is before


def test_a_script_without_a_step_still_gives_what_was_built(captured):
    recipe = captured("loader = []")
    assert setting(recipe, "optimiser", "lr").value == 3e-4
    assert notes(recipe)["unseen"].startswith("no optimizer stepped")
