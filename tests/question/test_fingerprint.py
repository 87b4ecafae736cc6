"""Code, data and packages count by their content; settings do not."""

import os
import subprocess
import sys

import pytest
from tests.question.files import FUNCTION, write

from palate.errors import InputError, NotFoundError
from palate.question.fingerprint import code_of_file, data_of, live_code
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
    with pytest.raises(InputError, match="cannot be read: Input/output error"):
        data_of(["/proc/self/mem"], tmp_path)


HEAD = "import dataclasses, enum, functools\nimport numpy as np\n"
REPLACED = {
    "a list": ("X = [1, [2]]", "X", "X = [1, [3]]"),
    "a number that equals it": ("X = 1", "X", "X = 1.0"),
    "a dictionary": ("X = {'a': {'b': 1}}", "X", "X = {'a': {'b': 2}}"),
    "a set": ("X = {'a', 'b'}", "X", "X = {'a', 'c'}"),
    "an array": ("X = np.arange(9.0)", "X", "X = np.arange(9.0) * 2"),
    "an array of another type": ("X = np.zeros(8, 'f4')", "X", "X = np.zeros(4, 'f8')"),
    "an array of objects": ("X = np.array([1, 'a', None])", "X", "X = np.array([1, 'a', 2])"),
    "one element of a large array": (
        "X = np.zeros(3_000_000)", "X", "X = np.zeros(3_000_000); X[1_234_567] = 1",
    ),
    "a generator's state": ("X = np.random.default_rng(0)", "X", "X = np.random.default_rng(1)"),
    "an object": (
        "class Box:\n    def __init__(self, x): self.x = x\nX = Box([1])", "X",
        "class Box:\n    def __init__(self, x): self.x = x\nX = Box([2])",
    ),
    "an object with slots": (
        "class Box:\n    __slots__ = ('x',)\nX = Box(); X.x = 1", "X",
        "class Box:\n    __slots__ = ('x',)\nX = Box(); X.x = 2",
    ),
    "the class of an object": (
        "class Box:\n    def f(self): return 1\nX = Box()", "X.f()", "class Box:\n    def f(self): return 2\nX = Box()",
    ),
    "a function": ("def g(): return 1", "g()", "def g(): return 2"),
    "a function that a function calls": (
        "def h(): return 1\ndef g(): return h()", "g()", "def h(): return 2\ndef g(): return h()",
    ),
    "what a function of a function holds": (
        "Y = 1\ndef g():\n    def h(): return Y\n    return h()", "g()",
        "Y = 2\ndef g():\n    def h(): return Y\n    return h()",
    ),
    "a lambda": ("g = lambda: 1", "g()", "g = lambda: 2"),
    "a lambda in a list": ("g = [lambda: 1]", "g", "g = [lambda: 2]"),
    "a default": ("def g(x=1): return x", "g()", "def g(x=2): return x"),
    "a default by name": ("def g(*, x=1): return x", "g()", "def g(*, x=2): return x"),
    "a closure": (
        "def make(x):\n    return lambda: x\ng = make(1)", "g()", "def make(x):\n    return lambda: x\ng = make(2)",
    ),
    "a partial": ("g = functools.partial(max, 1)", "g(0)", "g = functools.partial(max, 2)"),
    "what an exception does": (
        "def g():\n    try: return X\n    except NameError: return 1", "g()",
        "def g():\n    try: return X\n    except TypeError: return 1",
    ),
    "a decorator": (
        "def twice(f):\n    return lambda: 2 * f()\n@twice\ndef g(): return 1", "g()",
        "def twice(f):\n    return lambda: 3 * f()\n@twice\ndef g(): return 1",
    ),
    "what a decorator wraps": (
        "@functools.lru_cache\ndef g(): return 1", "g()", "@functools.lru_cache\ndef g(): return 2",
    ),
    "a method": ("class M:\n    def f(self): return 1", "M().f()", "class M:\n    def f(self): return 2"),
    "a method of a base": (
        "class B:\n    def f(self): return 1\nclass M(B): pass", "M().f()",
        "class B:\n    def f(self): return 2\nclass M(B): pass",
    ),
    "a method of a class in a method": (
        "class B:\n    def f(self): return 1\nclass M:\n    def f(self): return B().f()", "M().f()",
        "class B:\n    def f(self): return 2\nclass M:\n    def f(self): return B().f()",
    ),
    "a static method": (
        "class M:\n    @staticmethod\n    def f(): return 1", "M.f()",
        "class M:\n    @staticmethod\n    def f(): return 2",
    ),
    "a property": (
        "class M:\n    @property\n    def f(self): return 1", "M().f",
        "class M:\n    @property\n    def f(self): return 2",
    ),
    "an attribute of a class": ("class M:\n    width = 1", "M.width", "class M:\n    width = 2"),
    "a field of a dataclass": (
        "@dataclasses.dataclass\nclass M:\n    width: int = 1", "M()",
        "@dataclasses.dataclass\nclass M:\n    width: int = 2",
    ),
    "a member of an enum": ("class E(enum.Enum):\n    A = 1", "E.A", "class E(enum.Enum):\n    A = 2"),
    "a bound method": (
        "class M:\n    def __init__(self, x): self.x = x\n    def f(self): return self.x\ng = M(1).f", "g()",
        "class M:\n    def __init__(self, x): self.x = x\n    def f(self): return self.x\ng = M(2).f",
    ),
    "what contains itself": ("X = [1]; X.append(X)", "X", "X = [2]; X.append(X)"),
}  # fmt: skip


