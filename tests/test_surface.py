"""The public surface: small, documented, and light to import."""

import subprocess
import sys

import palate


def test_every_public_name_is_there_and_documented():
    assert sorted(palate.__all__) == palate.__all__
    assert len(palate.__all__) <= 25
    for name in palate.__all__:
        assert getattr(palate, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error():
    code = "import palate; palate.nothing_of_this_name"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "AttributeError: module 'palate' has no attribute 'nothing_of_this_name'" in ended.stderr


HEAVY = ("torch", "numpy", "scipy", "sqlalchemy", "rich", "click", "starlette")


def test_importing_palate_imports_nothing_heavy():
    code = f"import sys, palate; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_training_side_imports_only_the_standard_library():
    code = (
        "import sys, palate; palate.log, palate.settings, palate.seed_everything, palate.experiment, palate.Run;"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['palate', '--help']\n"
        "from palate.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'scipy', 'sqlalchemy', 'rich') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip().endswith("[]")


def test_capture_is_called_whether_its_package_was_imported_before_or_not():
    for before in ("", "import palate.capture.api; "):
        code = f"import palate; {before}c = palate.capture(); print(hasattr(c, '__enter__'))"
        assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "True"
