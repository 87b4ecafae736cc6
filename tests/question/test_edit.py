"""An edit of the code as the change: two states, each materialised once by its content; git is only read."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from palate.errors import InputError, NotFoundError, PalateError, RefusedError, SettingError
from palate.ledger.records import question_body, question_of
from palate.question.edit import edit_between, edit_of_target
from palate.question.question import build_question
from palate.question.target import find_target, target_of_function

TRAIN = "import losses\nimport palate\nlr = 0.1\nseed = 0\npalate.log(0, val_acc=losses.Focal().forward(lr))\n"
LOSSES = "class Focal:\n    def forward(self, x):\n        return x\n\n\ndef other(x):\n    return x\n"


def git(folder, *words):
    more = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, env={**os.environ, **more}, check=True)
    return done.stdout.decode()


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def repo(tmp_path, monkeypatch):
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write(folder, train_dot_py=TRAIN, losses_dot_py=LOSSES, conf_dot_yaml="lr: 1\n", _dot_gitignore="data/\n.palate\n")
    write(folder, data__x_dot_csv="1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    monkeypatch.chdir(folder)
    return folder


def state(folder):
    """A hash of everything, git's own files included."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and ".palate" not in path.parts
    }


def ask(folder, **more):
    return edit_between("train.py", (), home=folder / ".palate", **more)


def over(target, name):
    with open(os.path.join(target.task.place.over, name)) as file:
        return file.read()


def held(tree):
    """Names, links and contents of a materialised state."""
    return {
        path.relative_to(tree): (path.is_symlink(), path.is_file() and path.read_bytes()) for path in tree.rglob("*")
    }


SPOILED = {
    "another content": lambda tree: (tree / "losses.py").write_text("import os\n"),
    "one more file": lambda tree: (tree / "random.py").write_text("import os\n"),
    "a link for a file": lambda tree: ((tree / "losses.py").unlink(), (tree / "losses.py").symlink_to("/etc/passwd")),
    "a link to a folder": lambda tree: (tree / "torch").symlink_to("/tmp"),
    "a file less": lambda tree: (tree / "losses.py").unlink(),
    "another list": lambda tree: Path(f"{tree}.json").write_text("[]"),
    "no list": lambda tree: Path(f"{tree}.json").unlink(),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_state_in_the_store_is_not_run_from_unless_it_is_what_its_name_says(repo, spoil):
    write(repo, losses_dot_py=LOSSES + "\nmore = 1\n")
    edit_between("train.py", (), home=repo / ".palate", against="HEAD")
    for tree in [path for path in (repo / ".palate" / "trees").iterdir() if path.is_dir()]:
        before = held(tree)
        spoil(tree)
        edit_between("train.py", (), home=repo / ".palate", against="HEAD")
        assert held(tree) == before
        assert Path(f"{tree}.json").read_text().count("losses.py") == 1
    assert {path.suffix for path in (repo / ".palate" / "trees").iterdir()} == {"", ".json"}


def test_uncommitted_edits_against_a_revision(repo):
    write(repo, losses_dot_py=LOSSES.replace("        return x", "        y = 2 * x\n        return y"))
    before = state(repo)
    target, edit = ask(repo, against="HEAD")
    assert state(repo) == before
    assert over(target, "losses.py") == LOSSES
    assert "2 * x" in over(edit.target, "losses.py")
    assert edit.words == "losses.py: Focal.forward +2 -1"
    assert edit.lines == {"losses.py": (3, 4)}
    assert str(edit.change).startswith("code HEAD ") and "working tree (losses.py: Focal.forward +2 -1)" in str(
        edit.change
    )
    assert target.code != edit.target.code
    assert target.task.file == edit.target.task.file == str(repo / "train.py")


def test_a_baseline_of_a_clean_revision_has_the_key_of_a_plain_run(repo):
    plain = build_question(find_target("train.py"), {"lr": 0.2}, metric="val_acc")
    write(repo, losses_dot_py=LOSSES.replace("return x", "return 3 * x"))
    target, edit = ask(repo, against="HEAD")
    asked = build_question(target, {}, metric="val_acc", edit=edit)
    assert asked.plan.keys["baseline"] == plain.plan.keys["baseline"]
    assert asked.plan.keys["treatment"] not in plain.plan.keys.values()
    assert asked.text.endswith("all else equal: val_acc against the baseline?")
    assert question_of(question_body(asked)) == asked
    assert question_of(question_body(asked)).experiment == asked.experiment


def test_the_other_way_round_and_a_setting_beside(repo):
    git(repo, "checkout", "-qb", "idea")
    write(repo, losses_dot_py=LOSSES.replace("return x", "return 3 * x"))
    git(repo, "commit", "-qam", "idea")
    git(repo, "checkout", "-q", "main")
    target, edit = ask(repo, tried="idea")
    assert over(target, "losses.py") == LOSSES
    assert "3 * x" in over(edit.target, "losses.py")
    asked = build_question(target, {"lr": 0.2}, metric="val_acc", edit=edit)
    assert [change.path for change in asked.declared] == ["code", "lr"]
    assert "2 changes at once" in asked.text


def test_a_stash_is_a_revision_and_stays_one(repo):
    write(repo, losses_dot_py=LOSSES.replace("return x", "return 3 * x"))
    git(repo, "stash")
    before = state(repo)
    _, edit = ask(repo, tried="stash")
    assert "3 * x" in over(edit.target, "losses.py")
    assert state(repo) == before


def test_another_copy_of_the_code(repo, tmp_path):
    write(tmp_path / "copy", train_dot_py=TRAIN, losses_dot_py=LOSSES.replace("return x", "return 9 * x"))
    target, _ = ask(repo, against=str(tmp_path / "copy"))
    assert "9 * x" in over(target, "losses.py")
    assert target.task.place.root == str(repo)
    assert "conf.yaml" in target.task.place.hidden()


def test_files_that_one_side_lacks_are_not_seen_by_it(repo):
    write(repo, extra_dot_py="x = 1\n", train_dot_py=f"import extra\n{TRAIN}")
    target, edit = ask(repo, against="HEAD")
    assert target.task.place.hidden() == {"extra.py"}
    assert edit.target.task.place.hidden() == frozenset()
    assert "extra.py new" in edit.words or "2 files" in edit.words


def test_data_is_never_copied(repo):
    write(repo, data__big_dot_bin="x" * 2_000_000, tracked_dot_bin="y" * 200_000, new_dot_npy="z" * 100)
    git(repo, "add", "tracked.bin")
    git(repo, "commit", "-qm", "data")
    write(repo, losses_dot_py=LOSSES.replace("return x", "return 3 * x"))
    target, _ = ask(repo, against="HEAD")
    held = [os.path.join(where, name) for where, _, names in os.walk(repo / ".palate" / "trees") for name in names]
    assert not [path for path in held if path.endswith((".bin", ".npy"))]
    assert not target.task.place.hidden() & {"tracked.bin", "data/big.bin", "new.npy"}


def test_a_large_file_that_differs_is_taken_from_the_revision(repo):
    write(repo, w_dot_bin="y" * 200_000)
    git(repo, "add", "w.bin")
    git(repo, "commit", "-qm", "data")
    write(repo, w_dot_bin="z" * 200_000)
    target, _ = ask(repo, against="HEAD")
    assert over(target, "w.bin") == "y" * 200_000


def test_an_edit_that_the_imports_do_not_show_makes_another_key(repo):
    write(repo, conf_dot_yaml="lr: 2\n")
    target, edit = ask(repo, against="HEAD")
    assert edit.words == "conf.yaml +1 -1"
    keys = build_question(target, {}, metric="val_acc", edit=edit).plan.keys
    assert keys["baseline"] != keys["treatment"]


def test_a_repository_in_a_subfolder_and_names_that_are_odd(repo, monkeypatch):
    (repo / "sub dir").mkdir()
    write(repo / "sub dir", train_dot_py="import palate\nlr = 1\n", **{"é\nx": "1"})
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "two")
    write(repo / "sub dir", train_dot_py="import palate\nlr = 1\nx = 2\n")
    monkeypatch.chdir(repo / "sub dir")
    target, edit = ask(repo, against="HEAD")
    assert target.task.place.cwd == "sub dir"
    assert edit.words == "sub dir/train.py +1 -0"


