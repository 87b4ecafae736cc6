"""Configurations of every kind are read as their own framework reads them; an ambiguous file is refused."""

import argparse
import dataclasses
import functools
import os
import threading
from pathlib import Path

import pytest

from palate.capture.adapters import recipe_of
from palate.capture.describe import describe
from palate.capture.documents import read_file
from palate.errors import InputError, NotFoundError
from palate.recipe.codec import Opaque, Secret, Symbol, encode
from palate.recipe.document import dumps
from palate.recipe.tree import leaves, path_text
from palate.recipe.values import Fields
from palate.redaction import is_secret_name, seal_secret


def values(recipe):
    return {path_text(path): setting.value for path, setting in leaves(recipe.root)}


def origins(recipe):
    return {path_text(path): setting.origin.value for path, setting in leaves(recipe.root)}


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_yaml_file_that_another_loader_reads_differently_says_so(tmp_path):
    recipe = read_file(written(tmp_path, "a.yaml", "lr: 1e-4\nwd: 0.1\n"))
    assert values(recipe) == {"lr": "1e-4", "wd": 0.1}
    [note] = recipe.notes
    assert note.words == "lr: '1e-4' as PyYAML reads it (taken), 0.0001 as OmegaConf does"
    assert values(read_file(tmp_path / "a.yaml", loader="omegaconf"))["lr"] == 1e-4


