"""The frozen runs of the fooled-rate benchmark can be made again."""

import numpy as np
import pytest
from benchmarks.fooled import STORED


@pytest.mark.slow
@pytest.mark.parametrize(("task", "arm"), [("cancer", "base"), ("digits", "wide")])
def test_stored_scores_come_out_again_within_tolerance(task, arm):
    from benchmarks.fooled.train import TASKS, recipe_of, train_arm

    scores, right = train_arm(TASKS[task], recipe_of(TASKS[task], arm))
    with np.load(STORED) as stored:
        kept = stored[f"{task}/{arm}/score"]
        bits = np.unpackbits(stored[f"{task}/{arm}/right"], axis=1)[:, : right.shape[1]]
    assert scores.mean() == pytest.approx(kept.mean(), abs=0.002)
    assert np.mean(np.abs(scores - kept)) < 0.004
    assert np.mean(bits != right) < 0.01
