"""`palate fork` of a training that an engine's loop has: both arms leave one capsule, in processes of their own."""

import os
import subprocess
import sys

import pytest
from tests.cooking import test_hf, test_lightning
from tests.cooking.trainings import HEAD

pytestmark = pytest.mark.slow

BODIES = {
    "lightning": (
        test_lightning.BODY.format(**{**test_lightning.PLAIN, "trainer": "val_check_interval=3"}),
        "val_loss",
    ),
    "hf": (test_hf.BODY.format(**test_hf.PLAIN), "eval_loss"),
}


@pytest.mark.parametrize("engine", BODIES)
def test_palate_fork_tells_a_season_from_its_control(engine, tmp_path):
    body, metric = BODIES[engine]
    (tmp_path / "train.py").write_text(HEAD + body)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PALATE_")}
    environment = {**plain, "PALATE_HOME": str(tmp_path / ".palate"), "DIGESTS": str(tmp_path / "digests.json")}

    def call(*words):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    call("train.py")
    (trunk,) = (tmp_path / ".palate" / "runs").iterdir()
    fork = ("fork", trunk.name, "--at", "9", "--set", "lr=x0.3", "--plain", "--horizon", "9", "--replicates", "2")
    told = call("-m", "palate", *fork, "--metric", metric, "--goal", "min", "--no-forecast")
    assert "The control is the run's own future, bit for bit" in told
