"""What differs between two recipes, why, and in how few lines it is written."""

import pytest
from tests.recipe.undone import patch

from palate.errors import InputError
from palate.recipe.codec import Opaque, Secret, Tensor, Unread
from palate.recipe.diff import ABSENT, diff
from palate.recipe.difference import difference_lines, explain, merged_words
from palate.recipe.document import dumps, loads
from palate.recipe.recipe import Recipe
from palate.recipe.tree import PARAMETER, Chunk, Note, Origin, Setting, chunk_id, path_text
from palate.recipe.values import from_value


def tree(**value):
    return from_value("recipe", value)


def recipe(**value):
    return Recipe(tree(**value))


def edits(one, other):
    return [(path_text(edit.path), getattr(edit.before, "value", None), getattr(edit.after, "value", None)) for edit in
            diff(one, other)]  # fmt: skip


def test_a_transform_inserted_at_the_front_is_one_edit():
    one = tree(pipeline=[{"type": "Load"}, {"type": "Crop", "size": 8}, {"type": "Pack"}])
    other = tree(pipeline=[{"type": "Load"}, {"type": "Flip", "p": 0.5}, {"type": "Crop", "size": 9}, {"type": "Pack"}])
    changed = diff(one, other)
    assert [path_text(edit.path) for edit in changed] == ["pipeline.1", "pipeline.2.size"]
    assert changed[0].before is None
    assert changed[1].steps[1] == (1, 2)
    assert chunk_id(patch(one, changed)) == chunk_id(other)


def test_values_that_python_calls_equal_differ():
    assert edits(tree(a=1), tree(a=1.0)) == [("a", 1, 1.0)]
    assert edits(tree(a=True), tree(a=1)) == [("a", True, 1)]
    assert edits(tree(a=(1, 2)), tree(a=[1, 2])) == [("a", (1, 2), [1, 2])]
    assert edits(tree(a=None, b=1), tree(b=1)) == [("a", None, None)]
    assert diff(tree(a=None, b=1), tree(b=1))[0].steps == (("a", ABSENT),)


def test_dictionaries_differ_by_name_whatever_their_order():
    assert edits(tree(a=1, b=2), tree(b=2, a=1)) == []


def test_a_value_that_cannot_be_compared_is_never_called_the_same():
    unknown = tree(sampler=Opaque(type="my.Sampler"), lr=1)
    [edit] = diff(unknown, tree(sampler=Opaque(type="my.Sampler"), lr=1))
    assert not edit.comparable
    difference = explain(Recipe(unknown), Recipe(unknown))
    assert difference.changes == ()
    assert difference_lines(difference) == [
        "No difference that can be seen. Same: optimiser 1.",
        "not comparable: sampler cannot be compared (<Sampler, content unknown>).",
    ]
    known = tree(sampler=Opaque(type="my.Sampler", fingerprint="ab"))
    assert diff(known, known) == ()


def test_equal_changes_in_many_places_are_one_line():
    layers = {f"layer{n}": {"mlp": {"dropout": 0.1, "width": 4}} for n in range(48)}
    other = {name: {"mlp": {"dropout": 0.0, "width": 4}} for name in layers}
    difference = explain(recipe(model=layers), recipe(model=other))
    assert merged_words(difference.changes) == ("48 x dropout 0.1 -> 0",)
    assert difference.same["model"] == 48


def test_every_change_has_one_reason():
    def built(lr, epochs, momentum, version, place, log):
        items = (
            Setting("lr", lr),
            Setting("epochs", epochs),
            Setting("momentum", momentum, Origin.DEFAULT, f"torch {version} SGD"),
            Setting("log_level", log),
            Setting("weight_decay", lr / 10),
        )
        env = Chunk("env", "dict", (Setting("cores", place, Origin.AMBIENT),))
        return Recipe(Chunk("recipe", "dict", items), env=env)

    one = built(1.0, 3, 0.0, "2.1", 4, "info")
    applied = Recipe(Chunk("recipe", "dict", (Setting("lr", 2.0), *one.root.items[1:4], Setting("weight_decay", 0.2))))
    other = built(2.0, 5, 0.9, "2.2", 8, "debug")
    reasons = {
        path_text(change.edit.path): change.reason
        for change in explain(one, other, declared=["lr"], entailed=applied).changes
    }
    assert reasons == {
        "lr": "declared",
        "weight_decay": "entailed",
        "epochs": "co-change",
        "momentum": "default drift",
        "cores": "ambient",
        "log_level": "run-only",
    }


