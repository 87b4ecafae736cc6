"""What the tests of the ledger share."""

import pytest
from tests.loop.written_project import WrittenProject


@pytest.fixture
def written(tmp_path):
    """A project whose runs are written straight into journals."""
    return WrittenProject(tmp_path)
