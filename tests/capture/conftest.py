"""What the tests of capturing share."""

import pytest
from tests.cli.shop import Shop


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)
