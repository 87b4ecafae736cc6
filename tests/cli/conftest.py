"""What the tests of the command line share."""

import pytest
from tests.cli.shop import SCRIPT, Shop


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.write(SCRIPT)
    return made