def test_the_warning_counts_what_confounds():
    one = recipe(model={"name": "full"}, optimizer={"lr": 1e-5}, epochs=1)
    other = recipe(model={"name": "lora"}, optimizer={"lr": 3e-4}, epochs=2)
    lines = difference_lines(explain(one, other, declared=["model"]))
    assert lines[-2] == (
        "A verdict about the declared change would be confounded by 2 settings in 2 chunks (optimiser, schedule)."
    )
    assert "CO-CHANGE" in lines[1]
    assert difference_lines(explain(one, other, declared=["model", "optimiser", "epochs"]))[-1].endswith("1 changed")


def test_ties_on_one_side_only_are_a_change():
    model = Chunk("m", "module", (Setting("a", 1), Setting("b", 1)))
    tied = Recipe(model, (((("a"),), ("b",)),))
    [change] = explain(Recipe(model), tied).changes
    assert change.edit.after.value == "a = b"
    assert tied.id != Recipe(model).id


def test_of_secrets_only_whether_they_are_equal_is_known():
    one, other = recipe(hub_token=Secret(hash="a" * 32)), recipe(hub_token=Secret(hash="b" * 32))
    assert explain(one, one).changes == ()
    assert merged_words(explain(one, other).changes) == ("hub_token secret aaaaaa -> secret bbbbbb",)


def test_a_half_written_recipe_is_refused():
    text = dumps(recipe(a=1))
    with pytest.raises(InputError, match="not a complete JSON"):
        loads(text[: len(text) // 2])
    with pytest.raises(InputError, match="damaged"):
        loads('{"schema": "palate.recipe/1", "root": ["c", "x"]}')
    with pytest.raises(InputError, match="changed after it was written"):
        loads(text.replace('["s","a",1,', '["s","a",2,'))
    with pytest.raises(InputError, match="not a recipe"):
        loads("{}")


def test_notes_and_origins_survive_but_do_not_change_the_id():
    one = Recipe(Chunk("r", "dict", (Setting("lr", 1, Origin.DEFAULT, "torch"),)), notes=(Note("dead", "lr", "x"),))
    assert loads(dumps(one)) == one
    assert one.id == recipe(lr=1).id


def test_a_value_that_contains_itself_or_is_nested_too_deep_is_refused():
    knot = {}
    knot["knot"] = knot
    with pytest.raises(InputError, match="contains itself"):
        from_value("x", knot)
    deep = {"a": 1}
    for _ in range(200):
        deep = {"a": deep}
    with pytest.raises(InputError, match="nested more than 100 deep"):
        from_value("x", deep)


def test_no_difference_is_never_said_flatly_of_what_was_not_looked_at():
    nothing_seen = Note("unseen", "", "no optimizer stepped")
    code = Setting("act", Unread(type="source", text="nn.ReLU"))
    weight = Setting("weight", Tensor(shape=(2, 2), dtype="float32", grad=True), Origin.SET, PARAMETER)
    root = Chunk("recipe", "dict", (code, weight, Setting("lr", 0.1)))
    one = Recipe(root, notes=(nothing_seen,))
    assert difference_lines(explain(one, Recipe(root)))[0].startswith("No difference that can be seen. Same: ")
    assert difference_lines(explain(one, Recipe(root)))[1:] == [
        "not seen: no optimizer stepped; act is known only as the code nn.ReLU; what 1 tensor holds was not read."
    ]
    assert explain(recipe(lr=1), recipe(lr=1)).unseen == ()
    more = Recipe(Chunk("recipe", "dict", tuple(Setting(f"a{k}", code.value) for k in range(9))))
    assert explain(more, more).unseen[-1] == "5 more values are known only as code"
