"""What a person points at has a recipe: a file, an object, a run, an experiment."""

import pytest

from palate.capture.adapters import recipe_of
from palate.errors import InputError, NotFoundError
from palate.loop.recipes import arms_of, find_recipe
from palate.recipe.tree import leaves, path_text
from palate.store.recipes import Recipes


def values(recipe):
    return {path_text(path): setting.value for path, setting in leaves(recipe.root)}


def test_a_configuration_file_is_a_recipe(trained):
    path = trained.write("lr: 0.1\nmodel:\n  width: 8\n", "a.yaml")
    assert set(values(find_recipe(str(path), trained.project)).values()) == {0.1, 8}


def test_an_object_or_what_a_function_builds_is_a_recipe_and_its_module_is_forgotten(trained):
    path = trained.write("WIDTH = 8\nsettings = {'width': WIDTH}\ndef build():\n    return settings\n", "net_of_a.py")
    one = find_recipe(f"{path}:settings", trained.project)
    assert one == find_recipe(f"{path}:build", trained.project)
    assert list(values(one).values()) == [8]
    trained.write("settings = {'width': 9}\n", "net_of_a.py")
    assert list(values(find_recipe(f"{path}:settings", trained.project)).values()) == [9]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("none.py:build", NotFoundError, "no such file"),
        ("no_such_package.net:build", NotFoundError, "cannot be imported"),
        ("broken_net.py:build", InputError, "ZeroDivisionError"),
        ("odd_net.py:nothing", NotFoundError, "has no nothing"),
        ("odd_net.py:wants", InputError, "cannot be called without arguments"),
        ("odd_net.py:fails", InputError, "fails: ValueError: no"),
        ("notes.txt", InputError, "nothing that a recipe can be read from"),
        ("zzz", NotFoundError, "no run 'zzz'"),
        ("abcd", NotFoundError, "no experiment 'abcd'"),
        ("last", NotFoundError, "no experiment 'last'"),
    ],
)
def test_what_has_no_recipe_is_told_as_what_it_is(trained, monkeypatch, text, error, words):
    monkeypatch.chdir(trained.folder)
    trained.write("1 / 0", "broken_net.py")
    trained.write("def wants(x): ...\ndef fails():\n    raise ValueError('no')\n", "odd_net.py")
    trained.write("", "notes.txt")
    with pytest.raises(error, match=words):
        find_recipe(text, trained.project)


def test_runs_and_arms_have_the_recipe_that_was_captured_for_them(trained):
    question = trained.question(budget=2)
    trained.run(question)
    name = question.experiment
    for text in (name, f"{name}:baseline", "last", trained.runs[0]):
        with pytest.raises(NotFoundError, match="was not captured"):
            find_recipe(text, trained.project)
    kept = {arm: recipe_of({"settings": {"gain": gain}}) for arm, gain in (("baseline", 0.5), ("treatment", 0.9))}
    for arm, recipe in kept.items():
        Recipes(trained.project.home).keep(question.plan.keys[arm], recipe)
    assert find_recipe(name[:6], trained.project) == find_recipe("last", trained.project) == kept["treatment"]
    assert find_recipe(f"{name}:baseline", trained.project) == kept["baseline"]
    run = next(run for run in trained.runs if question.plan.keys["baseline"][:6] in run)
    assert find_recipe(run, trained.project) == kept["baseline"]
    assert arms_of(trained.project, "last") == (kept["baseline"], kept["treatment"], ["settings.gain"])
