"""A run's folder looks like the person's: what it reads is theirs, what it writes is its own."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from palate.question.folder import Place, place_of
from palate.training.apart import (
    LARGEST_COPY,
    MOST,
    MOST_COPIES,
    Guard,
    bring_home,
    clear_folder,
    make_folder,
    work_folder,
)
from palate.training.received import Recorder


@pytest.fixture
def person(tmp_path):
    """A person's folder, with code, data, an old model and things that are odd."""
    root = tmp_path / "person"
    for name, text in {
        "train.py": "code",
        "conf/a.yaml": "lr: 1",
        "data/x.bin": "data",
        "model.pt": "old",
        "out/log.txt": "old",
        "sub/deep/y.txt": "y",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "broken").symlink_to("nowhere")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "pipe")
    (root / "large.bin").write_text("x" * (LARGEST_COPY + 1))
    (root / ".palate").mkdir()
    return root


def tree(folder):
    """Every file of a folder with what is in it, links not followed."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and ".palate" not in path.relative_to(folder).parts
    }


def made(root, number=0, **more):
    place = Place(root=str(root), home=str(root / ".palate"), **more)
    work = root / ".palate" / "runs" / str(number) / "work"
    make_folder(place, str(work))
    return place, work


def test_all_that_is_there_can_be_read_by_the_same_relative_path(person):
    _, work = made(person)
    for name, text in tree(person).items():
        assert (work / name).read_text() == text
    assert not (work / ".palate").exists()
    assert os.readlink(work / "broken") == str(person / "broken")
    assert {str(p.relative_to(work)) for p in work.rglob("*.txt")} >= {"out/log.txt", "sub/deep/y.txt"}


def test_code_is_copied_so_that_a_resolved_path_stays_inside(person):
    _, work = made(person)
    for name in ("train.py", "conf/a.yaml", "run.sh"):
        assert (work / name).resolve().is_relative_to(work.resolve())
        assert (work / name).stat().st_mtime_ns == (person / name).stat().st_mtime_ns
    assert os.access(work / "run.sh", os.X_OK)
    assert (work / "large.bin").is_symlink()
    assert not (work / "data" / "x.bin").is_symlink()


def writes_by_open(work):
    (work / "model.pt").write_text("new")
    (work / "out" / "more.txt").write_text("new")


def writes_through_a_copy(work):
    shutil.copy(work / "train.py", work / "model.pt")


def appends(work):
    with (work / "out" / "log.txt").open("a") as file:
        file.write("more")
    assert (work / "out" / "log.txt").read_text() == "oldmore"


def updates_in_place(work):
    with (work / "model.pt").open("r+") as file:
        file.write("N")
    assert (work / "model.pt").read_text() == "Nld"


def removes_a_folder(work):
    shutil.rmtree(work / "sub")
    shutil.rmtree(work / "out")
    (work / "out").mkdir()


def moves(work):
    (work / "model.pt").rename(work / "model.old")
    (work / "new").write_text("1")
    (work / "new").replace(work / "data" / "x.bin")


def writes_below_python(work):
    descriptor = os.open(work / "model.pt", os.O_RDWR)
    os.ftruncate(descriptor, 1)
    os.close(descriptor)


def changes_what_is_not_content(work):
    os.utime(work / "model.pt", (1, 1))
    (work / "data" / "x.bin").chmod(0o600)
    os.truncate(work / "out" / "log.txt", 1)


def keeps_a_database(work):
    connection = sqlite3.connect(work / "model.pt.db")
    connection.execute("create table t (x)")
    connection.commit()


def makes_what_is_there(work):
    with pytest.raises(FileExistsError):
        (work / "model.pt").open("x")
    with pytest.raises(FileExistsError):
        (work / "data").mkdir()
    assert (work / "model.pt").read_text() == "old"


def goes_into_a_folder(work):
    here = Path.cwd()
    os.chdir(work / "out")
    try:
        Path("log.txt").write_text("new")
    finally:
        os.chdir(here)


def opens_by_a_folders_number(work):
    folder = os.open(work / "out", os.O_RDONLY)
    file = os.open("log.txt", os.O_WRONLY | os.O_APPEND, dir_fd=folder)
    os.write(file, b"new")
    os.close(file)
    os.close(folder)


def links_to_its_own_by_an_absolute_path(work):
    (work / "mine").mkdir()
    (work / "latest").symlink_to(work / "mine")
    (work / "latest" / "a").write_text("a")
    assert (work / "mine" / "a").read_text() == "a"


def starts_a_shell(work):
    subprocess.run("echo new >> model.pt; rm -rf out/*; echo new > sub/deep/y.txt", shell=True, cwd=work, check=True)


def keeps_links_of_its_own(work):
    (work / "ckpt" / "step3").mkdir(parents=True)
    (work / "ckpt" / "latest").symlink_to("step3")
    (work / "here").symlink_to("ckpt/step3")
    (work / "ckpt" / "latest" / "a.pt").write_text("a")
    (work / "here" / "b.pt").write_text("b")
    assert sorted(path.name for path in (work / "ckpt" / "step3").iterdir()) == ["a.pt", "b.pt"]
    (work / "cur.log").symlink_to("s3.log")
    for _ in range(2):
        with (work / "cur.log").open("a") as file:
            file.write("line\n")
    assert (work / "s3.log").read_text() == "line\nline\n"


WRITERS = (
    writes_by_open, writes_through_a_copy, appends, updates_in_place, removes_a_folder, moves, writes_below_python,
    changes_what_is_not_content, keeps_a_database, makes_what_is_there,
    goes_into_a_folder, starts_a_shell, opens_by_a_folders_number,
    links_to_its_own_by_an_absolute_path, keeps_links_of_its_own,
)  # fmt: skip


@pytest.fixture
def heard():
    """Listen as a run's process does; a hook cannot be removed, so it goes to whoever listens."""
    import sys

    listening = []
    sys.addaudithook(lambda event, arguments: [one.hear(event, arguments) for one in listening])
    yield listening
    listening.clear()


