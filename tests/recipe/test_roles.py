"""Which of the seven chunks a setting belongs to."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from tests.recipe.random_trees import plain
from tests.recipe.undone import merge, to_value

from palate.recipe.document import dumps, loads
from palate.recipe.fold import fold, unfold
from palate.recipe.groups import fullest, group, ungroup
from palate.recipe.lexicon import ACCELERATOR, ROLES, TRAINER, TRAINING_ARGUMENTS, role_of_path, table_of
from palate.recipe.recipe import Recipe
from palate.recipe.roles import LENSES, by_lens, by_role, role_label
from palate.recipe.tree import Chunk, Setting, leaves
from palate.recipe.values import from_value, same_value

CONFIGS = Path(__file__).parents[3] / "shared" / "data" / "configs"


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("optimizer.lr", "optimiser"),
        ("model.backbone.depth", "model"),
        ("model.head.loss.label_smooth_val", "objective"),
        ("train_dataloader.batch_size", "data"),
        ("train_dataloader.num_workers", "compute"),
        ("val_dataloader.batch_size", "run"),
        ("lr_scheduler.num_warmup_steps", "schedule"),
        ("trainer.max_epochs", "schedule"),
        ("clip_grad_norm", "optimiser"),
        ("optim_wrapper.loss_scale", "compute"),
        ("log_every_n_steps", "run"),
        ("seed", "compute"),
        ("n_layer", "model"),
        ("warmup_iters", "schedule"),
        ("block_size", "data"),
        ("frobnicate", "other"),
        ("hiddenSize", "model"),
    ],
)
def test_the_words_of_a_path_decide_the_chunk(path, role):
    assert role_of_path(tuple(path.split("."))) == role


def test_the_fields_of_training_arguments_partition_exactly():
    counts = Counter(TRAINING_ARGUMENTS.values())
    assert counts == {"data": 11, "objective": 3, "optimiser": 10, "schedule": 5, "compute": 35, "run": 50}


@pytest.mark.slow
def test_the_tables_name_every_field_that_the_frameworks_have_and_no_other():
    import dataclasses
    import inspect

    from accelerate import Accelerator
    from lightning import Trainer
    from transformers import TrainingArguments

    assert {field.name for field in dataclasses.fields(TrainingArguments)} == set(TRAINING_ARGUMENTS)
    assert set(inspect.signature(Trainer.__init__).parameters) - {"self"} == set(TRAINER)
    assert set(inspect.signature(Accelerator.__init__).parameters) - {"self"} == set(ACCELERATOR)


def test_a_plain_dictionary_with_the_fields_of_training_arguments_is_read_by_their_table():
    names = list(TRAINING_ARGUMENTS)[:20]
    assert table_of("dict", names) is not None
    assert table_of("dict", ["learning_rate", "seed"]) is None
    tree = from_value("args", dict.fromkeys(TRAINING_ARGUMENTS, 1))
    assert {role: len(list(leaves(part))) for role, part in by_role(tree).items()} == {
        "data": 11, "objective": 3, "optimiser": 10, "schedule": 5, "compute": 35, "run": 50,
    }  # fmt: skip


def test_the_class_of_an_object_is_stronger_than_its_path():
    tree = from_value("x", {"thing": {"_target_": "torch.optim.AdamW", "maximize": False, "foo": 1}})
    assert list(by_role(tree)) == ["optimiser"]


def test_a_persons_own_sections_belong_to_the_chunk_that_they_choose():
    tree = from_value("x", {"sauce": {"salt": 1}})
    assert list(by_role(tree)) == ["other"]
    assert list(by_role(tree, {"sauce": "objective"})) == ["objective"]


def test_any_recipe_has_at_most_seven_lines():
    value = {"data": 1, "model": 1, "loss": 1, "optimizer": 1, "scheduler": 1, "device": "x", "log": 1, "zzz": {"q": 1}}
    node = Recipe(from_value("recipe", value)).view()
    assert [item.label for item in node.items] == [*ROLES[:6], "run, other"]
    assert node.settings == 8


def test_lenses_regroup_the_same_settings():
    tree = from_value("x", {"optimizer": {"lr": 1, "weight_decay": 2}, "dropout": 0.1, "epochs": 3, "n_layers": 2})
    for lens in LENSES:
        assert plain(merge(list(by_lens(tree, lens).values()))) == plain(tree)
    assert {path[-1] for path, _ in leaves(by_lens(tree, "regularisation")["regularisation"])} == {
        "weight_decay",
        "dropout",
    }


def corpus(name):
    file = CONFIGS / f"{name}.jsonl.gz"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    with gzip.open(file, "rt") as lines:
        return [json.loads(line)["config"] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "known"), [("torchtune", 0.95), ("mmpretrain", 0.95)])
def test_public_configurations_come_back_exactly_and_find_their_chunks(name, known):
    roles = Counter()
    for config in corpus(name):
        tree = from_value("recipe", config)
        grouped = group(fold(tree))
        assert fullest(grouped) <= 7
        assert plain(unfold(ungroup(grouped))) == plain(tree)
        assert same_value(to_value(tree), config)
        recipe = Recipe(tree)
        assert loads(dumps(recipe)) == recipe
        assert len(recipe.view().items) <= 7
        label = role_label(tree)
        roles.update(label(path, setting) for path, setting in leaves(tree))
    assert 1 - roles["other"] / roles.total() >= known


def test_a_chunk_without_settings_is_kept():
    assert to_value(from_value("x", {"a": {}, "b": []})) == {"a": {}, "b": []}
    assert isinstance(from_value("x", {}), Setting)
    assert isinstance(from_value("x", {"a": 1}), Chunk)
