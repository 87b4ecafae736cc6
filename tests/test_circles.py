"""The count of import circles, on small trees."""

import subprocess
import sys
from pathlib import Path

import pytest
from scripts.circles import arrows_within, find_circles, read_arrows

SCRIPT = Path(__file__).parents[1] / "scripts" / "circles.py"

ROUND = {
    "__init__.py": "",
    "a.py": "from pack.part import b\n",
    "part/__init__.py": "",
    "part/b.py": "def late():\n    from .c import thing\n    return thing\n",
    "part/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pack.a\nthing = 1\n",
    "d.py": "import os\nfrom pack.a import b\n",
}
STRAIGHT = {
    "__init__.py": "def late():\n    from pack.part.b import thing\n",
    "part/__init__.py": "",
    "part/b.py": "from . import c\nfrom pack.part import d\nthing = 1\n",
    "part/c.py": "from .d import other\n",
    "part/d.py": "import json\nother = 2\n",
}


@pytest.fixture
def package(tmp_path):
    def make(files):
        for name, text in files.items():
            place = tmp_path / "pack" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return tmp_path / "pack"

    return make


def test_a_circle_is_found_wherever_its_imports_stand(package):
    arrows = read_arrows(package(ROUND))
    (circle,) = find_circles(arrows)
    assert circle == ["pack.a", "pack.part.b", "pack.part.c"]
    assert arrows_within(circle, arrows) == [
        ("pack.a", "pack.part.b"),
        ("pack.part.b", "pack.part.c"),
        ("pack.part.c", "pack.a"),
    ]


def test_a_package_above_a_module_is_no_arrow(package):
    arrows = read_arrows(package(STRAIGHT))
    assert arrows["pack.part.b"] == {"pack.part.c", "pack.part.d"}
    assert find_circles(arrows) == []


@pytest.mark.parametrize(("files", "status", "told"), [(ROUND, 1, "  pack.a -> pack.part.b"), (STRAIGHT, 0, "No circ")])
def test_the_script_tells_and_exits(package, files, status, told):
    ended = subprocess.run([sys.executable, SCRIPT, package(files)], capture_output=True, text=True)
    assert ended.returncode == status
    assert told in ended.stdout
