"""What the tests of the command line share."""

import pytest
from tests.cli.workplace import SCRIPT, Workplace


@pytest.fixture
def workplace(tmp_path):
    """A folder with a training script in it."""
    made = Workplace(tmp_path)
    made.write(SCRIPT)
    return made
