"""What palate starts and prints of what others wrote: nothing unasked, nothing that a terminal obeys."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.workplace import PALATE, RUN, Workplace
from tests.loop.written_project import WrittenProject

from palate.cli.plain import shown, shown_lines
from palate.question.target import Task

EVIL = "v\x1b[2J\x9b31m\u202e\r\nacc"


@pytest.fixture
def received(tmp_path):
    """A project that came from elsewhere, with its store: a verdict in it claims a difference of a command."""
    written = WrittenProject(tmp_path)
    question = written.question()
    task = Task(kind="command", argv=("/bin/sh", "-c", f"touch {tmp_path}/stolen; exit 1", "\x1b[2Jx"))
    target = replace(question.target, task=task, label="train", how={}, takes_any=True, settings={}, argv=("a b",))
    question = replace(question, target=target, changes=())
    question = replace(question, changes=(replace(written.question().changes[0], path="\x1b]0;lr"),))
    written.ask(question)
    written.write_pairs(question, 1.0, 0.2)
    assert written.report(question).judgement.verdict.kind == "better"
    return Workplace(tmp_path), question


def test_a_received_command_is_not_started_by_any_command(received):
    workplace, question = received
    stolen = workplace.folder / "stolen"
    for words in (("verdict", question.experiment), ("show", "last"), ("list",), ("forecast", "last", "--show")):
        assert workplace.call(*words).returncode == 0
    refused = workplace.process("confirm")
    assert refused.returncode == 4
    assert "was not asked by you at this place" in refused.stderr
    assert f"/bin/sh -c 'touch {workplace.folder}/stolen; exit 1'" in refused.stderr
    assert r"\x1b[2Jx" in refused.stderr
    assert workplace.json("confirm", status=4)["error"] == "RefusedError"
    assert not stolen.exists()
    workplace.process("confirm", "--trust")
    assert stolen.exists()


def test_at_a_terminal_a_received_command_is_shown_and_waits_for_a_yes(received):
    workplace, _ = received
    terminal = workplace.terminal("confirm")
    terminal.expect("not asked by you at this place")
    terminal.expect(r"touch .*stolen; exit 1")
    terminal.expect(r"Start them\? \[y/N\]")
    terminal.sendline("")
    terminal.expect("Nothing was started")
    terminal.close()
    assert not (workplace.folder / "stolen").exists()


@pytest.mark.slow
def test_what_was_confirmed_is_noted_and_a_copy_of_it_asks_anew(received, tmp_path):
    workplace, _ = received
    assert "would run was not asked" not in workplace.process("confirm", "--trust").stderr
    assert "would run was not asked" not in workplace.process("confirm").stderr
    copy = Workplace(tmp_path / "copy")
    shutil.copytree(tmp_path / ".palate", tmp_path / "copy" / ".palate")
    assert "would run was not asked" in copy.process("confirm").stderr


def has_controls(text):
    return any(ord(letter) < 32 and letter not in "\n\t" for letter in text) or any(
        letter in text for letter in "\x7f\x9b\u202e\u2066"
    )


def test_no_control_character_of_a_name_reaches_what_reads_the_output(workplace):
    workplace.write(
        "import palate, random, sys\ngain = 0.5\nseed = 0\nrandom.seed(seed)\n"
        "print('\\x1b[2J\\x1b]0;owned\\x07 out\\u202e', flush=True)\n"
        f"palate.log(0, val_acc=gain + random.random() / 100, **{{{EVIL!r}: 1.0}})\n"
        "if gain > .8: raise SystemExit('\\x1b[31mred\\x1b[0m')\n",
        "train.py",
    )
    ended = workplace.call(*RUN, "-c", "gain=0.9", "--pairs", "2", "--no-forecast")
    assert not has_controls(ended.stdout + ended.stderr)
    runs = sorted(path.name for path in (workplace.folder / ".palate" / "runs").iterdir())
    calls = [("list",), ("list", "--runs"), ("show", "last"), ("verdict",), ("show", "gone\x1b[2J"), ("\x1b[2J",)]
    calls += [("show", run, *more) for run in runs for more in ((), ("--output",), ("--json",))]
    calls += [
        ("forecast", "last", "--void", "x\x1b[2Jy"),
        ("list",),
        ("forecast", "last", "--show"),
        ("list", "--json"),
    ]
    for words in calls:
        ended = workplace.call(*words)
        assert not has_controls(ended.stdout + ended.stderr), words
    text = workplace.call("show", runs[0], "--output").stdout
    assert r"\x1b[2J" in text
    assert r"\u202e" in text


def test_what_palate_itself_writes_is_printed_as_ever():
    plain = "lr 0.1 \u2192 0.2\t| \u6d41\u308c \U0001f600 \u00e9"
    assert shown(plain) == plain
    assert shown_lines("a\nb\x1b") == "a\nb\\x1b"
    assert shown("a\nb\x7f\udcff\u2028") == r"a\nb\x7f\udcff\u2028"


COMMANDS = ("list", "list --json", "show last", "--help", "verify", "score --json", "doctor", "skill", "show ''")
FEW = [pytest.param(words, marks=[pytest.mark.slow] * (words not in COMMANDS[:2])) for words in COMMANDS]


def shell(workplace, line, **more):
    """Run a line of bash in which $P is palate; give its process."""
    environment = {**workplace.environment, "P": " ".join(PALATE), **more}
    return subprocess.run(
        ["/bin/bash", "-c", line], cwd=workplace.folder, env=environment, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("words", FEW)
def test_a_reader_that_has_had_enough_ends_a_command_quietly(workplace, words):
    ended = shell(workplace, f"$P {words} | true; echo ${{PIPESTATUS[0]}}")
    assert ended.stdout in ("0\n", "2\n", "3\n")  # refused: there is no such experiment to show
    assert "Traceback" not in ended.stderr
    assert "Broken" not in ended.stderr


def test_a_full_disk_behind_the_output_is_told(workplace):
    for words in ("list", "list --json"):
        ended = shell(workplace, f"$P {words} > /dev/full")
        assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
        assert ended.stderr.startswith("StoreError: What was to be printed cannot be written: No space left on device.")


def test_a_closed_output_is_no_fault(workplace):
    assert shell(workplace, "$P list >&-").returncode == 0
    assert shell(workplace, "$P list 2>&- <&-").returncode == 0


@pytest.mark.parametrize("name", ["", "/", "../x", "*", "?", "[a-z]*", "a/b", "\x1b", "x" * 300, "a\nb"])
def test_a_name_that_can_be_none_is_refused(workplace, name):
    ended = workplace.call("show", name)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "is no id of an experiment or a run" in ended.stderr


SURROUNDINGS = {
    "no home that can be written": {"HOME": "/dev/null"},
    "a home that is a file": {"HOME": "<HERE>/train.py", "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": ""},
    "a home that is no path": {"HOME": "somewhere", "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": ""},
    "files for folders": {"XDG_STATE_HOME": "<HERE>/train.py", "XDG_CONFIG_HOME": "<HERE>/train.py"},
    "folders that are no paths": {"XDG_STATE_HOME": "some", "XDG_CONFIG_HOME": "where"},
    "no letters but ASCII's": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": ""},
    "an output of ASCII": {"PYTHONIOENCODING": "ascii:strict"},
    "a strange terminal": {"TERM": "", "COLUMNS": "wide"},
}


@pytest.mark.parametrize("name", list(SURROUNDINGS)[2:6:3])
def test_palate_can_be_called_wherever_it_is(workplace, name):
    ended = workplace.process("config", **around(workplace, name))
    assert (ended.returncode, ended.stderr) == (0, "")


def around(workplace, name):
    return {key: value.replace("<HERE>", str(workplace.folder)) for key, value in SURROUNDINGS[name].items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_palate_works_wherever_it_is_called(workplace, name):
    more = around(workplace, name)
    before = set(workplace.folder.iterdir())
    ended = workplace.process(*RUN, "-c", "gain=0.9", "--pairs", "2", "--no-forecast", "--why", "", **more)
    assert ended.returncode == 0, ended.stderr
    listed = workplace.process("list", **more)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert {path.name for path in set(workplace.folder.iterdir()) - before} <= {".palate", "somewhere", "some"}


def test_a_folder_that_is_gone_is_told(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        f"import os, shutil, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\nfrom palate.cli import main\nmain()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PALATE_HOME"}
    for words, status in ((["list"], 3), (["list", "--json"], 3), (["--help"], 0)):
        ended = subprocess.run(
            [PALATE[0], "-c", script, *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert ended.returncode == status, ended.stderr
        assert "Traceback" not in ended.stderr
        gone.mkdir(exist_ok=True)


def test_a_name_that_is_no_text_is_told(workplace):
    name = os.fsdecode(b"a\xff.py")
    shutil.copy(workplace.folder / "train.py", workplace.folder / name)
    ended = workplace.process("run", name, "-c", "gain=0.9", "--metric", "val_acc")
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert r"a\udcff.py' is not UTF-8" in ended.stderr
    assert workplace.process("recipe", "show", os.fsdecode(b"a\xff.yaml")).returncode == 3


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_user_without_an_entry_and_without_a_home_can_look_and_is_a_forecaster(workplace):
    script = "import os, sys; from palate.cli import main\nimport palate.cli.list_, palate.cli.config, palate.web\n"
    script += "os.setgid(54321); os.setuid(54321)\nfrom palate.cli.common import whoami\nprint(whoami().name)\nmain()"
    for folder in (workplace.folder, *workplace.folder.parents):
        if folder.owner() == "root" and len(folder.parts) > 2:
            folder.chmod(0o755)
    Path(workplace.folder).chmod(0o777)
    keep = {"PATH", "PYTHONPATH", "PALATE_HOME"}
    environment = {name: value for name, value in workplace.environment.items() if name in keep}
    for words in (["config"], ["list"]):
        ended = subprocess.run(
            [PALATE[0], "-c", script, *words], cwd=workplace.folder, env=environment, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("user 54321\n")


def test_files_are_written_and_read_the_same_whatever_the_locale(workplace):
    ascii_only = SURROUNDINGS["no letters but ASCII's"]
    metric = "pr\u00e9cision"
    asked = workplace.call("run", "train.py", "-c", "gain=0.9", "--metric", metric, "--goal", "max", "--ask",
                           "--margin", "1", "--forecast", "better:70", "--why", "\u2265 more")  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    written = workplace.process("forecast", "last", "--export", "q.json", **ascii_only)
    assert written.returncode == 0, written.stderr
    assert metric in (workplace.folder / "q.json").read_text(encoding="utf-8")
    assert workplace.json("forecast", "--import", "q.json")["known"] == 1


@pytest.mark.parametrize("words", [("recipe", "show"), ("run",), ("show",), ("recipe", "diff")])
def test_a_name_that_is_too_long_for_any_file_is_not_found(words, tmp_path):
    ended = Workplace(tmp_path).call(*words, "x" * 300)
    assert ended.returncode in (2, 3)
    assert "Traceback" not in ended.stderr
