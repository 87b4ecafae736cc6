"""What the tests of the loop share."""

import pytest
from tests.loop.stage import Stage


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)
