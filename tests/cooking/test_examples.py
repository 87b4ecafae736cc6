"""Each recipe in examples/cooking trains, is tasted, goes on bit for bit in a new process, and can be asked about."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cooking.trainings import run as train

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "examples" / "cooking"
SMALL = {
    "colorize": ["--steps", "60", "--batch", "2"],
    "superres": ["--steps", "60", "--batch", "2"],
    "char_lm": ["--steps", "60", "--megabytes", "0.1", "--width", "16"],
    "digits_gan": ["--steps", "200", "--width", "16"],
}
"""Flags that make each one short: stages end, and something is tasted."""

RESUMED = {"colorize": (40, 15), "superres": (7, 13), "char_lm": (7, 13), "digits_gan": (7, 13)}
"""At which step it is taken up, and how far both go; the colouriser's is in its third stage."""


def carried_out(tmp_path, *command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PALATE_")}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**environment, "PALATE_HOME": str(tmp_path / ".palate"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if " is missing" in done.stderr:
        pytest.skip(done.stderr.strip())
    return done


@pytest.mark.parametrize("recipe", SMALL)
def test_a_recipe_trains_and_is_tasted(recipe, tmp_path):
    done = carried_out(tmp_path, RECIPES / f"{recipe}.py", *SMALL[recipe])
    assert done.returncode == 0, done.stderr
    assert "was not given" not in done.stderr
    (run,) = (tmp_path / ".palate" / "runs").iterdir()
    samples = [json.loads(path.read_text()) for path in sorted((run / "samples").glob("*.json"))]
    assert samples
    assert not any(sample.get("faults") for sample in samples)
    assert all(sample["metrics"] for sample in samples)
    assert all(sample.get("texts") or sample.get("layout") for sample in samples)


@pytest.mark.parametrize("recipe", SMALL)
def test_a_recipe_goes_on_bit_for_bit_in_a_new_process(recipe, tmp_path):
    at, steps = RESUMED[recipe]
    done = carried_out(
        tmp_path, "-m", "palate", "doctor", "--json", "--resume", RECIPES / f"{recipe}.py",
        "--at", str(at), "--steps", str(steps), "--", *SMALL[recipe],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["exact"], told
    assert (told["at"], told["steps"], told["left_out"]) == (at, at + steps, [])


def test_a_recipe_is_a_question_like_any_other(tmp_path):
    done = carried_out(
        tmp_path, "-m", "palate", "run", RECIPES / "digits_gan.py", "-c", "lr=1e-4", "--metric", "frechet",
        "--goal", "min", "--pairs", "2", "--workers", "1", "--no-forecast", "--json", "--", *SMALL["digits_gan"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"]["kind"] != "failed"


def test_a_run_that_was_given_its_seed_is_forked_and_the_control_is_its_own_future(tmp_path):
    assert carried_out(tmp_path, RECIPES / "digits_gan.py", "--seed", "3", *SMALL["digits_gan"]).returncode == 0
    (run,) = (tmp_path / ".palate" / "runs").iterdir()
    done = carried_out(
        tmp_path, "-m", "palate", "fork", run.name, "--at", "50", "--set", "noise=.3", "--horizon", "150",
        "--metric", "frechet", "--goal", "min", "--replicates", "2", "--workers", "1", "--no-forecast",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the run's own future, bit for bit" in done.stdout + done.stderr


UNTIL_DONE = """
from datetime import UTC, datetime
from palate.cooking import steps, tasted
from palate.cooking.tastings import Word, say_word
loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)
opt = torch.optim.SGD(net.parameters(), lr=.1)
run = palate.start("t", model=net, optimizer=opt)
for x, y in run.steps(loader, until=tasted("done") | steps(20_000)):
    loss = F.cross_entropy(net(x), y)
    opt.zero_grad(); loss.backward(); opt.step()
    if run.step == 11:
        say_word(run.folder, Word(author="ada", time=datetime.now(UTC), step=10, kind="tag", value="done"))
print(run.step)
"""


def test_a_stage_that_waits_for_a_tag_ends_when_a_person_gives_it(tmp_path):
    assert 11 < int(train(tmp_path, UNTIL_DONE).split()[-1]) < 20_000
