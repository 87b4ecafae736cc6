"""What a run received is noted while it runs, and read back when it has ended."""

import json
import os
import subprocess
import sys

import pytest

from palate.question.folder import Place
from palate.training.apart import make_folder
from palate.training.inputs import Received, read_received, take_received
from palate.training.states import ABSENT, FileState

SRC = os.path.dirname(os.path.dirname(os.path.dirname(sys.modules["palate.training.inputs"].__file__)))
START = """import os, sys
from palate.training.received import *
__name__ != "__main__" or start_recorder(os.environ["NOTES"], os.getcwd())
"""


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "person"
    (root / "data").mkdir(parents=True)
    (root / "data" / "x.csv").write_text("1,2")
    (root / "own.py").write_text("value = 1\n")
    return root


@pytest.fixture
def run(root):
    """Run code as a run's process does, and read back what it received."""

    def carry_out(code, **environment):
        place = Place(root=str(root), home=str(root / ".palate"))
        folder = root / ".palate" / "runs" / "r"
        make_folder(place, str(folder / "work"))
        notes = str(folder / "received.jsonl")
        (folder / "work" / "t.py").write_text(START + code + "\n__name__ != '__main__' or stop_recorder()\n")
        more = {"PYTHONPATH": SRC, "NOTES": notes, "PALATE_RECEIVED": notes, "PALATE_WORK": str(folder / "work")}
        done = subprocess.run(
            [sys.executable, "t.py"], cwd=folder / "work", env={**os.environ, **more, **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not done.returncode, done.stderr
        received = take_received(folder, place, ("t.py",))
        assert read_received(folder) == received
        return received

    return carry_out


def test_files_and_modules_that_are_read_are_inputs_with_hashes(run, root):
    received = run("import own\nopen('data/x.csv').read()\nopen('data/x.csv', 'rb').read()\nimport json, random")
    assert set(received.files) == {"data/x.csv", "own.py"}  # t.py is in the run's own folder alone
    assert received.modules == ("own.py", "t.py") or received.modules == ("t.py", "own.py")
    state = received.files["data/x.csv"]
    assert state == FileState.of(str(root / "data" / "x.csv"))
    assert state.size == 3 and state.hash


def test_what_it_wrote_first_is_no_input_and_what_it_changes_is_both(run):
    received = run("open('out.txt', 'w').write('1')\nopen('out.txt').read()\nopen('data/x.csv', 'r+').write('34567')")
    assert "out.txt" not in received.files
    assert received.wrote == {"out.txt": 1, "data/x.csv": 5}
    assert received.files["data/x.csv"].size == 3


def test_what_it_appends_to_is_no_input(run):
    received = run("open('data/x.csv', 'a').write('3')")
    assert "data/x.csv" not in received.files
    assert received.wrote == {"data/x.csv": 4}


def test_a_folder_that_is_listed_and_a_file_that_is_looked_for_are_inputs(run, root):
    received = run("import glob, os\nglob.glob('data/*.csv')\nos.path.exists('flag')\nos.path.isfile('own.py')")
    assert received.files["flag"].hash == ABSENT
    assert received.files["own.py"].is_now(str(root / "own.py"))
    folder = received.files["data/"]
    assert folder.is_now(str(root / "data"))
    (root / "data" / "notes.md").write_text("no data")
    assert folder.is_now(str(root / "data"))
    (root / "data" / "y.csv").write_text("1")
    assert not folder.is_now(str(root / "data"))


def test_weights_are_inputs_whatever_their_name(run, root):
    (root / "w.pth").write_text("1")
    assert "w.pth" in run("open('w.pth').read()").files


def test_a_file_that_changes_while_the_run_goes_is_never_taken_for_the_same(run, root):
    path = str(root / "data" / "x.csv")
    received = run(f"open('data/x.csv').read()\nfile = os.open({path!r}, os.O_WRONLY)\nos.write(file, b'9,9')")
    assert received.files["data/x.csv"].hash == ""
    assert not received.files["data/x.csv"].is_now(path)


def test_a_program_that_is_not_python_may_have_read_anything(run, root):
    received = run("import subprocess\nsubprocess.run(['cat', 'data/x.csv'], stdout=subprocess.DEVNULL)")
    assert "**" in received.files
    assert "**" not in run("import subprocess\nsubprocess.run(['true'])").files


def test_what_is_read_past_the_runs_own_folder_is_told(run, root):
    assert run(f"open({str(root / 'data' / 'x.csv')!r}).read()").read_past == ("data/x.csv",)


def test_seeding_many_generators_is_noted_once_a_line(run):
    pytest.importorskip("numpy")
    received = run("import numpy as np, pickle\nfor i in range(500):\n    np.random.default_rng(i)\n"
                   "import random\npickle.loads(pickle.dumps(random.seed))\n"
                   "pickle.dumps(np.random.default_rng)")  # fmt: skip
    assert len(received.seeds) == 1


def test_a_program_that_closes_all_files_does_not_lose_the_notes(run):
    received = run("os.closerange(3, 1000)\nopen('data/x.csv').read()\nopen('out.txt', 'w').write('1')")
    assert "data/x.csv" in received.files


def test_a_file_that_is_not_there_is_an_input_too(run):
    received = run("try:\n    open('maybe.yaml')\nexcept OSError:\n    pass")
    assert received.files["maybe.yaml"].hash == ABSENT


READS = {
    "get": "os.environ.get('DEPTH')",
    "getenv": "os.getenv('DEPTH')",
    "in": "'DEPTH' in os.environ",
    "item": "os.environ['DEPTH']",
    "setdefault": "os.environ.setdefault('DEPTH', '1')",
}


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_a_variable_that_own_code_reads_is_an_input(run, read):
    received = run(read, DEPTH="2")
    assert received.variables["DEPTH"] == "2"
    assert received.lines_of["DEPTH"] == "t.py:4"


def test_a_variable_that_is_not_set_is_one_too(run):
    assert run("os.environ.get('NOWHERE', 1)").variables["NOWHERE"] is None


@pytest.mark.parametrize(
    "code",
    [
        "dict(os.environ)",
        "os.environ.copy()",
        "import subprocess; subprocess.run(['true'], env={**os.environ})",
        "os.environ['DEPTH'] = '1'; os.environ['DEPTH']",
        "import getpass; getpass.getuser()",
    ],
)
def test_what_is_copied_set_or_read_by_libraries_is_none(run, code):
    assert "DEPTH" not in run(code, DEPTH="2").variables


def test_secrets_are_kept_as_hashes(run, root):
    received = run("os.environ['API_KEY']", API_KEY="sk-very-secret")
    text = (root / ".palate" / "runs" / "r" / "received.json").read_text()
    assert received.variables["API_KEY"].startswith("secret ")
    assert "sk-very-secret" not in text


def test_arguments_and_what_they_became_are_noted(run):
    received = run(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=.1)\n"
        "a, left = p.parse_known_args(['--lr', '.2', '--strange', '3'])\na.lr = .5\nat_first_point()\na.lr = .7"
    )
    (parsed,) = received.parsed
    assert (parsed.values["lr"], parsed.left, parsed.types["lr"]) == ("0.2", ("--strange", "3"), "float")
    assert (received.arguments["lr"], received.last_arguments["lr"]) == ("0.5", "0.7")


def test_seeds_are_noted_with_their_lines(run):
    pytest.importorskip("numpy")
    received = run(
        "import random, numpy as np\nrandom.seed(3)\nnp.random.seed(4)\nnp.random.default_rng(5)\nrandom.seed()\n"
        "os.environ.get('PALATE_SEED')",
        PALATE_SEED="7",
    )
    assert [(one.of, one.value, one.where) for one in received.seeds] == [
        ("random", "3", "t.py:5"),
        ("numpy", "4", "t.py:6"),
        ("numpy generator", "5", "t.py:7"),
    ]
    assert received.took_seed == ("PALATE_SEED",)


@pytest.mark.slow
def test_torch_is_watched_and_saves_into_the_runs_own_folder(run, root, torch):
    torch.save({"a": 1}, root / "model.pt")
    before = (root / "model.pt").read_bytes()
    received = run("import torch\ntorch.manual_seed(9)\ntorch.save({'a': 22222}, 'model.pt')\ntorch.load('model.pt')")
    assert ("torch", "9") in [(one.of, one.value) for one in received.seeds]
    assert (root / "model.pt").read_bytes() == before
    assert "model.pt" in received.wrote


@pytest.mark.parametrize(
    "start",
    [
        "import subprocess, sys\nsubprocess.run([sys.executable, 'child.py'], check=True)",
        "os.system(sys.executable + ' child.py')",
        "import multiprocessing as mp\nif __name__ == '__main__':\n    import child\n"
        "    c = mp.get_context('spawn').Process(target=child.read)\n    c.start(); c.join()",
        "import multiprocessing as mp, child\nc = mp.get_context('fork').Process(target=child.read)\n"
        "c.start(); c.join()",
    ],
    ids=["subprocess", "shell", "spawn", "fork"],
)
def test_what_children_read_is_noted_as_well(run, root, start):
    site = os.path.join(os.path.dirname(sys.modules["palate.training.inputs"].__file__), "site")
    (root / "child.py").write_text(
        "import os\ndef read():\n    open('data/x.csv').read()\n    os.environ.get('DEPTH')\n"
        "    open('mine.txt', 'w').write('1')\nif __name__ == '__main__':\n    read()\n"
    )
    received = run(start, DEPTH="3", PYTHONPATH=os.pathsep.join((site, SRC)))
    assert "data/x.csv" in received.files
    assert received.variables["DEPTH"] == "3"
    assert "mine.txt" in received.wrote


def test_the_site_of_a_run_does_what_another_one_would_have_done(tmp_path):
    site = os.path.join(os.path.dirname(sys.modules["palate.training.inputs"].__file__), "site")
    (tmp_path / "sitecustomize.py").write_text("print('mine')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((site, str(tmp_path)))}
    environment.pop("PALATE_RECEIVED", None)
    code = "import sys; print(any('training/site' in path for path in sys.path))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["mine", "False"]


def test_files_outside_of_the_folder_are_told_apart_by_when_they_were_written(run, tmp_path):
    out = tmp_path / "elsewhere.txt"
    received = run(f"open({str(out)!r}, 'w').write('1')\nat_first_point()\nopen({str(out) + '2'!r}, 'w').write('2')")
    assert received.wrote_outside == {str(out): False, f"{out}2": True}


def test_it_survives_being_written_and_what_is_damaged_is_not_there(run, root):
    received = run("import own")
    assert Received.read(json.loads(json.dumps(received.body()))) == received
    path = root / ".palate" / "runs" / "r" / "received.json"
    path.write_text(path.read_text()[:-20])
    assert read_received(path.parent) is None


def test_it_is_shown_in_a_few_lines(run):
    lines = run("import own, random\nrandom.seed(3)\nopen('data/x.csv').read()\nopen('m.pt', 'w').write('12')\n"
                "os.environ.get('DEPTH')", DEPTH="4").lines()  # fmt: skip
    assert "Read       data/x.csv" in lines
    assert "Variables  DEPTH=4" in lines
    assert "Seeds      random 3 at t.py:5" in lines
    assert "Wrote      m.pt (2 B)" in lines
    assert Received().lines() == []


def test_a_run_that_is_killed_leaves_what_was_noted_until_then(run, root, tmp_path):
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "received.jsonl").write_text('["read", "/x/y.csv"]\n["variable", "A", "1", ""]\n["rea')
    received = take_received(folder, None)
    assert (list(received.files), received.variables) == (["/x/y.csv"], {"A": "1"})


def test_what_a_run_wrote_of_its_secrets_is_taken_out_of_it(root):
    place = Place(root=str(root), home=str(root / ".palate"))
    folder = root / ".palate" / "runs" / "r"
    work = folder / "work"
    make_folder(place, str(work))
    (work / "args.json").write_text('{"token": "abc-123-def", "lr": 0.1, "note": "plainly-known-8"}')
    (work / "model.bin").write_bytes(b"\xff\xfeplainly-known-8")
    take_received(folder, place, (), ("plainly-known-8",))
    assert json.loads((work / "args.json").read_text()) == {"token": "<secret>", "lr": 0.1, "note": "<secret>"}
    assert (work / "model.bin").read_bytes() == b"\xff\xfeplainly-known-8"


def test_what_a_run_wrote_beside_its_folder_is_cleaned_and_closed_and_it_is_said(root):
    place = Place(root=str(root), home=str(root / ".palate"))
    folder = root / ".palate" / "runs" / "r"
    work = folder / "work"
    make_folder(place, str(work))
    folder.chmod(0o700)
    table = "n,mode\n100000,training\n"
    (work / "results.csv").write_text(table)
    (folder / "notes.txt").write_text("got q7Xz1Lw9BvR4")
    (folder / "deep").mkdir()
    (folder / "deep" / "more.json").write_text('{"n": 100000, "k": "q7Xz1Lw9BvR4"}')
    (folder / "output.log").write_text("q7Xz1Lw9BvR4 is redacted as it is printed")
    (folder / "notes.txt").chmod(0o644)
    (folder / "received.jsonl").write_text('["read", "/x/y.csv", 1, 1]\n')
    received = take_received(folder, place, (), ("100000", "training", "q7Xz1Lw9BvR4"))
    assert (work / "results.csv").read_text() == table
    assert (folder / "notes.txt").read_text() == "got <secret>"
    assert json.loads((folder / "deep" / "more.json").read_text()) == {"n": 100000, "k": "<secret>"}
    assert "q7X" in (folder / "output.log").read_text()
    assert (folder / "notes.txt").stat().st_mode & 0o777 == 0o600
    assert sorted(received.redacted) == ["deep/more.json", "notes.txt"]
    assert "Redacted   notes.txt, deep/more.json" in received.lines()
    assert read_received(folder) == received


def test_a_secret_in_a_files_name_is_not_kept(run, root):
    name = "data/hub_token=hf_" + "aB3dE5fG7hI9jK1l" * 2 + ".csv"
    (root / name).write_text("1")
    received = run(f"open({name!r}).read()")
    assert list(received.files) == ["data/hub_token=<secret>"]


def test_secrets_are_noted_by_their_hashes_so_that_a_change_of_them_shows(run):
    code = (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--api-key')\np.add_argument('--lr')\n"
        "p.parse_known_args(['--api-key', {!r}, '--lr', '3', '--password', 'left-over-7'])\n"
        "import palate\npalate.settings(token='set-token-9', width=3)\nos.environ['MY_SECRET']"
    )
    one, other = (
        run(code.format(key), MY_SECRET="env-secret-5", PALATE_SALT="s") for key in ("key-one-1", "key-two-2")
    )
    written = json.dumps(one.body())
    assert not any(text in written for text in ("key-one-1", "left-over-7", "set-token-9", "env-secret-5"))
    (mine,), (theirs,) = one.parsed, other.parsed
    assert mine.values["lr"] == theirs.values["lr"] == "'3'"
    assert mine.values["api_key"] != theirs.values["api_key"]
    assert mine.left == theirs.left
    assert mine.left[0] == "--password" and mine.left[1].startswith("secret ")
    assert one.settings["width"] == "3" and one.settings["token"].startswith("secret ")
    assert any(line.startswith("Variables") and "MY_SECRET=secret " in line for line in one.lines())


@pytest.mark.parametrize(
    ("code", "drawn"),
    [
        ("import numpy as np\nrandom.seed(3)\nnp.random.rand()", ("numpy",)),
        ("import numpy as np\nnp.random.seed(3)\nnp.random.rand()", ()),
        ("import numpy as np\nnp.random.set_state(np.random.RandomState(3).get_state())\nnp.random.rand()", ()),
        ("import numpy as np\nnp.random.default_rng(3).random()", ()),
        ("random.random()", ()),
    ],
)
def test_numbers_that_numpy_draws_unseeded_are_noted(run, code, drawn):
    pytest.importorskip("numpy")
    assert run(f"import random\n{code}").drawn == drawn
