"""What the tests of the loop share."""

import pytest
from tests.loop.trained_project import TrainedProject
from tests.loop.written_project import WrittenProject


@pytest.fixture
def written(tmp_path):
    """A project whose runs are written straight into journals."""
    return WrittenProject(tmp_path)


@pytest.fixture
def trained(tmp_path):
    """A project whose runs are carried out in this process."""
    return TrainedProject(tmp_path)
