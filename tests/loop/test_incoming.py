"""A received file is what palate writes, or is refused with what is wrong; whatever it says, nothing breaks later."""

import contextlib
import copy
import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.loop.written_project import WrittenProject
from tests.store.transcript import GOLDEN

from palate.errors import InputError, PalateError
from palate.ledger.records import question_of
from palate.loop.exchange import read_export, take_in
from palate.loop.incoming import _number
from palate.loop.run import report_now
from palate.loop.trust import command_lines
from palate.question.question import Question
from palate.store.catalog import Catalog

FILES = sorted((GOLDEN / "exports").glob("*.json"))
WHOLE = json.loads((GOLDEN / "exports" / "asked-whole.json").read_text())
DEEP = {"$": "tuple", "v": [[1]]}


def changed(place, value):
    """Give the export with one place of it changed; `place` is a path of names and numbers."""
    document = copy.deepcopy(WHOLE)
    inner = document
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return document


def without(place):
    document = changed(place, None)
    inner = document
    for name in place[:-1]:
        inner = inner[name]
    del inner[place[-1]]
    return document


TARGET = ("question", "target")
BAD = {
    "a path as label": changed((*TARGET, "label"), "../../x"),
    "a label of one slash": changed((*TARGET, "label"), "/"),
    "a long label": changed((*TARGET, "label"), "x" * 10_000),
    "a label with a NUL": changed((*TARGET, "label"), "a\0"),
    "a label with an escape": changed((*TARGET, "label"), "\x1b[2J"),
    "no label": changed((*TARGET, "label"), None),
    "an id as a path": changed(("question", "experiment"), "../../x"),
    "another id": changed(("question", "experiment"), "00000000"),
    "other recipes": changed(("question", "recipes", "treatment"), "0" * 64),
    "a long budget": changed(("question", "budget"), 10**9),
    "no budget": changed(("question", "budget"), True),
    "a margin of text": changed(("question", "margin"), "0.1"),
    "a metric's name": changed(("question", "metric", "name"), "a\nb"),
    "a goal": changed(("question", "metric", "goal"), "up"),
    "a value that counts": changed(("question", "take"), "first"),
    "an added field": changed(("question", "run"), "touch stolen"),
    "an added field of a task": changed((*TARGET, "task", "vouched"), True),
    "a task of two kinds": changed((*TARGET, "task", "argv"), ["touch", "stolen"]),
    "an unknown kind": changed((*TARGET, "task", "kind"), "shell"),
    "a kind of a list": changed((*TARGET, "task", "kind"), ["script"]),
    "a command without a word": changed((*TARGET, "task"), {"kind": "command", "argv": []}),
    "a command of numbers": changed((*TARGET, "task"), {"kind": "command", "argv": [1]}),
    "a command of text": changed((*TARGET, "task"), {"kind": "command", "argv": "touch stolen"}),
    "arguments of numbers": changed((*TARGET, "argv"), [1]),
    "an argument of a list": changed((*TARGET, "argv"), [{"$": "tuple", "v": ["a"]}]),
    "a secret of a list": changed((*TARGET, "settings", "gain"), {"$": "secret", "v": ["a"]}),
    "keys that are claimed": changed(("question", "kept"), {"baseline": "0" * 16, "treatment": "1" * 16}),
    "settings of a list": changed((*TARGET, "settings"), []),
    "an unknown value": changed((*TARGET, "settings", "gain"), {"$": "call", "v": "os.system"}),
    "a value that is none": changed((*TARGET, "settings", "gain"), {"$": "symbol", "v": ["class", {}, []]}),
    "a value with more": changed((*TARGET, "settings", "gain"), {"$": "tuple", "v": [], "w": 1}),
    "a way to hand over": changed((*TARGET, "how", "gain"), "eval"),
    "a variable that starts programs": changed((*TARGET, "how", "gain"), "environment LD_PRELOAD"),
    "a constant of a file elsewhere": changed((*TARGET, "how", "gain"), "constant ../../x.py:gain"),
    "a constant of a file of the system": changed((*TARGET, "how", "gain"), "constant /etc/x.py:gain"),
    "a place that is no number": changed((*TARGET, "how", "gain"), "position x"),
    "a seed by": changed((*TARGET, "seed_by"), 1),
    "a place": changed((*TARGET, "task", "place"), {"root": "/"}),
    "an author": changed(("forecasts", 0, "body", "author"), "a\nb"),
    "an author of a list": changed(("forecasts", 0, "body", "author"), ["ada"]),
    "evidence of text": changed(("forecasts", 0, "body", "evidence_seen"), "0"),
    "seeds": changed(("forecasts", 0, "body", "seeds"), [0]),
    "no reference": changed(("forecasts", 0, "body", "reference"), {}),
    "a hash as a path": changed(("forecasts", 0, "hash"), "../../x"),
    "a time": changed(("forecasts", 0, "at"), "now"),
    "a sure answer": changed(("forecasts", 0, "body", "confidence"), 10**6),
    "no forecasts": without(("forecasts",)),
    "no target": without(TARGET),
    "no code": without((*TARGET, "code")),
    "a question of text": changed(("question",), "x"),
    "a list": [WHOLE],
    "a number": 1,
}


def read(folder, document):
    path = folder / "q.json"
    path.write_text(json.dumps(document))
    return read_export(path)


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_not_what_palate_writes_is_refused_with_what_is_wrong(name, tmp_path):
    with pytest.raises(InputError, match="is not a file of sealed forecasts") as refused:
        read(tmp_path, BAD[name])
    assert refused.value.why


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_palate_wrote_is_read_as_ever(file):
    assert isinstance(read_export(file).question, Question)


def test_the_bounds_of_what_is_read_hold_here_too(tmp_path):
    path = tmp_path / "q.json"
    for text in ("[" * 100_000, '{"schema": NaN}', '{"a": 1, "a": 2}', "x" * (17 << 20), '"\\ud800"', "9" * 10_000):
        path.write_text(text)
        with pytest.raises(InputError):
            read_export(path)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bob")
    return WrittenProject(folder)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_changed_anywhere_is_refused_or_taken_in_and_nothing_breaks(data, project, tmp_path):
    document = copy.deepcopy(WHOLE)
    document["forecasts"] = data.draw(st.sampled_from([[], document["forecasts"]]))
    inner, value = document, data.draw(ODD)
    while True:
        names = list(inner) if isinstance(inner, dict) else range(len(inner))
        name = data.draw(st.sampled_from(list(names)))
        if not isinstance(inner[name], dict | list) or not inner[name] or data.draw(st.integers(0, 9)) == 0:
            inner[name] = value
            break
        inner = inner[name]
    with contextlib.suppress(Exception):  # its ids fit what it holds, as somebody who means harm makes them
        made = question_of(document["question"])
        document["question"] |= {"experiment": made.experiment, "recipes": dict(made.plan.recipes)}
    with contextlib.suppress(PalateError), Catalog.open(project.project) as catalog:
        taken = take_in(catalog, read(tmp_path, document), now=datetime.now(UTC))
        question = project.ledger.read(taken.experiment).question
        assert question.target.task.vouched is False
        assert command_lines(question)
        assert report_now(project.project, taken.experiment, "bob").lines()


ODD = (
    st.sampled_from([None, True, -1, 2**70, 1e308, "", "../../x", "/", "a\0", "\x1b[2J", [], {}, [[]], DEEP, "x" * 300])
    | st.text(max_size=10)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), True, "1"], ids=lambda value: str(value)[:5])
def test_what_is_no_number_that_can_be_used_is_refused(value):
    with pytest.raises(ValueError, match="number"):
        _number(value, "margin")