@pytest.mark.parametrize("whole", [False, True], ids=["folders made", "folders linked"])
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_whatever_a_run_does_the_persons_folder_stays_as_it_was(person, heard, write, whole):
    if whole:  # too much beside it: folders are links until they are written to
        for number in range(MOST + 1):
            (person / f"f{number}").touch()
    before = tree(person)
    stats = {name: (person / name).stat().st_mtime_ns for name in before}
    place, work = made(person)
    heard.append(Recorder(str(work.parent / "received.jsonl"), str(work), (str(person), "")))
    write(work)
    heard.clear()
    clear_folder(place, str(work))
    assert tree(person) == before
    assert {name: (person / name).stat().st_mtime_ns for name in before} == stats


def test_what_a_run_wrote_stays_and_nothing_else_does(person, heard):
    place, work = made(person)
    heard.append(Recorder(str(work.parent / "received.jsonl"), str(work), (str(person), "")))
    (work / "model.pt").write_text("mine")
    (work / "ckpt" / "a").mkdir(parents=True)
    (work / "ckpt" / "a" / "1.pt").write_text("one")
    (work / "conf" / "a.yaml").write_text("lr: 2")
    heard.clear()
    wrote = clear_folder(place, str(work))
    assert wrote == [("ckpt/a/1.pt", 3), ("conf/a.yaml", 5), ("model.pt", 4)]
    assert tree(work) == {"ckpt/a/1.pt": "one", "conf/a.yaml": "lr: 2", "model.pt": "mine"}


def test_a_run_that_wrote_nothing_leaves_no_folder(person):
    place, work = made(person)
    assert clear_folder(place, str(work)) == []
    assert not work.exists()


def test_another_state_of_the_code_stands_over_the_persons(person, tmp_path):
    over = tmp_path / "over"
    for name, text in {"train.py": "other", "lib/new.py": "new", "conf/a.yaml": "lr: 9"}.items():
        (over / name).parent.mkdir(parents=True, exist_ok=True)
        (over / name).write_text(text)
    (tmp_path / "over.json").write_text('["train.py", "lib/new.py", "conf/a.yaml"]')
    (tmp_path / "mine.json").write_text('["train.py", "conf/a.yaml", "sub/deep/y.txt"]')
    place, work = made(person, over=str(over), instead=str(tmp_path / "mine"))
    assert (work / "train.py").read_text() == "other"
    assert (work / "lib" / "new.py").read_text() == "new"
    assert (work / "conf" / "a.yaml").read_text() == "lr: 9"
    assert (work / "data" / "x.bin").read_text() == "data"
    assert not (work / "sub" / "deep" / "y.txt").exists()
    assert clear_folder(place, str(work)) == []


def test_a_folder_of_many_files_is_linked_as_a_whole_and_few_files_are_copied(person):
    many = person / "many"
    many.mkdir()
    for number in range(MOST + 1):
        (many / f"{number}.py").touch()
    for number in range(MOST_COPIES + 50):
        (person / f"m{number}.py").touch()
    _, work = made(person)
    assert (work / "many").is_symlink()
    assert sum(path.is_file() and not path.is_symlink() for path in work.rglob("*")) == MOST_COPIES


