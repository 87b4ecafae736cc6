"""A notebook is read as the program that its cells are, and written with other values and nothing else changed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.errors import InputError
from palate.question.notebooks import parameters_of, python_of, read_cells, with_python
from palate.question.target import find_target
from palate.question.ways.constants import with_constants


def notebook(*cells, language="python", nbformat=4, tags=()):
    made = [
        {"cell_type": "code", "metadata": {"tags": list(tags)} if place == 0 else {}, "outputs": [], "source": text}
        for place, text in enumerate(cells)
    ]
    words = {"cell_type": "markdown", "metadata": {}, "source": "lr = 9"}
    metadata = {"kernelspec": {"name": "k", "language": language}}
    return json.dumps({"cells": [words, *made], "metadata": metadata, "nbformat": nbformat}).encode()


@pytest.mark.parametrize(
    "cell",
    [
        "%matplotlib inline\nlr = 0.1",
        "!pip install x\nlr = 0.1",
        "files = !ls -l\nlr = 0.1",
        "out = %timeit -o f()\nlr = 0.1",
        "model?\nlr = 0.1",
        "?model\nlr = 0.1",
        "%%time\nlr = 0.1",
        "%%capture out\nlr = 0.1",
        "if True:\n    %cd ..\nlr = 0.1",
        "!wget a \\\n   b \\\n   c\nlr = 0.1",
        "x = await f()\nlr = 0.1",
        'text = """\n%matplotlib\n!ls\n"""\nlr = 0.1',
        "rest = 7 % 4\nlr = 0.1",
    ],
)
def test_magics_and_shell_commands_stay_and_constants_beside_them_are_changed(cell):
    content = notebook(cell, "print(lr)")
    changed = with_python(content, "n", lambda python: with_constants(python, {"lr": 0.5}))
    assert [one.text for one in read_cells(changed, "n")] == [cell.replace("lr = 0.1", "lr = 0.5"), "print(lr)"]
    assert json.loads(changed)["cells"][0] == json.loads(content)["cells"][0]


@given(st.lists(st.text(st.sampled_from("ab=1 %!?\\\n\"'#(:"), max_size=30), min_size=1, max_size=4))
def test_a_notebook_in_which_nothing_is_changed_stays_as_it_is(cells):
    content = notebook(*cells, "x = 1")
    assert json.loads(with_python(content, "n", lambda python: python))["cells"] == json.loads(content)["cells"]
    compile(python_of(content, "n"), "n", "exec", 0x2000)  # with top-level await


def test_a_cell_of_another_language_is_no_python_and_another_one_is_another_program():
    one, other = (python_of(notebook(f"%%bash\nlr={rate}", "x = 1"), "n") for rate in (1, 2))
    assert one != other
    assert b"\nx = 1" in one


def test_the_cell_that_is_tagged_parameters_comes_first(tmp_path):
    path = tmp_path / "n.ipynb"
    cells = json.loads(notebook("lr = 0.1\nseed = 0", tags=["parameters"]))
    before = json.loads(notebook("width = 3"))
    path.write_text(json.dumps({**cells, "cells": [*before["cells"], *cells["cells"]]}))
    assert "lr" in parameters_of(path.read_bytes(), "n")
    target = find_target(str(path))
    assert list(target.settings) == ["lr", "width"]
    assert str(target.seed_by) == "constant seed"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (notebook(), "has no code"),
        (notebook("  ", ""), "has no code"),
        (notebook("x <- 1", language="R"), "a notebook of R"),
        (notebook("x = 1", nbformat=3), "nbformat 3"),
        (b"{", "is not a notebook"),
        (b"[1]", "is not a notebook"),
        (b'{"nbformat": "4"}', "is not a notebook"),
        (b'{"nbformat": 4, "cells": 3}', "nbformat 4"),
        (b"[" * 100_000, "is not a notebook"),
        (b"\xff\xfe\x00", "is not a notebook"),
        (notebook("import palate\n@palate.experiment(metric='acc')\ndef f(run, lr=.1): ..."), "declares experiments"),
    ],
)
def test_what_cannot_be_run_is_refused_in_clear_words(content, said, tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        find_target(str(path))


def test_outputs_do_not_count_and_code_does(tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_bytes(notebook("lr = 0.1", "print(lr)"))
    before = find_target(str(path)).code
    path.write_bytes(path.read_bytes().replace(b'"outputs": []', b'"outputs": [{"text": "7"}]'))
    assert find_target(str(path)).code == before
    path.write_bytes(path.read_bytes().replace(b"print(lr)", b"print(2 * lr)"))
    assert find_target(str(path)).code != before
