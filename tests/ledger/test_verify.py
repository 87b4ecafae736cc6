"""The seal is verified: record by record, against heads that were noted, and against the runs' own clocks."""

import subprocess
from datetime import timedelta

import pytest
from tests.ledger.forecasters import START

from palate.errors import ChainBrokenError, InputError, NotFoundError
from palate.ledger.verify import anchor_head, parse_head, read_anchors, verify
from palate.store.chain import Chain
from palate.store.project import Project

OTHER = "0" * 64


def git(folder, *words):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def asked(written):
    question = written.ask(written.question())
    written.say(question, "worse:80")
    return written


def test_a_chain_that_holds_is_counted(asked):
    verified = verify(asked.project)
    assert (verified.records, verified.kinds, verified.gone) == (2, {"question": 1, "forecast": 1}, 0)
    assert verified.head == asked.chain.records()[-1].hash
    assert verified.anchors == ()


def test_a_head_is_read_as_it_was_handed_over_and_held_against_the_chain(asked):
    head = asked.chain.head()[1]
    whole, start = parse_head(f"1:{head}"), parse_head(f" 1:{head[:12].upper()} ")
    assert [one.where for one in verify(asked.project, [whole, start]).anchors] == ["handed over"] * 2
    for broken in (f"1:{OTHER}", f"0:{head}", f"2:{head}"):
        with pytest.raises(ChainBrokenError, match="is not the one that was noted"):
            verify(asked.project, [parse_head(broken)])
    for text in ("nonsense", "1:abc", f"-1:{head}", head):
        with pytest.raises(InputError, match="is not the head of a chain"):
            parse_head(text)


def test_every_record_is_verified_whatever_the_index_says(asked):
    path = asked.chain.path
    index = path.with_name("chain.index").read_bytes()
    path.write_text(path.read_text().replace('"confidence": 80', '"confidence": 90'))
    path.with_name("chain.index").write_bytes(index)
    with pytest.raises(ChainBrokenError, match="record 1: its content was changed"):
        verify(asked.project)


def test_what_was_verified_before_is_told_from_what_is_verified_now(asked):
    assert verify(asked.project).anew == 2  # this chain sealed them itself
    again = Project(asked.project.home)
    assert (verify(again).anew, verify(again, full=True).anew) == (0, 2)
    asked.ask(asked.question(lr=0.9))
    index = again.chain.path.with_name("chain.index")
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:2]))  # as one that was not written on
    assert verify(Project(asked.project.home)).anew == 1


def test_a_chain_that_was_changed_together_with_its_index_is_found_in_full(asked):
    path = asked.chain.path
    path.write_text(path.read_text().replace('"confidence": 80', '"confidence": 90'))
    forged = Chain(path)
    forged.go_on()
    forged._index.write()
    assert verify(Project(asked.project.home)).records == 2
    with pytest.raises(ChainBrokenError, match="record 1: its content was changed"):
        verify(Project(asked.project.home), full=True)


def test_a_head_is_noted_in_git_and_shows_a_chain_that_was_made_anew(asked, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "t")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@example.org")
    with pytest.raises(NotFoundError, match="no git repository"):
        anchor_head(asked.chain, asked.folder, now=START)
    git(asked.folder, "init", "-q")
    git(asked.folder, "add", "train.py")
    git(asked.folder, "commit", "-q", "-m", "code")
    anchor = anchor_head(asked.chain, asked.folder, now=START)
    assert (anchor.number, anchor.hash) == (1, asked.chain.head()[1])
    asked.ask(asked.question(lr=0.9))
    anchor_head(asked.chain, asked.folder, now=START + timedelta(days=1))
    assert [one.number for one in read_anchors(asked.chain, asked.folder)] == [1, 2]
    assert len(verify(asked.project).anchors) == 2
    asked.chain.path.write_text(asked.chain.path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(ChainBrokenError, match="record 1 is not the one that was noted"):
        verify(asked.project)


def test_a_forecast_that_came_in_from_elsewhere_is_not_held_against_the_runs_here(asked):
    run = asked.write_run(asked.question(), "treatment", 0, 1.4, points=3, ended=False)
    assert verify(asked.project).records == 2  # the runs came after it
    asked.now += timedelta(hours=3)
    other = asked.ask(asked.question(margin=0.06))
    asked.say(other, "worse:80")
    with pytest.raises(ChainBrokenError, match=f"but {run} had logged by then"):
        verify(asked.project)
    asked.void(other, "forecast after the run had begun")
    assert verify(asked.project).records == 5


def test_a_forecast_that_was_sealed_while_the_clock_stood_behind_is_not_held_against_later_runs(asked):
    asked.now += timedelta(days=1)  # a clock that runs ahead, and is then put right
    asked.ask(asked.question(lr=0.8))
    asked.now -= timedelta(days=1)
    late = asked.ask(asked.question(lr=0.7))
    asked.say(late, "worse:80")
    asked.now += timedelta(hours=1)
    asked.write_run(late, "treatment", 0, 1.4, points=3, ended=False)
    assert verify(asked.project).records == 5


def test_an_index_that_was_made_elsewhere_vouches_for_nothing(asked, monkeypatch):
    path = asked.chain.path
    path.write_text(path.read_text().replace('"confidence": 80', '"confidence": 90'))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("palate.store.chain_index.user_key", lambda: b"another user's")
        forged = Chain(path)
        forged.go_on()
        forged._index.write()
    with pytest.raises(ChainBrokenError, match="record 1: its content was changed"):
        verify(Project(asked.project.home))