REFUSED = {
    "nothing differs": (SettingError, "Nothing differs", {}),
    "only comments": (SettingError, "Only comments and layout", {"losses_dot_py": f"# said\n{LOSSES}"}),
}


@pytest.mark.parametrize(("kind", "words", "files"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_question_is_refused(repo, kind, words, files):
    write(repo, **files)
    with pytest.raises(kind, match=words):
        ask(repo, against="HEAD")


def test_revisions_that_are_not_there_are_named_with_those_that_are(repo):
    with pytest.raises(NotFoundError, match="no revision mian") as error:
        ask(repo, against="mian")
    assert "main" in str(error.value)
    with pytest.raises(InputError, match="do not go together"):
        ask(repo, against="HEAD", tried="main")
    with pytest.raises(NotFoundError):
        ask(repo, against="--upload-pack=touch x")


def test_a_repository_without_commits_and_a_folder_without_git(tmp_path, monkeypatch):
    write(tmp_path / "a", train_dot_py=TRAIN, losses_dot_py=LOSSES)
    monkeypatch.chdir(tmp_path / "a")
    with pytest.raises(RefusedError, match="in no git repository"):
        ask(tmp_path / "a", against="HEAD")
    git(tmp_path / "a", "init", "-q")
    with pytest.raises(NotFoundError, match="no commits yet"):
        ask(tmp_path / "a", against="HEAD")


def test_a_file_that_one_side_lacks_cannot_be_run_there(repo):
    write(repo, new_dot_py="import palate\nlr = 1\n")
    with pytest.raises(NotFoundError, match=r"new.py is not in HEAD"):
        edit_between("new.py", (), home=repo / ".palate", against="HEAD")


def test_what_git_lfs_keeps_is_seen_where_it_is_or_refused(repo):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n"
    write(repo, w_dot_bin=pointer.format("a" * 64))
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "lfs")
    write(repo, losses_dot_py=LOSSES.replace("return x", "return 3 * x"))
    target, _ = ask(repo, against="HEAD")
    assert target.task.place.hidden() == frozenset()
    write(repo, w_dot_bin=pointer.format("b" * 64))
    with pytest.raises(InputError, match="git-lfs"):
        ask(repo, against="HEAD")


def test_a_submodule_is_seen_where_it_is(repo, tmp_path):
    write(tmp_path / "inner", x_dot_py="x = 1\n")
    git(tmp_path / "inner", "init", "-q")
    git(tmp_path / "inner", "add", "-A")
    git(tmp_path / "inner", "commit", "-qm", "inner")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "inner"), "inner")
    git(repo, "commit", "-qm", "submodule")
    write(repo, losses_dot_py=LOSSES.replace("return x", "return 3 * x"))
    target, _ = ask(repo, against="HEAD")
    assert "inner" not in target.task.place.hidden()
    assert not os.path.exists(os.path.join(target.task.place.over, "inner"))


