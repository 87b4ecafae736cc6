"""What the tests of the command line share."""

import pytest
from tests.cli.workplace import SCRIPT, Workplace


@pytest.fixture
def workplace(tmp_path, request):
    """A folder with a training script in it; in the fast suite it is trained in this process."""
    made = Workplace(tmp_path, real_workers=request.node.get_closest_marker("slow") is not None)
    made.write(SCRIPT)
    return made
