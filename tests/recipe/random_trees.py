"""Random recipes for the laws: nested values with every kind of key and value, and rows of similar layers."""

import math
import random
from pathlib import PurePosixPath

from hypothesis import strategies as st

from palate.recipe.codec import Opaque, Secret, Symbol, Tensor, canonical_text, encode
from palate.recipe.tree import PARAMETER, Chunk, Origin, Setting
from palate.recipe.values import from_value

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.floats(allow_nan=True)
    | st.sampled_from(["", "a", "a.b", "layer1", "layer_02", "cosine", math.inf, -0.0, 0.0, 1, 1.0, True])
    | st.sampled_from([b"x", PurePosixPath("a/b"), (1, 2), [1.0, 2], {1, 2}, frozenset({3}), {}, []])
    | st.builds(Symbol, kind=st.just("class"), text=st.sampled_from(["torch.nn.ReLU", "torch.nn.GELU"]))
    | st.builds(Tensor, shape=st.tuples(st.integers(1, 4)), dtype=st.sampled_from(["fp32", "bf16"]), grad=st.booleans())
    | st.builds(Secret, hash=st.sampled_from(["aa", "bb"]))
    | st.builds(Opaque, type=st.just("a.B"), fingerprint=st.sampled_from(["aa", "bb"]))
)
KEYS = st.sampled_from(["lr", "a.b", "layer1", "layer2", "layer3", "type", "b", 'q"', 0, 1, 7, True, None, (1, 2), ""])
NESTED = st.recursive(
    SCALARS,
    lambda inner: (
        st.dictionaries(KEYS, inner, max_size=5)
        | st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.builds(lambda value, n: [value] * n, inner, st.integers(2, 5))
    ),
    max_leaves=14,
)
CONFIGS = st.dictionaries(KEYS, NESTED, min_size=1, max_size=6).map(lambda value: from_value("recipe", value))


@st.composite
def layers(draw):
    """A row of layers: periods, steps, choices, other classes in between."""
    period = draw(st.lists(st.sampled_from(["Linear", "ReLU", "Block"]), min_size=1, max_size=3))
    count = draw(st.integers(1, 6))
    options = draw(st.lists(SCALARS, min_size=1, max_size=3))
    first = draw(st.integers(0, 3))
    rows = []
    for number in range(count * len(period)):
        name = period[number % len(period)]
        items = [Setting("class", Symbol(kind="class", text=f"x.{name}")), Setting("index", first + number)]
        items.append(Setting("kind", options[number % len(options)], draw(st.sampled_from(Origin)), f"m.py:{number}"))
        if name == "Block":
            inner = [Chunk(k, "module", (Setting("class", "x.Inner"), Setting("index", number))) for k in range(3)]
            items.append(Chunk("inner", "module", tuple(inner)))
        rows.append(Chunk(number, "module", tuple(items)))
    if draw(st.booleans()):
        rows.insert(draw(st.integers(0, len(rows))), Chunk("extra", "module", (Setting("class", "x.Extra"),)))
    own = [Setting(f"{draw(st.sampled_from(['a_', 'b_', '']))}{k}", k) for k in range(draw(st.integers(0, 12)))]
    return Chunk("model", "module", tuple(draw(st.permutations([Setting("class", "x.Net"), *own])) + rows))


def linear(name, width, *, biased, frozen):
    tensor = lambda *shape: Tensor(shape=shape, dtype="fp32", grad=not frozen)  # noqa: E731
    bias = Setting("bias", tensor(width), Origin.SET, PARAMETER) if biased else Setting("bias", None)
    symbol = Symbol(kind="class", text="torch.nn.Linear")
    weight = Setting("weight", tensor(width, width), Origin.SET, PARAMETER)
    return Chunk(name, "module", (Setting("class", symbol), Setting("width", width), weight, bias))


@st.composite
def networks(draw):
    """A model whose layers repeat in long patterns of one class, with layers that stand in several places."""
    widths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=16))
    return network("model", widths * draw(st.integers(1, 3)), random.Random(draw(st.integers(0, 99))))


def network(name, widths, rng):
    rows = []
    for place, width in enumerate(widths):
        kind = rng.randrange(10)
        if kind == 0 and rows:
            rows.append(Setting(place, Symbol(kind="reference", text=str(rng.randrange(place)))))
        elif kind == 1 and name == "model":
            rows.append(network(place, rng.choices(range(1, 9), k=width), rng))
        else:
            rows.append(linear(place, width, biased=kind > 2, frozen=rng.random() < 0.1))
    own = [Setting(f"{rng.choice(['a_', 'b_', ''])}{k}k", k) for k in range(rng.randrange(9))]
    return Chunk(name, "module", (Setting("class", "x.Net"), *own, *rows))


TREES = CONFIGS | layers() | networks()


def plain(item):
    """An exact tree as text: order, provenance and types included."""
    if isinstance(item, Setting):
        return canonical_text([encode(item.name), encode(item.value), item.origin.value, item.source])
    head = canonical_text([encode(item.name), item.kind, None if item.places is None else list(item.places)])
    return f"{head}({','.join(map(plain, item.items))})"
