"""What benchmarks, scripts and tests import from this project is there, also where only a hand runs them."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("palate", "benchmarks", "tests", "scripts")
BY_HAND = [
    *ROOT.glob("benchmarks/*.py"),
    *ROOT.glob("scripts/*.py"),
    *ROOT.glob("docs/*.py"),
    *ROOT.glob("tests/store/make_*.py"),
]


def imports_of(text: str) -> list[tuple[str, str]]:
    """List (module, name) of what is imported from this project, wherever the import stands."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module]
    ours = [node for node in nodes if node.module.split(".")[0] in OURS]
    return [(node.module, alias.name) for node in ours for alias in node.names]


def is_there(module: str, name: str) -> bool:
    try:
        if hasattr(import_module(module), name):
            return True
        import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("path", BY_HAND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_imported_is_there(path):
    assert [f"{module}.{name}" for module, name in imports_of(path.read_text()) if not is_there(module, name)] == []


def test_what_is_missing_is_noticed():
    (found,) = imports_of("def late():\n    from palate.errors import InputErrors\n")
    assert found == ("palate.errors", "InputErrors")
    assert not is_there(*found)
    assert not is_there("palate.kitchen", "Pool")
