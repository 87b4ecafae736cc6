"""A module is found as `python -m` finds it, without importing anything, and its settings as those of a script."""

import json

import pytest

from palate.errors import InputError, NotFoundError
from palate.ledger.records import target_body, target_of
from palate.loop.incoming import _task as check_task
from palate.question.started import as_module
from palate.question.target import Task, find_target


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "pkg" / "inner"
    folder.mkdir(parents=True)
    (tmp_path / "pkg" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "pkg" / "config.py").write_text("LR = 0.1\n")
    (tmp_path / "pkg" / "train.py").write_text("from .config import LR\nfrom . import config\nseed = 0\nEPOCHS = 3\n")
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text("from ..config import LR\nEPOCHS = 3\n")
    (tmp_path / "space" / "deep").mkdir(parents=True)
    (tmp_path / "space" / "deep" / "train.py").write_text("lr = 0.1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_settings_are_those_of_the_module_and_of_what_it_imports(package):
    target = find_target("-m pkg.train", ["x"])
    assert dict(target.settings) == {"EPOCHS": 3, "config.LR": 0.1, "other_arguments": ("x",)}
    assert str(target.how["config.LR"]) == "constant pkg/config.py:LR"
    assert (target.label, target.task.module, target.typed) == ("pkg.train", "pkg.train", "-m pkg.train")
    assert target.task.file == str(package / "pkg" / "train.py")


@pytest.mark.parametrize(
    ("module", "file"), [("pkg.inner", "pkg/inner/__main__.py"), ("space.deep.train", "space/deep/train.py")]
)
def test_packages_with_a_main_module_and_without_an_init_file(package, module, file):
    target = find_target(f"-m {module}")
    assert target.task.file == str(package / file)
    assert len(target.settings) == (2 if module == "pkg.inner" else 1)


def test_a_module_is_no_script_of_the_same_file_and_is_kept_with_its_name(package):
    target = find_target("-m space.deep.train")
    body = target_body(target)
    check_task(json.loads(json.dumps(body["task"])), "task")
    assert target_of(body).task.module == "space.deep.train"
    assert "module" not in target_body(find_target("space/deep/train.py"))["task"]
    assert Task.read(target.task.body()) == target.task


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("-m pkg.trian", NotFoundError, "no module pkg.trian"),
        ("-m pkg", NotFoundError, "without __main__"),
        ("-m pkg/train.py", InputError, "not the name of a module"),
        ("-m train.py", InputError, "palate run -m train "),
        ("-m ", InputError, "not the name of a module"),
        ("-m zlib", (InputError, NotFoundError), "zlib"),
    ],
)
def test_what_python_would_not_start_is_refused(package, text, error, said):
    with pytest.raises(error, match=said):
        find_target(text)


def test_the_way_to_start_a_file_of_a_package_is_named(package, monkeypatch):
    assert as_module(package / "pkg" / "train.py", package) == "palate run -m pkg.train"
    assert as_module(package / "pkg" / "inner" / "__main__.py", package) == "palate run -m pkg.inner"
    assert as_module(package / "pkg" / "train.py", package / "pkg") == "cd ..; palate run -m pkg.train"


@pytest.mark.parametrize(
    ("words", "argv", "own"),
    [
        (["-c", 'python u.py "$@"'], ("bash", "-c", 'python u.py "$@"', "bash"), ()),
        (["-c", 'python u.py "$@"', "x", "--lr", "3"], ("bash", "-c", 'python u.py "$@"', "x"), ("--lr", "3")),
        (["-c", "python u.py"], ("bash", "-c", "python u.py"), ()),
    ],
)
def test_what_is_handed_to_the_text_of_a_shell_is_not_taken_for_its_name(tmp_path, monkeypatch, words, argv, own):
    """The first word behind the text is `$0`."""
    (tmp_path / "u.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr')\np.parse_args()\n"
    )
    monkeypatch.chdir(tmp_path)
    target = find_target("bash", words)
    assert (target.task.argv, tuple(target.argv)) == (argv, own)
