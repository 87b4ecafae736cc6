"""A kept question starts nothing that this user did not ask for at this place, or confirm."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.loop.trained_project import DEBUG, Recorder, TrainedProject

from palate.errors import RefusedError
from palate.ledger.records import Export, question_body, question_of
from palate.loop.confirm import confirm
from palate.loop.exchange import take_in
from palate.loop.trust import Trust, command_lines, vouched, what_is_started
from palate.question.question import build_question
from palate.question.target import Task, find_target
from palate.store.project import Project
from palate.training.launch import Engines


def kept(question):
    """Give a question as it is read from a chain or a file."""
    return question_of(json.loads(json.dumps(question_body(question))))


class Asked:
    """Somebody who is shown what would be started."""

    def __init__(self, answer):
        self.answer, self.shown = answer, []

    def __call__(self, strange):
        self.shown += [question.experiment for question in strange]
        return self.answer


def check(project, trust):
    from palate.store.catalog import Catalog

    with Catalog.open(project) as catalog:
        return confirm(catalog, DEBUG, lambda _: Recorder(), trust=trust)


@pytest.fixture
def won(trained):
    """A question whose verdict claims a difference."""
    question = trained.question(budget=4)
    trained.run(question)
    return question


def test_what_a_person_asked_for_here_is_started_without_asking(trained, won):
    asked = Asked(False)
    [checked] = check(trained.project, asked)
    assert checked.confirmation.badge == "confirmed"
    assert asked.shown == []


def test_a_copied_project_does_not_start_the_file_that_it_was_copied_from(trained, won, tmp_path):
    copy = Project(tmp_path / "elsewhere" / ".palate")
    shutil.copytree(trained.project.home, copy.home)
    yes = Asked(True)
    with pytest.raises(RefusedError, match="is not in this project"):
        check(copy, yes)
    assert yes.shown == []


def test_a_file_that_is_not_there_any_more_is_named(trained, won, tmp_path):
    (tmp_path / "train.py").rename(tmp_path / "moved.py")
    with pytest.raises(RefusedError, match=r"train\.py, which is not there"):
        check(trained.project, Asked(True))


def test_a_copied_store_asks_once_before_it_starts_anything(trained, won, tmp_path):
    copy = Project(tmp_path / ".palate-copy")
    shutil.copytree(trained.project.home, copy.home)
    runs = set(copy.runs.iterdir())
    no, yes, again = Asked(False), Asked(True), Asked(False)
    with pytest.raises(RefusedError, match="Nothing was started") as refused:
        check(copy, no)
    assert "train.py" in str(refused.value)
    assert "--trust" in str(refused.value)
    assert set(copy.runs.iterdir()) == runs
    assert len(check(copy, yes)) == 1
    assert (no.shown, yes.shown) == ([won.experiment], [won.experiment])
    assert len(check(copy, again)) == 1  # its runs are there
    assert again.shown == []
    assert Trust.of(copy).knows(won)


def test_what_was_confirmed_is_asked_again_where_anything_of_it_changed(trained, won):
    trust, target = Trust.of(trained.project), won.target
    assert trust.knows(kept(won))
    assert not Trust(None, "").knows(won)
    for other in (
        replace(target, argv=("--epochs", "5")),
        replace(target, task=replace(target.task, file="/elsewhere/train.py")),
        replace(target, task=Task(kind="command", argv=("rm", "-r", "."))),
        replace(target, settings={**target.settings, "width": 9}),
        replace(target, folder=".."),
    ):
        assert not trust.knows(replace(won, target=other))
    assert trust.knows(replace(won, margin=0.5, budget=9))


def test_another_state_of_a_pickle_is_another_thing_to_start(trained, won, tmp_path):
    file = tmp_path / "fit.pickle"
    file.write_bytes(b"one")
    question = replace(won, target=replace(won.target, task=Task(kind="pickle", file=str(file), name="fit")))
    before = what_is_started(question)
    file.write_bytes(b"two")
    assert what_is_started(question) != before


@pytest.mark.parametrize(
    "task",
    [
        Task(kind="command", argv=("/bin/sh", "-c", "touch stolen")),
        Task(kind="script", file="train.py"),
        Task(kind="function", file="train.py", name="f"),
        Task(kind="module", module="antigravity", name="f"),
        Task(kind="pickle", file="f.pickle", name="f"),
    ],
)
def test_no_engine_starts_or_warms_what_was_read(trained, won, task):
    read = kept(replace(won, target=replace(won.target, task=task)))
    with Engines(DEBUG) as engines:
        with pytest.raises(RefusedError, match="is not started"):
            engines.warm(read.target.task)
        with pytest.raises(RefusedError, match="is not started"):
            engines.submit(read.target.task, read.plan.order("baseline", 0, "x", Path("x")))
        assert not engines.started


def test_a_file_cannot_say_that_it_is_trusted(won):
    body = json.loads(json.dumps(question_body(won)))
    body["target"]["task"]["vouched"] = True
    assert not question_of(body).target.task.vouched


def test_a_received_question_is_marked_in_what_is_sealed(trained, tmp_path):
    (tmp_path / "bob").mkdir()
    bob = TrainedProject(tmp_path / "bob")
    question = trained.question()
    with bob.catalog() as catalog:
        take_in(catalog, Export.read(Export(question=kept(question), sent=()).body()), now=bob_now())
    [record] = bob.project.chain.records("question")
    assert record.body["trusted"] is False
    assert not bob.ledger.read(question.experiment).sealed.trusted
    assert not Trust.of(bob.project).knows(question)


def bob_now():
    from datetime import UTC, datetime

    return datetime.now(UTC)


def test_code_that_is_not_what_the_question_was_asked_of_is_not_started(trained, won):
    trained.write((trained.folder / "train.py").read_text() + "print('more')\n")
    for trust in (Asked(True), Asked(False)):
        with pytest.raises(RefusedError, match=r"is not what .* was asked of"):
            check(trained.project, trust)


def test_all_that_would_be_started_is_shown(trained, tmp_path):
    script = tmp_path / "a b.py"
    script.write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=1.0)\n"
    )
    question = build_question(find_target(str(script), ["--name", "x\x1b[2J"]), {"lr": 0.5}, metric="loss", goal="min")
    text = "\n".join(command_lines(question))
    assert f"'{script}'" in text
    assert "--lr=0.5" in text
    assert "'x\x1b[2J'" in text  # what prints it shows the escape
    evil = replace(question, target=replace(question.target, task=Task(kind="command", argv=("sh", "-c", "a; b"))))
    assert "sh -c 'a; b'" in command_lines(evil)[1]
    pickled = replace(question, target=replace(question.target, task=Task(kind="pickle", file="f.p", name="fit")))
    assert "unpickle f.p" in command_lines(pickled)[1]


def test_nothing_is_noted_where_the_user_has_no_folder_that_can_be_written(trained, won, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    trust = Trust(blocked / "trusted" / "x", "here")
    trust.add(won)
    assert not trust.knows(won)
    asked = Asked(True)
    assert vouched(trained.project, [kept(won)], asked)[0].target.task.vouched
    assert asked.shown == []
