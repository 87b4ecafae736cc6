"""What others wrote is read within bounds: every text ends in a value or in an InputError that says why."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.bounded import DEEPEST, MOST_BYTES, MOST_TOML, MOST_VALUES, parse_json, parse_toml, read_text
from palate.capture.documents import MOST_YAML, read_file
from palate.capture.loader import MOST_NODES
from palate.cli.compare import read_values
from palate.errors import InputError, NotFoundError, PalateError, StoreError
from palate.forecast.answer import parse_forecast
from palate.recipe.document import dumps, loads
from palate.store.config import read_config
from palate.store.recipes import VOCABULARY, Recipes

DEEP = 100_000
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
LISTS = "a: &a [1, 2]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
JSON_TEXTS = {
    "deep list": "[" * DEEP + "]" * DEEP,
    "deep list within what is deep": "[" * 300 + "]" * 300,
    "deep object": '{"a":' * DEEP + "1" + "}" * DEEP,
    "half of a deep one": "[" * DEEP,
    "many": "[" + "0," * (MOST_VALUES + 1) + "0]",
    "many objects": "[" + "{}," * (MOST_VALUES // 2 + 1) + "0]",
    "large": '"' + "x" * (MOST_BYTES + 1) + '"',
    "digits": "9" * 10_000,
    "beyond": "1e999999",
    "nan": '{"a": NaN}',
    "infinite": "[-Infinity]",
    "twice": '{"a": 1, "a": 1}',
    "surrogate": '{"a": "\\ud800"}',
    "surrogate name": '{"\\uDFFF": 1}',
    "nul": "\0",
    "control": '"\x01"',
    "empty": "",
    "rest": "{} {}",
}
YAML_TEXTS = {
    "merges": MERGES,
    "lists": LISTS,
    "many": "- 1\n" * (MOST_NODES + 1),
    "aliases": "a: &a 1\nb: [" + "*a, " * MOST_NODES + "1]",
    "large": "a: " + "x" * MOST_YAML,
    "deep list": "a: " + "[" * DEEP,
    "deep blocks": "- " * DEEP + "1",
    "deep names": "? " * DEEP + "1",
    "itself": "a: &a [*a]",
    "itself merged": "a: &a {<<: *a}",
    "merged text": "a: {<<: text}",
    "python": "a: !!python/object/apply:os.system ['touch stolen']",
    "python name": "a: !!python/name:os.system",
    "binary": "a: !!binary '\u2026'",
    "date": "a: 2024-99-99",
    "digits": "a: " + "9" * 100_000,
    "base 60": "a: 1" + ":1" * 100_000,
    "base 60 fraction": "a: 1" + ":1" * 100_000 + ".0",
    "int of a list": "a: !!int [1]",
    "float of text": "a: !!float text",
    "list as a name": "[1, 2]: 3",
    "mapping as a name": "{a: 1}: 3",
    "twice": "a: 1\na: 1",
    "nul": "a: \0",
    "no anchor": "a: *b",
    "two": "a: 1\n---\nb: 1",
    "tag": "%TAG ! tag:x\n---\na: !b 1",
    "set": "a: !!set {1, 2, [3]}",
    "omap": "a: !!omap [1]",
    "text": "text",
    "empty": "",
}
TOML_TEXTS = {
    "dots": ".".join(["a"] * 20_000) + " = 1",
    "dots and spaces": " . ".join(["a"] * 20_000) + " = 1",
    "quoted dots": ".".join(['"a"'] * 20_000) + " = 1",
    "header": "[" + ".".join(["a"] * 20_000) + "]",
    "deep list": "a = " + "[" * DEEP,
    "deep table": "a = " + "{a = " * DEEP,
    "large": "a = '" + "x" * MOST_TOML + "'",
    "digits": "a = " + "9" * 100_000,
    "twice": "a = 1\na = 1",
    "date": "a = 2024-99-99",
    "nul": "a = '\0'",
    "text": "text",
}


@pytest.mark.parametrize("name", JSON_TEXTS)
def test_json_that_is_none_or_too_much_is_refused(name, tmp_path):
    text = JSON_TEXTS[name]
    with pytest.raises(InputError):
        parse_json(text, "The file")
    with pytest.raises(InputError):
        loads(text)
    with pytest.raises(InputError):
        parse_forecast(text)
    (tmp_path / VOCABULARY).write_text(text)
    with pytest.raises(StoreError, match="damaged"):
        Recipes(tmp_path).words()


@pytest.mark.parametrize("name", YAML_TEXTS)
def test_yaml_that_is_none_or_too_much_is_refused(name, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(YAML_TEXTS[name])
    for loader in ("yaml", "omegaconf") if len(YAML_TEXTS[name]) < 10_000 else ("yaml",):
        if (name, loader) != ("date", "omegaconf"):  # text there
            with pytest.raises(InputError):
                read_file(path, loader=loader)
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("name", TOML_TEXTS)
def test_toml_that_is_none_or_too_much_is_refused(name, tmp_path):
    with pytest.raises(InputError):
        parse_toml(TOML_TEXTS[name], "The file")
    (tmp_path / "pyproject.toml").write_text(TOML_TEXTS[name])
    with pytest.raises(InputError, match="cannot be used"):
        read_config(tmp_path, {}, tmp_path / "none.toml")


def test_a_bound_is_said():
    for text, bound in (("many", "1,000,000 values"), ("large", "16 MB"), ("deep list", "200 levels")):
        with pytest.raises(InputError, match=bound):
            parse_json(JSON_TEXTS[text], "The file")


def test_what_is_within_the_bounds_is_read_as_ever(tmp_path):
    deep = json.loads("[" * DEEPEST + "]" * DEEPEST)
    assert parse_json(json.dumps(deep), "The file") == deep
    commas = {"text": "," * (MOST_VALUES + 1), "\u2026": ["\U0001f600", '"[\\']}
    assert parse_json(json.dumps(commas), "The file") == commas
    assert math.isnan(parse_json("NaN", "The file", exact=False))
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 1, x: 5}], w: 2024-01-01}\n")
    plain = {setting.name: setting.value for chunk in read_file(path).root.items for setting in chunk.items}
    assert (plain["x"], plain["z"]) == (1, 1)


@pytest.mark.parametrize("content", ["\ufeff{}".encode("utf-16"), b"\xff\xfe\0", b"\xc3("])
def test_a_file_that_is_no_utf_8_is_told(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not UTF-8"):
        read_text(path)
    with pytest.raises(InputError):
        read_file(path)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(path) == "{}"


def test_what_cannot_be_a_file_is_told(tmp_path):
    with pytest.raises(NotFoundError):
        read_text(tmp_path / "none")
    for name in (".", "a\0b", "x" * 5000):
        with pytest.raises(InputError):
            read_text(tmp_path / name)


def test_of_an_endless_file_no_more_is_read_than_the_bound():
    from pathlib import Path

    with pytest.raises(InputError, match="larger than"):
        read_text(Path("/dev/zero"))


texts = st.text(st.characters(codec="utf-8"), max_size=60) | st.text("[]{}:,\"'&*<-!?.|> \n\tae109", max_size=60)


@given(text=texts)
def test_any_text_is_read_or_refused(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.yaml", "a.json", "a.toml"):
        (folder / name).write_text(text, newline="")
        ends(lambda path: read_file(path), folder / name)
    (folder / "pyproject.toml").write_text(text, newline="")
    ends(lambda here: read_config(here, {}, folder / "a.toml"), folder)
    for read in (parse_forecast, loads, read_values):
        ends(read, text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(value=values, data=st.data())
def test_a_recipe_that_was_changed_anywhere_is_refused_or_the_same(value, data):
    from palate.capture.adapters import recipe_of

    text = dumps(recipe_of({"lr": 0.1, "model": {"width": [8, {"a": (1, 2)}]}}))
    document = json.loads(text)
    place = document
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = value
            break
        place = place[key]
    ends(loads, json.dumps(document))


def ends(read, given):
    """Read something; it ends in a value or in a PalateError."""
    with contextlib.suppress(PalateError):
        read(given)


@pytest.mark.parametrize(
    "text", ['prompt = "{0}"', "prompt = '{0}'", 'p = """{0}\n{0}"""', "p = '''{0}'''", "a = 1 # {0}"]
)
def test_dots_of_strings_and_comments_are_no_parts_of_names(text):
    long = "One. Two. " * 200
    assert parse_toml(text.format(long), "it")


def test_a_comment_hides_no_name_of_many_parts():
    with pytest.raises(InputError, match="parts"):
        parse_toml("# '''\n" + ".".join("a" * 150) + " = 1\n# '''", "it")