def cell(*lines):
    """Run cells of a notebook one after the other; give the function that trains."""
    names = {"__name__": "__main__"}
    for number, text in enumerate(lines):
        exec(compile(text, f"<cell {number}>", "exec"), names)
    return names["train"]


def live(*lines):
    return live_code(cell(HEAD, *lines), fresh="fresh")


@pytest.mark.parametrize(("before", "used", "after"), REPLACED.values(), ids=list(REPLACED))
def test_what_is_replaced_in_a_notebook_makes_other_runs_and_a_cell_run_again_does_not(before, used, after):
    train = f"def train(run):\n    return {used}"
    one = live(before, train)
    assert one.unread == ()
    assert one == live(before, train)
    assert one == live("import sys", "Z = 1", before, "unused = 3", "\n\n" + train)  # other cells, another line
    assert live(after, train).id != one.id
    assert live(train, before, train).id == one.id


def test_a_default_is_a_setting_unless_a_setting_has_no_more_than_its_name():
    plain = "def train(run, *, lr=.1): return lr"
    assert live(plain) == live(plain.replace(".1", ".2"))
    model = "class M:\n    def f(self): return 1"
    typed = "def train(run, *, net=M): return net().f()"
    assert live(model, typed) == live(model, typed)
    assert live(model, typed) != live(model.replace("1", "2"), typed)