def test_a_walk_enters_every_folder_however_many_there_are(person, heard):
    for folder in ("a", "b", "c"):
        (person / "many" / folder).mkdir(parents=True)
        for number in range(MOST // 2):
            (person / "many" / folder / str(number)).touch()
    _, work = made(person)
    heard.append(Recorder(str(work.parent / "received.jsonl"), str(work), (str(person), "")))
    assert sum(len(files) for _, _, files in os.walk(work / "many")) == 3 * (MOST // 2)
    assert sum(path.is_file() for path in (work / "many").rglob("*")) == 3 * (MOST // 2)


def test_where_nothing_listens_all_that_is_small_is_copied_and_nothing_is_a_link(person):
    place = Place(root=str(person), home=str(person / ".palate"))
    work = person / ".palate" / "runs" / "0" / "work"
    make_folder(place, str(work), guarded=False)
    found = subprocess.run(["find", ".", "-type", "f"], cwd=work, capture_output=True, text=True, check=True).stdout
    assert {"./large.bin", "./data/x.bin", "./model.pt"} <= set(found.split())
    subprocess.run("echo new >> model.pt", shell=True, cwd=work, check=True)
    assert (person / "model.pt").read_text() == "old"
    assert clear_folder(place, str(work)) == [("model.pt", 7)]


def test_environments_and_caches_are_never_entered(person):
    for name in (".git", "node_modules", "__pycache__", "venv"):
        (person / name).mkdir()
        (person / name / "x").touch()
    (person / "anyname").mkdir()
    (person / "anyname" / "pyvenv.cfg").touch()
    _, work = made(person)
    assert all((work / name).is_symlink() for name in ("node_modules", "venv", "anyname"))
    assert not any(os.path.lexists(work / name) for name in (".git", "__pycache__"))


def test_the_root_is_the_repository_and_never_the_home_folder(tmp_path, monkeypatch):
    deep = tmp_path / "repo" / "a" / "b"
    deep.mkdir(parents=True)
    home = deep / ".palate"
    assert place_of(deep, home).root == str(deep)
    (tmp_path / "repo" / ".git").mkdir()
    place = place_of(deep, home)
    assert (place.root, place.cwd) == (str(tmp_path / "repo"), "a/b")
    monkeypatch.setenv("HOME", str(tmp_path / "repo"))
    assert place_of(deep, home).root == str(deep)


def test_a_guard_leaves_alone_what_is_not_in_its_folder(tmp_path):
    (tmp_path / "x").symlink_to(tmp_path / "y")
    Guard(str(tmp_path / "work")).own(str(tmp_path / "x"))
    assert Path(tmp_path / "x").is_symlink()


def test_a_run_whose_copies_would_hold_a_secret_works_beside_the_store_and_what_it_wrote_is_brought_home(tmp_path):
    person, home = tmp_path / "person", tmp_path / "person" / ".palate"
    folder = home / "runs" / "r"
    folder.mkdir(parents=True)
    (person / "plain.py").write_text("lr = .1\n")
    place = Place(root=str(person), home=str(home))
    assert work_folder(place, str(folder), os.getpid(), secret=False) == str(folder / "work")
    (person / ".env").write_text("DB_PASSWORD=hunter2\n")
    gone = home.with_name(".palate.work") / "999999999-abcdefgh" / "work"
    gone.mkdir(parents=True)
    work = Path(work_folder(place, str(folder), os.getpid(), secret=False))
    assert not gone.exists()
    assert work.parent.parent == home.with_name(".palate.work")
    assert work.parent.stat().st_mode & 0o777 == 0o700
    make_folder(place, str(work))
    assert (work / ".env").read_text() == "DB_PASSWORD=hunter2\n"
    assert not (work / ".palate.work").exists()
    (work / "model.pt").write_text("w")
    assert not any(
        b"hunter2" in path.read_bytes() for path in home.rglob("*") if path.is_file() and "work" not in path.parts
    )
    assert clear_folder(place, str(work)) == [("model.pt", 1)]
    bring_home(str(folder), str(home))
    assert not (folder / "work").is_symlink()
    assert [path.name for path in (folder / "work").iterdir()] == ["model.pt"]
    assert not home.with_name(".palate.work").exists()
    bring_home(str(folder), str(home))  # twice is fine
