"""Values survive as exactly what they were, types included."""

import enum
import json
import math
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.recipe.codec import Opaque, Unread, canonical_text, content_id, decode, encode

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.text() | st.integers() | st.booleans()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner) | st.sets(st.integers()),
    max_leaves=12,
)


@given(VALUES)
def test_an_encoded_value_is_decoded_to_the_same_value_through_json(value):
    back = decode(json.loads(json.dumps(encode(value))))
    assert back == value
    assert canonical_text(encode(back)) == canonical_text(encode(value))


@given(VALUES)
def test_canonical_text_can_always_be_written(value):
    json.loads(canonical_text(encode(value)))


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        ((1, 2), [1, 2]),
        (0.0, -0.0),
        ({1: "a"}, {"1": "a"}),
        ({1, 2}, frozenset({1, 2})),
        (b"a", "a"),
        (PurePath("a"), "a"),
        (None, "None"),
        (Colour.RED, 1),
        ({"$": "tuple", "v": [1]}, (1,)),
        (math.nan, None),
        (math.inf, -math.inf),
    ],
)
def test_values_that_python_may_call_equal_have_different_ids(one, other):
    assert content_id(one) != content_id(other)


def test_nan_equals_itself_and_the_order_of_keys_does_not_count():
    assert content_id(math.nan) == content_id(float("nan"))
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})


def test_a_value_that_cannot_be_written_exactly_is_opaque():
    assert decode(encode(object())) == Opaque(type="builtins.object")
    assert decode(encode(Unread(type="source", text="nn.ReLU"))) == Unread(type="source", text="nn.ReLU")
