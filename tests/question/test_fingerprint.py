"""Code, data and packages count by their content; settings do not."""

import pytest
from tests.question.files import FUNCTION, write

from palate.errors import NotFoundError
from palate.question.fingerprint import code_of_file, data_of
from palate.question.source import read_source


def code(folder, text, **files):
    for name, content in files.items():
        write(folder, content, f"{name}.py")
    return code_of_file(read_source(write(folder, text)), "train")


def test_a_setting_is_recipe_and_not_code_while_everything_else_is_code(tmp_path):
    one = code(tmp_path, FUNCTION)
    assert code(tmp_path, FUNCTION.replace("lr=1e-3", "lr=5e-3")) == one
    assert code(tmp_path, FUNCTION.replace("import palate", "import palate  # a comment")) == one
    assert code(tmp_path, FUNCTION.replace("LIMIT = 3", "LIMIT = 4")) != one
    assert code(tmp_path, FUNCTION.replace("pass", "return 1")) != one


def test_a_local_module_counts_as_code_with_its_constants(tmp_path):
    text = "import helper\n" + FUNCTION
    one = code(tmp_path, text, helper="from deep import x\nWIDTH = 1", deep="x = 1")
    assert code(tmp_path, text, helper="from deep import x\nWIDTH = 2") != one
    assert code(tmp_path, text, helper="from deep import x\nWIDTH = 1") == one
    assert code(tmp_path, text, deep="x = 2") != one


def test_data_counts_by_content(tmp_path):
    write(tmp_path, "a", "x.csv")
    one = data_of(["x.csv"], tmp_path)
    write(tmp_path, "b", "x.csv")
    assert data_of(["x.csv"], tmp_path) != one
    assert data_of([], tmp_path) == ""
    with pytest.raises(NotFoundError, match="declared as data"):
        data_of(["y.csv"], tmp_path)
