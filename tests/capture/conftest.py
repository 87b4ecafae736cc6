"""What the tests of capturing share."""

import pytest
from tests.cli.workplace import Workplace

collect_ignore = ["networks.py"]  # looking for doctests would import torch wherever tests are collected


@pytest.fixture
def workplace(tmp_path):
    """An empty folder to call palate in."""
    return Workplace(tmp_path)
