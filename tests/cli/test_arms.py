"""Arms as a person meets them: edits, runs at once, children, threads at import."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.planted import FIXED_NAMES, fixed_name
from tests.cli.workplace import Workplace
from tests.question.test_edit import git, state

OPTIONS = ("--metric", "val_acc", "--no-forecast")
TRAIN = """
import random
import palate
import losses
seed = 0
random.seed(seed)
for step in range(3):
    palate.log(step, val_acc=0.5 + losses.level(0.1) + random.gauss(0, 0.003))
"""


@pytest.fixture
def place(tmp_path):
    """A repository with a training in two files."""
    git(tmp_path, "init", "-q")
    here = Workplace(tmp_path)
    here.write(".palate\n", ".gitignore")
    here.write(TRAIN)
    here.write("def level(x):\n    return x\n", "losses.py")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    return here


def test_an_edit_is_judged_and_the_baseline_is_used_for_the_next_one(place):
    place.write("def level(x):\n    return x + 0.1\n", "losses.py")
    before = state(place.folder)
    report = place.json("run", "train.py", "--against", "HEAD", *OPTIONS)
    assert report["verdict"]["kind"] == "better"
    assert "losses.py: level +1 -1" in report["question"]
    assert state(place.folder) == before
    place.write("def level(x):\n    return x - 0.1\n", "losses.py")
    again = place.json("run", "train.py", "--against", "HEAD", *OPTIONS)
    assert again["verdict"]["kind"] == "worse"
    assert again["runs"]["reused"] >= 2
    assert "Worse" in place.call("show", again["experiment"]).stdout


def test_edited_lines_that_are_never_reached_are_named(place):
    place.write("def level(x):\n    if x > 1:\n        return 2 * x\n    return x\n", "losses.py")
    said = place.call("run", "train.py", "--against", "HEAD", *OPTIONS).stdout
    assert "Did nothing" in said
    assert "Edited lines that are never reached: losses.py:3." in said
    place.write("def level(x):\n    y = x\n    return y\n", "losses.py")
    assert "Every edited line is reached" in place.call("run", "train.py", "--against", "HEAD", *OPTIONS).stdout


def test_a_split_of_an_edit_and_an_edit_of_nothing_are_refused(place):
    assert "Nothing differs" in place.call("run", "train.py", "--against", "HEAD", *OPTIONS).stderr
    place.write("def level(x):\n    return 2 * x\n", "losses.py")
    said = place.call("run", "train.py", "--against", "HEAD", "-c", "seed=1", "--split", *OPTIONS)
    assert said.returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize("statement", FIXED_NAMES, ids=range(len(FIXED_NAMES)))
def test_two_runs_at_once_that_write_one_name_are_as_one_at_a_time(tmp_path, statement):
    values = []
    for workers in ("1", "2"):
        (tmp_path / workers).mkdir()
        here = Workplace(tmp_path / workers)
        here.write(fixed_name(statement))
        report = here.json("run", "train.py", "-c", "lift=.01", "--pairs", "2", "--workers", workers, *OPTIONS)
        values.append([[run["value"] for run in report["runs"][arm]] for arm in ("baseline", "treatment")])
    assert values[0] == values[1]


SHARES = """
import os, random, time
import palate
lift = 0.0
seed = 0
random.seed(seed)
w = 0.5
for step in range(6):
    w += lift + random.gauss(0, .003)
    with open({path!r}, "w") as file:
        file.write(str(w))
    time.sleep(.05)
    w = float(open({path!r}).read())
    palate.log(step, val_acc=w)
