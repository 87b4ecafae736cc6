"""Models are compared by their content, whatever print() shows of them."""

import json
import subprocess
import sys

import pytest

from palate.capture.module import module_recipe
from palate.errors import InputError
from palate.recipe.codec import Opaque, Symbol, Tensor
from palate.recipe.difference import explain, merged_words
from palate.recipe.document import dumps, loads
from palate.recipe.fold import fold, unfold
from palate.recipe.groups import fullest, group, ungroup
from palate.recipe.tree import Repeat, Setting, find, path_text
from palate.recipe.view import lines


@pytest.fixture
def nn(torch):
    return torch.nn


@pytest.fixture
def networks(torch):
    """The module of networks, which imports torch."""
    from tests.capture import networks

    return networks


def named(recipe):
    return {item.name: item for item in recipe.root.items}


def causes(one, other):
    """The differences in words, causes first."""
    return merged_words(explain(module_recipe(one), module_recipe(other)).changes)


PRINT_ALIKE = (
    "heads",
    "precision",
    "tied",
    "rope theta",
    "a scale",
    "a function",
    "two lambdas",
    "frozen",
    "mode",
    "a buffer",
    "a hook",
    "order of norms",
)


def test_every_pair_of_networks_is_tested(networks):
    assert tuple(networks.PAIRS) == PRINT_ALIKE


@pytest.mark.parametrize("pair", PRINT_ALIKE)
def test_twelve_pairs_that_print_alike_differ_and_the_cause_is_named(networks, pair):
    one, other, cause = networks.PAIRS[pair]
    assert str(one) == str(other)
    assert module_recipe(one).id != module_recipe(other).id
    assert any(cause in words for words in causes(one, other)[:4]), causes(one, other)


def test_the_same_model_built_twice_is_the_same(networks):
    assert module_recipe(networks.Net()).id == module_recipe(networks.Net()).id
    assert explain(module_recipe(networks.Net()), module_recipe(networks.Net())).changes == ()


def test_layers_fold_to_one_and_what_differs(nn):
    class Layer(nn.Module):
        def __init__(self, index):
            super().__init__()
            self.layer_idx = index
            self.mix = "full" if index % 4 == 3 else "sliding"
            self.linear = nn.Linear(4, 4)

    model = nn.ModuleList(Layer(index) for index in range(12))
    recipe = module_recipe(model)
    folded = fold(recipe.root)
    [repeat] = [item for item in folded.items if isinstance(item, Repeat)]
    assert repeat.count == 12
    assert unfold(folded) == recipe.root
    shown = "\n".join(lines(recipe.view(), depth=3, details=False))
    assert "12 x 0..11  Layer" in shown
    assert "layer_idx 0..11" in shown
    assert "9 x sliding, 3 x full, in turns of 4" in shown


def test_runs_of_a_choice_are_shown_apart(nn):
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(3)], *[nn.Conv1d(2, 2, 1) for _ in range(5)])
    shown = lines(module_recipe(model).view(), depth=1, details=False)
    assert any("3 x" in line and "Linear" in line for line in shown)
    assert any("5 x" in line and "Conv1d" in line for line in shown)


def test_layers_that_only_look_alike_stay_apart(nn):
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    assert not any(isinstance(item, Repeat) for item in fold(module_recipe(model).root).items)


def test_a_module_in_two_places_is_one(nn):
    shared = nn.Linear(2, 2)
    recipe = module_recipe(nn.ModuleDict({"a": shared, "b": shared}))
    assert named(recipe)["b"].value == Symbol(kind="reference", text="a")


def test_a_module_that_contains_itself_is_read(nn):
    model = nn.Linear(2, 2)
    model._modules["again"] = model
    assert named(module_recipe(model))["again"].value == Symbol(kind="reference", text="itself")


def test_none_children_and_absent_biases_are_kept(nn):
    model = nn.Module()
    model.register_module("skip", None)
    model.linear = nn.Linear(2, 2, bias=False)
    recipe = module_recipe(model)
    assert named(recipe)["skip"].value is None
    assert find(recipe.root, ("linear", "bias")).value is None


def test_a_lazy_module_is_described_without_a_shape(nn):
    recipe = module_recipe(nn.LazyLinear(3))
    assert named(recipe)["weight"].value == Symbol(kind="lazy", text="not shaped yet float32")


def test_extra_repr_cannot_hide_an_attribute(nn):
    class Liar(nn.Linear):
        def extra_repr(self):
            return "in_features=1, out_features=1"

    assert str(Liar(2, 3)) == str(Liar(4, 5))
    assert "in_features 2 -> 4" in " ".join(causes(Liar(2, 3), Liar(4, 5)))