def test_materialised_once_whatever_is_asked_how_often(repo):
    write(repo, losses_dot_py=LOSSES.replace("return x", "return 3 * x"))
    first, _ = ask(repo, against="HEAD")
    again, _ = ask(repo, against="HEAD")
    assert first.task.place == again.task.place
    assert len([path for path in (repo / ".palate" / "trees").iterdir() if path.is_dir()]) == 2


def test_a_function_against_another_one(tmp_path):
    namespace = {}
    exec(
        "def one(run, *, lr=.1):\n    run.log(0, a=lr)\ndef two(run, *, lr=.1):\n    run.log(0, a=2 * lr)\n", namespace
    )
    one, two = (target_of_function(namespace[name], tmp_path, {"metric": "a"}) for name in ("one", "two"))
    target, edit = edit_of_target(two, one, home=tmp_path)
    assert (target, edit.target, edit.before, edit.after) == (one, two, "one", "two")
    with pytest.raises(SettingError, match="against itself"):
        edit_of_target(one, one, home=tmp_path)
    with pytest.raises(InputError, match="has no file"):
        edit_of_target(one, "HEAD", home=tmp_path)


@pytest.mark.parametrize("setting", ["touched", "autocrlf", "filter", "link", "folder link"])
def test_a_clean_tree_is_no_edit_however_git_keeps_it(repo, setting):
    if setting == "autocrlf":
        git(repo, "config", "core.autocrlf", "true")
        (repo / "conf.yaml").write_bytes(b"lr: 1\r\n")
    elif setting == "filter":
        git(repo, "config", "filter.up.clean", "tr A-Z a-z")
        git(repo, "config", "filter.up.smudge", "tr a-z A-Z")
        write(repo, _dot_gitattributes="*.up filter=up\n", x_dot_up="ABC\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "filter")
    elif setting == "link":
        (repo / "cur.yaml").symlink_to("conf.yaml")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "link")
    elif setting == "folder link":
        (repo.parent / "shared").mkdir()
        (repo / "shared").symlink_to("../shared")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "link")
    else:
        os.utime(repo / "losses.py", (1, 1))
        os.utime(repo / "conf.yaml", (1, 1))
    with pytest.raises(SettingError, match="Nothing differs"):
        ask(repo, against="HEAD")
    write(repo, losses_dot_py=LOSSES.replace("return x", "return 3 * x"))
    target, edit = ask(repo, against="HEAD")
    assert edit.words.startswith("losses.py: ")
    assert "files" not in edit.words
    assert target.task.place.hidden() == frozenset()


def test_a_submodule_at_another_commit_is_refused(repo, tmp_path):
    write(tmp_path / "inner", x_dot_py="x = 1\n")
    git(tmp_path / "inner", "init", "-q")
    git(tmp_path / "inner", "add", "-A")
    git(tmp_path / "inner", "commit", "-qm", "inner")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "inner"), "inner")
    git(repo, "commit", "-qm", "submodule")
    write(repo / "inner", x_dot_py="x = 2\n")
    git(repo / "inner", "commit", "-qam", "two")
    git(repo, "commit", "-qam", "bump")
    with pytest.raises(InputError, match="submodule inner"):
        ask(repo, against="HEAD~1")


def test_of_a_settings_file_the_lines_are_counted_and_not_matched(repo):
    text = "\n".join(f'  "{number % 9}": 1,' for number in range(10_000))
    write(repo, big_dot_json=text)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "big")
    write(repo, big_dot_json=text.replace('"3": 1', '"3": 2'))
    _, edit = ask(repo, against="HEAD")
    assert edit.words == "big.json +1111 -1111"
    assert edit.lines == {}


def test_no_fault_of_a_state_is_more_than_a_refusal(repo):
    write(repo, losses_dot_py="def broken(:\n")
    with pytest.raises(PalateError):
        ask(repo, against="HEAD")