def test_a_local_module_counts_by_its_file_however_it_is_reached(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, head, used in (
        ("aliased", "import {0} as h", "h.x"),
        ("taken", "from {0} import f", "f()"),
        ("typed", "from {0} import M", "M()"),
        ("inside", "", "__import__"),
    ):
        write(tmp_path, "x = 1\ndef f(): return x\nclass M: pass\n", f"{name}.py")
        first = head.format(name)
        train = (
            f"def train(run):\n    import {name}\n    return {used}" if not head else f"def train(run): return {used}"
        )
        one = live(first, train)
        assert one == live(first, train)
        write(tmp_path, "x = 2\ndef f(): return x\nclass M: pass\n", f"{name}.py")
        assert live(first, train) != one, name


@pytest.mark.parametrize("init", [True, False], ids=["a package", "a folder"])
def test_a_local_package_counts_by_all_its_files_whatever_was_imported_of_it(init, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"packed{init}"
    (tmp_path / name).mkdir()
    if init:
        write(tmp_path, "", f"{name}/__init__.py")
    write(tmp_path, "import beside\ndef f(): return 1\n", f"{name}/deep.py")
    write(tmp_path, "x = 1\n", f"{name}/other.py")
    write(tmp_path, "y = 1\n", "beside.py")
    train = f"def train(run): return {name}.deep.f()"
    one = live(f"import {name}", train)
    assert live(f"import {name}.deep, {name}.other", train) == one
    write(tmp_path, "import beside\ndef f(): return 2\n", f"{name}/deep.py")
    two = live(f"import {name}", train)
    write(tmp_path, "y = 2\n", "beside.py")
    assert len({one.id, two.id, live(f"import {name}", train).id}) == 3


def test_what_cannot_be_hashed_is_told_and_never_the_same_twice():
    for head, used in (
        ("import threading\nX = threading.Lock()", "X"),
        ("X = (n for n in range(3))", "X"),
        ("", "globals()['X']"),
    ):
        train = cell(HEAD, head, f"def train(run): return {used}")
        one = live_code(train, fresh="a")
        assert one.unread, used
        assert live_code(train, fresh="b").id != one.id
        assert live_code(train, fresh="one").id != live_code(train, fresh="other").id
    assert "X holds a lock, which cannot be hashed" in live("import threading\nX = threading.Lock()",
                                                            "def train(run): return X").unread[0]  # fmt: skip
    deep = "X = []\nfor _ in range(100_000): X = [X]"
    assert live(deep, "def train(run): return X").unread == ("train is nested too deep",)


SAME_EVERYWHERE = """
import sys
from palate.question.fingerprint import live_code
cell = '''
import enum
X = {"a", "b", "c", None, 1.5}
Y = {"k": [1, 2.5, "x"], 3: (None, b"x")}
class E(enum.Flag):
    A = 1
    B = 2
class M:
    names = frozenset({"p", "q", "r"})
    def f(self, x): return x in {"u", "v", "w"} or any(y in M.names for y in "abc")
def train(run): return M().f(E.A), X, Y
'''
names = {"__name__": "__main__"}
exec(cell, names)
code = live_code(names["train"], fresh="x")
print(code.id, code.unread)
"""


def test_it_is_the_same_in_every_process():
    said = {
        subprocess.run(
            [sys.executable, "-c", SAME_EVERYWHERE], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
            check=True, text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(said) == 1
    assert said.pop().endswith(" ()\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("X = torch.zeros(3)", "X = torch.ones(3)"),
        ("X = torch.zeros(3, dtype=torch.bfloat16)", "X = torch.ones(3, dtype=torch.bfloat16)"),
        ("X = torch.eye(3).to_sparse()", "X = (2 * torch.eye(3)).to_sparse()"),
        ("torch.manual_seed(0); X = torch.nn.Linear(2, 2)", "torch.manual_seed(1); X = torch.nn.Linear(2, 2)"),
        ("X = TensorDataset(torch.zeros(9))", "X = TensorDataset(torch.ones(9))"),
        ("X = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})", "X = pd.DataFrame({'a': [1, 2], 'b': ['x', 'z']})"),
        ("X = pd.Series([1, 2], index=[0, 1])", "X = pd.Series([1, 2], index=[0, 2])"),
        ("X = pd.Series(pd.Categorical(['a', 'b']))", "X = pd.Series(pd.Categorical(['b', 'a']))"),
        ("X = pd.date_range('2026', periods=3)", "X = pd.date_range('2027', periods=3)"),
        ("X = pd.MultiIndex.from_product([[1], [2, 3]])", "X = pd.MultiIndex.from_product([[1], [2, 4]])"),
        (
            "class Net(torch.nn.Module):\n    def forward(self, x): return x",
            "class Net(torch.nn.Module):\n    def forward(self, x): return 2 * x",
        ),
    ],
)
def test_tensors_models_and_frames_count_by_what_they_hold(before, after):
    pytest.importorskip("torch")
    pytest.importorskip("pandas")
    head = "import pandas as pd\nimport torch\nfrom torch.utils.data import TensorDataset"
    train = f"def train(run): return {'Net' if 'Net' in before else 'X'}"
    one = live(head, before, train)
    assert one.unread == ()
    assert one == live(head, before, train)
    assert one != live(head, after, train)