"""


@pytest.mark.slow
def test_an_absolute_path_that_runs_at_once_share_makes_them_go_one_at_a_time(tmp_path):
    here = Workplace(tmp_path / "here")
    here.folder.mkdir()
    here.write(SHARES.format(path=str(tmp_path / "w.txt")))
    ended = here.call("run", "train.py", "-c", "lift=.01", "--pairs", "3", "--workers", "2", *OPTIONS)
    assert "w.txt: they are made again, one at a time" in ended.stderr
    assert ended.returncode == 0
    assert "Better" in ended.stdout


@pytest.mark.slow
def test_a_run_that_starts_from_what_another_left_behind_is_refused(tmp_path):
    here = Workplace(tmp_path / "here")
    here.folder.mkdir()
    path = str(tmp_path / "last.txt")
    here.write(
        "import os, random, palate\nlift = 0.0\nseed = 0\nrandom.seed(seed)\n"
        f"w = float(open({path!r}).read()) if os.path.exists({path!r}) else .5\n"
        "for step in range(3):\n    w += lift + random.gauss(0, .003)\n    palate.log(step, val_acc=w)\n"
        f"open({path!r}, 'w').write(str(w))\n"
    )
    ended = here.call("run", "train.py", "-c", "lift=.01", "--pairs", "3", "--workers", "1", *OPTIONS)
    assert ended.returncode == 5
    assert "last.txt, which another run had written" in ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which processes a run started")
@pytest.mark.parametrize("session", ["", ", start_new_session=True"], ids=["in its group", "in a session of its own"])
def test_children_that_a_run_leaves_behind_end_with_it(place, session):
    mark = f"777.{os.getpid()}{len(session)}"
    place.write(TRAIN + f"import subprocess\nsubprocess.Popen(['sleep', '{mark}']{session})\n")
    assert place.call("run", "train.py", "-c", "seed=1", *OPTIONS).returncode == 2
    place.write(
        TRAIN.replace("seed = 0", "seed = 0\nlift = 0.0")
        + f"import subprocess\nsubprocess.Popen(['sleep', '{mark}']{session})\n"
    )
    place.call("run", "train.py", "-c", "lift=1.0", "--pairs", "2", *OPTIONS)
    time.sleep(0.5)
    found = subprocess.run(["pgrep", "-f", f"sleep {mark}"], capture_output=True, text=True, check=False).stdout
    assert found == ""


@pytest.mark.slow
def test_code_that_starts_a_thread_when_it_is_imported_runs_in_processes_of_its_own(tmp_path):
    here = Workplace(tmp_path)
    here.write(
        "import queue, random, threading\nimport palate\n"
        "asked, answered = queue.Queue(), queue.Queue()\n"
        "def serve():\n    while True:\n        answered.put(asked.get() * 2)\n"
        "threading.Thread(target=serve, daemon=True).start()\n"
        "@palate.experiment(metric='val_acc')\n"
        "def train(run, *, lr=.1):\n    random.seed(run.seed)\n    for step in range(3):\n        asked.put(lr)\n"
        "        run.log(step, val_acc=.5 + answered.get(timeout=20) + random.gauss(0, .003))\n"
    )
    ended = here.call("run", "train.py", "-c", "lr=.2", "--pairs", "2", "--no-forecast")
    assert ended.returncode == 0, ended.stderr
    assert "starts threads when it is imported" in ended.stderr
    assert "Better" in ended.stdout


@pytest.mark.slow
def test_runs_of_a_script_that_seeds_nothing_are_not_copies_of_each_other(tmp_path, torch):
    here = Workplace(tmp_path)
    here.write(
        "import random\nimport numpy as np\nimport torch\nimport palate\nlr = 0.1\n"
        "palate.log(0, val_acc=random.random(), a=np.random.rand(), b=torch.rand(()).item())\n"
    )
    report = here.json("run", "train.py", "-c", "lr=.2", "--pairs", "3", "--workers", "1", *OPTIONS)
    values = [run["value"] for arm in ("baseline", "treatment") for run in report["runs"][arm]]
    assert len(set(values)) == len(values)
    assert any("no seeding of this training was seen" in words for words in report["noticed"])
    curves = [here.json("show", run["id"])["metrics"] for run in report["runs"]["baseline"]]
    for name in ("a", "b"):
        assert len(
            {str(one[name] if isinstance(one, dict) else [m for m in one if m["metric"] == name]) for one in curves}
        ) == len(curves)


@pytest.mark.slow
def test_a_treatment_that_fails_before_its_first_point_is_judged_the_same_when_it_is_read_again(tmp_path):
    here = Workplace(tmp_path)
    here.write(
        "import random, palate\nwidth = 1\nseed = 0\nrandom.seed(seed)\nassert width < 2, 'too wide'\n"
        "palate.log(0, val_acc=random.random())\n"
    )
    report = here.json("run", "train.py", "-c", "width=2", "--pairs", "3", *OPTIONS)
    assert report["verdict"]["kind"] == "failed"
    again = here.json("verdict", report["experiment"])
    assert again["verdict"]["kind"] == "failed"
    assert again["verdict"]["words"] == report["verdict"]["words"]
    assert Path(tmp_path / ".palate" / "runs").is_dir()


@pytest.mark.slow
def test_a_change_that_did_not_arrive_is_never_sealed_by_looking_again(tmp_path):
    here = Workplace(tmp_path)
    here.write(
        "import random, palate\nlr = 0.1\nseed = 0\nexec(open('conf.py').read())\nrandom.seed(seed)\n"
        "palate.log(0, val_acc=lr)\n"
    )
    here.write("lr = 0.3\n", "conf.py")
    ended = here.call("run", "train.py", "-c", "lr=.2", "--pairs", "2", *OPTIONS)
    assert ended.returncode == 5
    again = here.call("run", "train.py", "-c", "lr=.2", "--pairs", "2", *OPTIONS)
    assert (again.returncode, "perhaps by conf.py" in again.stderr) == (5, True)
    for command in ("verdict", "show"):
        assert "Did nothing" not in here.call(command, "last").stdout
    assert not here.json("list")["rows"][0]["verdict"]


@pytest.mark.slow
def test_a_metric_that_one_arm_alone_logs_is_judged_the_same_when_it_is_read_again(tmp_path):
    here = Workplace(tmp_path)
    here.write(
        "import random, palate\nname = 'val_acc'\nseed = 0\nrandom.seed(seed)\n"
        "palate.log(0, **{name: random.random()})\n"
    )
    report = here.json("run", "train.py", "-c", "name=other", "--pairs", "2", *OPTIONS)
    assert report["verdict"]["kind"] == "failed"
    assert here.json("verdict", "last")["verdict"]["words"] == report["verdict"]["words"]


@pytest.mark.slow
def test_a_run_that_starts_from_what_a_run_of_yesterday_left_is_noticed_too(tmp_path):
    here = Workplace(tmp_path / "here")
    here.folder.mkdir()
    path = str(tmp_path / "last.txt")
    here.write(
        "import os, random, palate\nlift = 0.0\nresume = False\nseed = 0\nrandom.seed(seed)\n"
        f"w = float(open({path!r}).read()) if resume else .5\n"
        "for step in range(3):\n    w += lift + random.gauss(0, .003)\n    palate.log(step, val_acc=w)\n"
        f"if not resume: open({path!r}, 'w').write(str(w))\n"
    )
    assert here.call("run", "train.py", "-c", "lift=.01", "--pairs", "2", "--workers", "1", *OPTIONS).returncode == 0
    ended = here.call("run", "train.py", "-c", "resume=true", "--pairs", "2", "--workers", "1", *OPTIONS)
    assert "last.txt, which another run had written" in ended.stderr


def after_a_run(folder):
    """Wait until a first run has ended and was read back."""
    until_s = time.monotonic() + 60
    while not list(folder.glob(".palate/runs/*/received.json")) and time.monotonic() < until_s:
        time.sleep(0.02)


@pytest.mark.slow
def test_code_that_is_edited_while_runs_go_is_not_seen_by_them(tmp_path):
    here = Workplace(tmp_path)
    here.write("BONUS = 0.0\n", "part.py")
    here.write(
        "import random, time, palate, part\nlift = 0.0\nseed = 0\nrandom.seed(seed)\ntime.sleep(.4)\n"
        "palate.log(0, val_acc=.5 + lift + part.BONUS + random.gauss(0, .003))\n"
    )
    words = ("run", "train.py", "-c", "lift=.01", "--pairs", "3", "--workers", "1", *OPTIONS)
    going = here.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    after_a_run(tmp_path)
    here.write("BONUS = 9.0\n", "part.py")
    out, err = going.communicate(timeout=60)
    assert going.returncode == 0, err
    assert "9." not in out.splitlines()[0]
    here.write("BONUS = 0.0\n", "part.py")
    assert ", 0 re-used" not in here.call(*words).stdout


@pytest.mark.slow
def test_data_that_change_while_runs_go_stop_them(tmp_path):
    here = Workplace(tmp_path)
    here.write("1", "d.txt")
    here.write(
        "import random, time, palate\nlift = 0.0\nseed = 0\nrandom.seed(seed)\nd = float(open('d.txt').read())\n"
        "time.sleep(.4)\npalate.log(0, val_acc=d + lift + random.gauss(0, .03))\n"
    )
    words = ("run", "train.py", "-c", "lift=.01", "--pairs", "9", "--workers", "1", *OPTIONS)
    going = here.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    after_a_run(tmp_path)
    here.write("22", "d.txt")
    _, err = going.communicate(timeout=60)
    assert going.returncode == 5
    assert "d.txt changed while the runs went" in err
    assert here.call(*words).returncode == 0


@pytest.mark.slow
def test_a_function_that_imports_late_is_asked_about_with_its_own_code(place):
    place.write(
        "import random\nimport palate\n@palate.experiment(metric='val_acc')\ndef train(run, *, lr=.1):\n"
        "    from losses import level\n    random.seed(run.seed)\n"
        "    for step in range(3):\n        run.log(step, val_acc=.5 + level(lr) + random.gauss(0, .003))\n"
    )
    git(place.folder, "commit", "-qam", "function")
    place.write("def level(x):\n    return x + 0.1\n", "losses.py")
    report = place.json("run", "train.py", "--against", "HEAD", *OPTIONS)
    assert report["verdict"]["kind"] == "better"
    place.write("def level(x):\n    if x > 9:\n        return 1\n    return x\n", "losses.py")
    said = place.call("run", "train.py", "--against", "HEAD", *OPTIONS).stdout
    assert "Edited lines that are never reached: losses.py:3." in said


@pytest.mark.slow
def test_arms_that_read_one_file_by_its_absolute_path_are_refused_each_time(place):
    place.write("import sys\nsys.path.insert(0, " + repr(str(place.folder)) + ")\n" + TRAIN)
    git(place.folder, "commit", "-qam", "absolute")
    place.write("def level(x):\n    return x + 0.1\n", "losses.py")
    for _ in range(2):
        ended = place.call("run", "train.py", "--against", "HEAD", *OPTIONS)
        assert ended.returncode == 5
        assert "Both arms read the same losses.py" in ended.stderr


@pytest.mark.slow
def test_what_a_run_writes_when_it_ends_is_its_own_too(place):
    place.write(
        "import atexit\natexit.register(lambda: open('at.dat', 'a').write('x'))\n"
        + TRAIN.replace("seed = 0", "seed = 0\nlift = 0.0")
    )
    place.write("mine", "at.dat")
    place.call("run", "train.py", "-c", "lift=1.0", "--pairs", "2", *OPTIONS)
    assert (place.folder / "at.dat").read_text() == "mine"


@pytest.mark.slow
def test_bytecode_of_another_state_is_never_found(place):
    place.write("def level(x):\n    return x + 0.9\n", "losses.py")
    subprocess.run([sys.executable, "-c", "import losses"], cwd=place.folder, check=True)
    os.utime(place.folder / "losses.py", (1, 1))
    report = place.json("run", "train.py", "--against", "HEAD", *OPTIONS)
    assert report["verdict"]["kind"] == "better"


TORCH = """
import torch
import palate
lr = 0.1
seed = 0
torch.manual_seed(SEED)
layer = torch.nn.Linear(1, 1)
for step in range(3):
    palate.log(step, val_acc=0.5 + lr + layer.weight.item() / 100)