def test_an_extra_repr_that_fails_is_described(nn):
    class Broken(nn.Linear):
        def extra_repr(self):
            raise RuntimeError("no")

    assert named(module_recipe(Broken(1, 1)))["says"].value == "extra_repr failed: RuntimeError: no"


def test_a_module_in_a_list_is_described_as_unregistered(nn):
    model = nn.Module()
    model.experts = [nn.Linear(2, 2)]
    experts = find(module_recipe(model).root, ("experts",)).value
    assert experts[0].type == "unregistered torch.nn.modules.linear.Linear"
    other = nn.Module()
    other.experts = [nn.Linear(2, 3)]
    assert causes(model, other)


def test_an_attribute_that_cannot_be_described_is_never_called_the_same(nn):
    one, other = nn.Linear(1, 1), nn.Linear(1, 1)
    one.lock = other.lock = __import__("threading").Lock()
    assert isinstance(named(module_recipe(one))["lock"].value, Opaque)
    [unknown] = explain(module_recipe(one), module_recipe(other)).unknown
    assert path_text(unknown.edit.path) == "lock"


def test_a_private_object_of_the_persons_own_counts(nn):
    class Plan:
        def __init__(self, scale):
            self.scale = scale

    one, other = nn.Linear(1, 1), nn.Linear(1, 1)
    one._plan, other._plan = Plan(2), Plan(3)
    assert causes(one, other) == ("_plan.scale 2 -> 3",)


def test_code_of_ones_own_class_counts(nn):
    def build(double):
        class Own(nn.Module):
            def forward(self, x):
                return x * 2 if double else x

        class Other(nn.Module):
            def forward(self, x):
                return x

        return Own() if double else Other()

    one, other = build(True), build(False)
    type(one).__qualname__ = type(other).__qualname__ = "Own"
    assert module_recipe(one).id != module_recipe(other).id


def test_code_below_decorators_and_what_it_uses_of_its_module_counts(nn, tmp_path):
    import importlib.util

    def build(number, text):
        path = tmp_path / f"net{number}.py"
        path.write_text(
            "import torch\nfrom torch import nn\nF = nn.functional\nSIZE = 2\ndef act(x): return x\n" + text
        )
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        __import__("sys").modules[path.stem] = module
        spec.loader.exec_module(module)
        return module_recipe(module.Net()).id

    text = "class Net(nn.Module):\n    p = 0.5\n    @torch.no_grad()\n    def forward(self, x): return act(F.relu(x))\n"
    same = build(0, text)
    assert build(1, text) == same
    assert build(2, text.replace("relu", "gelu")) != same
    assert build(3, text.replace("0.5", "0.9")) != same
    assert build(4, text.replace("class Net", "def act(x): return -x\nclass Net")) != same


def test_frozen_parameters_are_shown_on_their_line(nn):
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(6)])
    for layer in list(model)[:3]:
        layer.requires_grad_(False)
    shown = lines(module_recipe(model).view(), depth=2, details=False)
    assert shown[0].startswith("model  Sequential, 36 parameters, 18 of them trained")
    assert any("36 in all, 18 trained" in line for line in shown) or any("frozen" in line for line in shown)


def test_children_with_digits_that_are_not_a_sequence_keep_their_names(nn):
    model = nn.Module()
    for name in ("conv1_1", "conv1_2", "conv2_1"):
        model.add_module(name, nn.Conv2d(1, 1, 1))
    recipe = module_recipe(model)
    assert [item.name for item in unfold(fold(recipe.root)).items][-3:] == ["conv1_1", "conv1_2", "conv2_1"]


def test_a_recipe_of_a_model_is_the_same_in_another_process(networks, tmp_path):
    recipe = module_recipe(networks.Net(tied=True))
    path = tmp_path / "r.json"
    path.write_text(dumps(recipe))
    code = (
        "import sys; from palate.recipe.document import *; r = loads(open(sys.argv[1]).read()); print(r.id, dumps(r))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    recipe_id, text = done.stdout.split(" ", 1)
    assert recipe_id == recipe.id
    assert json.loads(text) == json.loads(dumps(recipe))
    assert loads(text) == recipe


def test_an_object_that_is_not_a_model_is_refused():
    with pytest.raises(InputError, match=r"not a torch\.nn\.Module"):
        module_recipe(object())


@pytest.mark.slow
def test_a_hundred_thousand_settings_fold_exactly(nn):
    model = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout(0.1)) for _ in range(10_000))
    recipe = module_recipe(model)
    folded = fold(recipe.root)
    assert unfold(folded) == recipe.root
    grouped = group(folded)
    assert fullest(grouped) <= 7
    assert ungroup(grouped) == folded
    assert isinstance(named(recipe)[0].items[0].value, Tensor | Symbol)
    assert isinstance(next(iter(recipe.root.items)), Setting)
