"""What all tests share: which of them run in one process, and how many examples a law is tried on."""

import os
import shutil
import tempfile

import pytest

TOGETHER = {
    "tests/capture/": "torch",
    "tests/cooking/": "torch",
    "tests/forecast/": "scipy",
    "tests/verdict/": "scipy",
    "tests/web/": "plotly",
    "tests/test_declare.py": "plotly",
}
"""Tests that share an import which takes long: of the processes that run tests, one pays it."""

APART = ("live", "stages", "hf", "lightning", "keras", "fastai", "accelerate", "fork_engines", "examples", "alarm")
"""Of the tests of cooking, those that train in processes of their own: they need no torch here, and take minutes."""

EXAMPLES = 20
"""Examples of each law in the fast suite; hypothesis's own hundred otherwise."""


def pytest_configure(config):
    """Try fewer examples in the fast suite; keep what palate remembers of its user in a folder of the tests'."""
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="palate-state-")
    runs_tests = hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None)
    if runs_tests:
        from hypothesis import settings

        fast = config.option.markexpr == "not slow"
        settings.register_profile("ours", max_examples=EXAMPLES if fast else 100, deadline=None)  # machines are busy
        settings.load_profile("ours")


def pytest_unconfigure():
    """Take that folder away."""
    shutil.rmtree(os.environ["XDG_STATE_HOME"], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share the tests out among processes as xdist does, but keep those together that share an import."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            if file.startswith("tests/cooking/") and file.removesuffix(".py").rpartition("/test_")[2] in APART:
                return file
            return next((group for place, group in TOGETHER.items() if nodeid.startswith(place)), nodeid)

    return Together(config, log)


@pytest.fixture
def torch():
    """Torch, imported where it is needed and not wherever tests are collected."""
    return pytest.importorskip("torch")


collect_ignore = ["targets"]
"""Scripts that are run and not imported."""