torch.save(layer.state_dict(), "model.pt")
"""


@pytest.mark.slow
def test_torch_saves_into_the_runs_folder_and_its_seeds_are_noted_in_a_warm_worker_too(tmp_path, torch):
    here = Workplace(tmp_path)
    torch.save({"months": "of work"}, tmp_path / "model.pt")
    before = (tmp_path / "model.pt").read_bytes()
    here.write(TORCH.replace("SEED", "seed"))
    report = here.json("run", "train.py", "-c", "lr=.2", "--pairs", "2", *OPTIONS)
    assert (tmp_path / "model.pt").read_bytes() == before
    runs = [run["id"] for arm in ("baseline", "treatment") for run in report["runs"][arm]]
    assert all((tmp_path / ".palate" / "runs" / run / "work" / "model.pt").is_file() for run in runs)
    assert here.json("show", runs[0])["received"]["seeds"][0]["of"] == "torch"
    here.write(TORCH.replace("SEED", "1337").replace("seed = 0", ""))
    said = here.call("run", "train.py", "-c", "lr=.2", "--pairs", "2", *OPTIONS)
    assert "train.py:6 seeds every run alike (torch.manual_seed(1337))" in said.stdout


@pytest.mark.slow
def test_a_pool_that_is_still_there_when_the_training_ends_does_not_keep_the_run(tmp_path):
    pytest.importorskip("joblib")
    here = Workplace(tmp_path)
    here.write(
        "import random, palate, joblib\nlr = 0.1\nseed = 0\nrandom.seed(seed)\n"
        "joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(i) for i in range(4))\n"
        "palate.log(0, val_acc=.5 + lr + random.random() / 99)\n"
    )
    assert here.call("run", "train.py", "-c", "lr=.2", "--pairs", "2", *OPTIONS).returncode == 0


@pytest.mark.slow
def test_python_children_say_nothing_of_palates_own(tmp_path):
    here = Workplace(tmp_path)
    here.write(
        "import random, subprocess, sys, palate\nlr = 0.1\nseed = 0\nrandom.seed(seed)\n"
        "said = subprocess.run([sys.executable, '-c', 'print(1.5)'], capture_output=True, text=True)\n"
        "assert (said.stdout, said.stderr) == ('1.5\\n', ''), said\n"
        "palate.log(0, val_acc=.5 + lr + random.random() / 99)\n"
    )
    assert here.call("run", "train.py", "-c", "lr=.2", "--pairs", "2", *OPTIONS).returncode == 0


@pytest.mark.slow
def test_a_cache_that_holds_the_setting_is_named_beside_a_change_that_did_nothing(tmp_path):
    here = Workplace(tmp_path / "here")
    here.folder.mkdir()
    cache = str(tmp_path / "cache.txt")
    here.write(
        "import os, random, palate\nlr = 0.1\nseed = 0\nrandom.seed(seed)\n"
        f"if not os.path.exists({cache!r}):\n    open({cache!r}, 'w').write(str(lr))\n"
        f"palate.log(0, val_acc=float(open({cache!r}).read()) + random.gauss(0, .01))\n"
    )
    said = here.call("run", "train.py", "-c", "lr=.2", "--pairs", "2", "--workers", "1", *OPTIONS).stdout
    assert f"A run with the change read {cache}, which a run of the baseline had made: is it a cache?" in said
