"""Laws of recipes: nothing is lost when they are folded, grouped, split, written or compared."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recipe.random_trees import CONFIGS, NESTED, TREES, layers, plain
from tests.recipe.undone import invert, merge, patch, to_value

from palate.recipe.diff import diff
from palate.recipe.document import dumps, loads
from palate.recipe.fold import fold, unfold
from palate.recipe.groups import count_leaves, fullest, group, split, ungroup
from palate.recipe.recipe import Recipe
from palate.recipe.tree import SEVEN, Chunk, chunk_id, leaves
from palate.recipe.values import from_value, same_value


@given(TREES)
def test_unfolding_a_folded_recipe_gives_the_recipe(tree):
    assert plain(unfold(fold(tree))) == plain(tree)


@given(TREES)
def test_a_grouped_level_never_shows_more_than_seven_and_is_taken_apart_exactly(tree):
    folded = fold(tree)
    grouped = group(folded)
    assert fullest(grouped) <= SEVEN
    assert repr(ungroup(grouped)) == repr(folded)


@given(TREES)
def test_counts_add_up_to_the_settings(tree):
    grouped = group(fold(tree))
    assert count_leaves(grouped) == len(list(leaves(tree))) == sum(map(count_leaves, grouped.items))


@given(TREES, st.integers())
def test_splitting_by_any_labels_and_merging_gives_the_recipe(tree, seed):
    label = lambda path, setting: str(random.Random(f"{seed} {path} {setting.name}").randrange(3))  # noqa: E731
    parts = list(split(tree, label).values())
    assert plain(merge(parts)) == plain(tree)
    assert sum(map(count_leaves, parts)) == count_leaves(tree)


@given(TREES, st.integers())
def test_a_part_of_a_recipe_folds_and_unfolds_too(tree, seed):
    label = lambda path, setting: str(random.Random(f"{seed} {setting.name}").randrange(2))  # noqa: E731
    parts = [unfold(ungroup(group(fold(part)))) for part in split(tree, label).values()]
    assert plain(merge(parts)) == plain(tree)


@given(NESTED)
def test_a_value_made_into_a_tree_and_back_is_equal(value):
    assert same_value(to_value(from_value("x", value)), value)


@settings(max_examples=3 * settings().max_examples)  # the law that is hardest to keep
@given(TREES, TREES)
def test_a_difference_applied_gives_the_other_recipe_and_inverted_gives_the_first(one, other):
    edits = diff(one, other)
    assert chunk_id(patch(one, edits)) == chunk_id(Chunk(one.name, other.kind, other.items))
    assert repr(invert(edits)) == repr(diff(other, one))  # by text, so that NaN is itself


@given(layers(), st.integers(0, 5), st.integers(0, 5))
def test_a_dropped_and_a_swapped_layer_are_a_difference_that_can_be_applied(tree, drop, swap):
    items = list(tree.items)
    if drop < len(items):
        del items[drop]
    if swap + 1 < len(items):
        items[swap], items[swap + 1] = items[swap + 1], items[swap]
    other = Chunk(tree.name, tree.kind, tuple(items))
    # items with consecutive whole numbers as names are renumbered, as layers are when one is dropped
    number = iter(range(len(items)))
    named = tuple(Chunk(next(number), i.kind, i.items) if type(i.name) is int else i for i in other.items)
    other = Chunk(tree.name, tree.kind, named)
    edits = diff(tree, other)
    assert chunk_id(patch(tree, edits)) == chunk_id(other)
    assert repr(invert(edits)) == repr(diff(other, tree))


@given(TREES)
def test_a_recipe_does_not_differ_from_itself(tree):
    assert diff(tree, unfold(fold(tree))) == ()


@given(TREES)
def test_a_recipe_written_and_read_again_is_equal(tree):
    recipe = Recipe(tree)
    back = loads(dumps(recipe))
    assert plain(back.root) == plain(tree)
    assert (back.id, dumps(back)) == (recipe.id, dumps(recipe))


@given(CONFIGS)
def test_the_id_depends_on_the_values_alone(tree):
    turned = Chunk(tree.name, tree.kind, tuple(reversed(tree.items)))
    assert Recipe(tree).id == Recipe(turned).id
