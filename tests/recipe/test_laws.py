"""Laws of recipes: nothing is lost when they are folded, grouped, split, written or compared."""

import random
import re
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recipe.random_trees import CONFIGS, NESTED, TREES, layers, linear, networks, plain
from tests.recipe.undone import invert, merge, patch, to_value

from palate.recipe.codec import Symbol
from palate.recipe.diff import diff
from palate.recipe.document import dumps, loads
from palate.recipe.fold import fold, unfold
from palate.recipe.groups import count_leaves, fullest, group, is_layer_again, split, ungroup
from palate.recipe.recipe import Recipe
from palate.recipe.roles import LENSES
from palate.recipe.tree import PARAMETER, SEVEN, Chunk, Setting, chunk_id, leaves
from palate.recipe.values import from_value, same_value
from palate.recipe.view import lines, open_at, to_html, view
from palate.recipe.words import parameters


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


@given(networks())
def test_parameters_of_the_lines_add_up_to_those_of_the_model(tree):
    tensors = [setting.value for _, setting in leaves(tree) if setting.source == PARAMETER]
    grouped = group(fold(tree))
    assert parameters(grouped) == sum(prod(tensor.shape) for tensor in tensors)
    assert parameters(grouped, trained=True) == sum(prod(tensor.shape) for tensor in tensors if tensor.grad)


@given(TREES, st.sampled_from(["", *LENSES]))
def test_every_view_shows_every_setting_once(tree, lens):
    node = view(tree, lens=lens)
    assert settings_shown(node) == node.settings == len(list(leaves(tree)))
    assert len(lines(node, depth=99)) == nodes_in(node)
    assert to_html(node).count("<b>") == nodes_in(node)


@given(TREES)
def test_every_line_of_a_view_can_be_opened(tree):
    node = view(tree)
    for path, line in lines_below(node, ""):
        opened = open_at(node, path)
        assert opened is not None, path
        assert settings_shown(opened) == opened.settings, path
        assert line.settings == 0 or opened.settings > 0


@given(networks())
def test_the_outline_of_a_model_has_every_layer_once_those_that_stand_elsewhere_too_included(tree):
    placed = sum(1 for _ in layers_of(tree))
    assert layers_shown(view(tree), 1) == placed + 1  # the model itself


def test_a_row_of_unlike_layers_of_one_class_that_comes_twice_is_shown_whole():
    rows = [linear(place, width, biased=True, frozen=False) for place, width in enumerate((3, 9, 4, 2, 8, 5, 7, 6) * 2)]
    shown = lines(view(Chunk("model", "module", (Setting("class", "x.Net"), *rows))), depth=9, details=False)
    assert shown[0] == "model  Net, 656 parameters, fp32, 17 modules"
    assert shown[1] == "  2 x (8 Linear)  656 in all"
    assert sum("Linear  width" in line for line in shown) == 8


def test_a_layer_that_stands_in_several_places_has_a_line_in_each():
    layer = linear(0, 4, biased=True, frozen=False)
    again = [Setting(place, Symbol(kind="reference", text="0")) for place in (1, 2)]
    shown = lines(view(Chunk("model", "module", (Setting("class", "x.Net"), layer, *again))), depth=9, details=False)
    assert shown[2:] == ["  1  the same as 0", "  2  the same as 0"]


def settings_shown(node):
    """Count the settings of the lines, a repeat's as often as it says; the counts in between must agree."""
    if not node.items:
        return node.settings
    inside = sum(settings_shown(item) for item in node.items)
    times, rest = divmod(node.settings, inside)
    assert rest == 0
    assert times == 1 or re.search(r"\d+ x ", node.label)
    return times * inside


def nodes_in(node):
    return 1 + sum(map(nodes_in, node.items))


def lines_below(node, path):
    for item in node.items:
        label = re.sub(r"^\d+ x ", "", item.label)
        yield f"{path}{label}", item
        yield from lines_below(item, f"{path}{label}.")


def layers_of(item):
    for child in getattr(item, "items", ()):
        if is_layer_again(child) or isinstance(child, Chunk):
            yield child
            yield from layers_of(child)


def layers_shown(node, times):
    """Count the layers of an outline, a repeat's as often as it says."""
    if node.detail or node.label == "settings":
        assert not any(map(is_layer_line, node.items))
        return 0
    inside = sum(item.settings for item in node.items)
    times *= node.settings // inside if inside else 1
    grouping = re.search(r"x \(|^[^,]* \.\.\. [^,]*$", node.label)
    return (0 if grouping else times) + sum(layers_shown(item, times) for item in node.items)


def is_layer_line(node):
    return not node.detail or any(map(is_layer_line, node.items))


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