def test_a_file_with_the_marks_of_omegaconf_is_read_as_omegaconf_reads_it(tmp_path):
    from omegaconf import OmegaConf

    text = "optimizer:\n  _component_: torch.optim.AdamW\n  lr: 2e-5\n  eps: 1e-8\nsteps: 1_000\non: 1\n"
    path = written(tmp_path, "a.yaml", text)
    assert values(read_file(path)) == values(recipe_of(OmegaConf.to_container(OmegaConf.load(path))))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "lr: 1\nlr: 2\n", "is given twice"),
        ("a.yaml", "a: {b: 1, b: 2}\n", "is given twice"),
        ("a.yaml", "on: 1\n1: 2\n", "is given twice"),
        ("a.yaml", "a: [1, 2\n", "not valid YAML"),
        ("a.yaml", "[a, b]: 1\n", "cannot be a list"),
        ("a.yaml", "- 1\n", "not settings with names"),
        ("a.json", '{"lr": 1, "lr": 2}', "more than once"),
        ("a.json", '{"lr": 1', "not a complete JSON"),
        ("a.toml", "lr = 1\nlr = 2\n", "not valid TOML"),
        ("a.json", "[1]", "not settings with names"),
    ],
)
def test_ambiguous_and_incomplete_files_are_refused(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        read_file(written(tmp_path, name, text))
    with pytest.raises(NotFoundError):
        read_file(tmp_path / "none.yaml")


def test_names_that_are_not_text_and_names_with_dots_are_kept(tmp_path):
    recipe = read_file(written(tmp_path, "a.yaml", "7: x\na.b: 1\ntrue: 2\nmilestones: {30: 0.1, '30': 0.2}\n"))
    assert [(path, setting.value) for path, setting in leaves(recipe.root)][:3] == [
        ((7,), "x"),
        (("a.b",), 1),
        ((True,), 2),
    ]
    assert [path for path, _ in leaves(recipe.root)][-2:] == [("milestones", 30), ("milestones", "30")]


def test_what_is_merged_in_can_be_overridden(tmp_path):
    recipe = read_file(written(tmp_path, "a.yaml", "base: &b {lr: 0.01, wd: 0}\noptim:\n  <<: *b\n  lr: 0.05\n"))
    assert values(recipe)["optim.lr"] == 0.05
    assert values(recipe)["optim.wd"] == 0


def test_nested_anchors_are_refused_and_thousands_of_names_are_read_quickly(tmp_path):
    rows = ["a0: &a0 [1, 2]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="are its anchors nested"):
        read_file(written(tmp_path, "a.yaml", "\n".join(rows)))
    names = ", ".join(f'"n{n}": {n}' for n in range(20_000))
    assert len(values(read_file(written(tmp_path, "a.json", f"{{{names}}}")))) == 20_000


def test_toml_and_json_and_an_exported_recipe(tmp_path):
    recipe = read_file(written(tmp_path, "a.toml", "lr = 1.0\n[model]\ndepth = 2\n"))
    assert values(recipe) == {"lr": 1.0, "model.depth": 2}
    exported = written(tmp_path, "r.json", dumps(recipe))
    assert read_file(exported).id == recipe.id


@dataclasses.dataclass
class Plain:
    lr: float = 0.1
    layers: list = dataclasses.field(default_factory=lambda: [1, 2])
    name: str = "a"


def test_every_kind_of_configuration_shows_what_was_set():
    assert values(recipe_of(argparse.Namespace(lr=0.1, deep={"a": 1}))) == {"lr": 0.1, "deep.a": 1}
    assert origins(recipe_of(Plain(lr=0.2))) == {"lr": "set", "layers": "default", "name": "default"}
    from pydantic import BaseModel

    class Model(BaseModel):
        lr: float = 0.1
        wd: float = 0.0

    assert origins(recipe_of(Model(lr=0.1))) == {"lr": "set", "wd": "default"}
    with pytest.raises(InputError, match="nothing that a recipe can be read from"):
        recipe_of(3)


@pytest.mark.slow
def test_omegaconf_and_fiddle():
    import fiddle
    import torch
    from omegaconf import OmegaConf

    assert values(recipe_of(OmegaConf.create({"a": 1, "b": "${a}"}))) == {"a": 1, "b": 1}
    recipe = recipe_of(fiddle.Config(torch.optim.SGD, lr=0.5))
    assert (values(recipe)["lr"], origins(recipe)["lr"], origins(recipe)["momentum"]) == (0.5, "set", "default")


def test_models_and_optimizers_are_recipes_too():
    import torch

    model = torch.nn.Linear(2, 2)
    assert recipe_of(model).root.kind == "module"
    assert values(recipe_of(torch.optim.SGD(model.parameters(), lr=0.5)))["lr"] == 0.5


def test_secrets_never_get_into_a_recipe():
    recipe = recipe_of({"hub_token": "hf_abc", "model": {"api_key": "k"}, "pad_token": "<pad>", "max_tokens": 5})
    assert "hf_abc" not in dumps(recipe)
    assert isinstance(values(recipe)["hub_token"], Secret)
    assert isinstance(values(recipe)["model.api_key"], Secret)
    assert values(recipe)["pad_token"] == "<pad>"
    assert seal_secret("a") == seal_secret("a") != seal_secret("b")
    secret = ("HF_TOKEN", "wandbApiKey", "password", "openai_key", "aws_secret_key", "passphrase", "hf_token_read")
    public = ("tokens", "author", "image_token_id", "max_tokens", "monkey", "keys", "key", "tokenizer")
    assert [name for name in (*secret, *public) if is_secret_name(name)] == list(secret)
    sealed = values(
        recipe_of({"url": "postgres://bob:s3cret@db/x", "h": "Authorization: Bearer abc123", "x": "sk-abcd1"})
    )
    assert all(isinstance(value, Secret) for value in sealed.values())
    assert values(recipe_of({"image_token": 32000})) == {"image_token": 32000}


def test_exotic_values_are_exact_or_opaque_never_their_address():
    class Thing:
        def __init__(self, size):
            self.size = size

    knot = []
    knot.append(knot)
    assert describe(Thing(3)) == Fields("x", {"size": 3})
    assert describe(functools.partial(max, 1))["argument 0"] == 1
    assert describe(range(3)) == Symbol(kind="builtins.range", text="range(0, 3)")
    assert describe(threading.Lock()) == Opaque(type="_thread.lock")
    assert describe(knot) == [Opaque(type="builtins.list")]
    with Path(os.devnull).open() as file:
        assert describe(file).type == "_io.TextIOWrapper"
    assert describe(list(range(5000))).type == "list of 5000"
    assert describe(list(range(5000))) != describe([*range(4999), 0])
    for value in (Thing(1), threading.Lock(), knot, Path("a"), {(1, 2): 3}, object(), iter([1])):
        assert " at 0x" not in str(encode(describe(value)))
