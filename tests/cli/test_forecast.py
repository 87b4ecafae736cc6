"""Forecasts on the command line: several people and agents, revisions, voids, files between colleagues, anchors."""

import json
import shutil
import subprocess
import sys
import time

import pexpect
import pytest
from tests.cli.workplace import RUN, Workplace

ASK = (*RUN, "-c", "gain=0.1", "--ask")


@pytest.fixture
def asked(workplace):
    """A workplace in which ada asked a question and forecast it; nothing was run."""
    words = ("--margin", "0.003", "--forecast", "worse:80", "--why", "slower", "--author", "ada")
    report = workplace.json(*ASK, *words)
    assert report["runs"]["made"] == 0
    return workplace, report["experiment"]


@pytest.mark.slow
def test_others_forecasts_are_hidden_until_ones_own_is_sealed(asked):
    workplace, experiment = asked
    hidden = workplace.call("forecast", experiment, "--author", "bob")
    assert "1 of others: hidden" in hidden.stdout
    assert "worse" not in hidden.stdout
    assert "Yours is not" in hidden.stdout
    assert (
        workplace.json("forecast", experiment, "-0.1/0.01/0.1", "--author", "dora")["forecast"]["quantiles"][0] == -0.1
    )
    assert workplace.json("forecast", experiment, "--author", "bob")["forecasts"] == []
    assert workplace.json("show", experiment, PALATE_AUTHOR="bob")["forecasts"] == []
    assert workplace.json("list", PALATE_AUTHOR="bob")["rows"][0]["forecast"] is None
    assert "80" not in workplace.call("verdict", experiment, PALATE_AUTHOR="bob").stdout
    report = workplace.json(
        "forecast", experiment, '{"answer": "better", "confidence": 60}', "--author", "robo", "--agent"
    )
    assert [(one["author"], one["agent"]) for one in report["forecasts"]] == [
        ("ada", False),
        ("dora", False),
        ("robo", True),
    ]
    assert workplace.json("list", PALATE_AUTHOR="bob")["rows"][0]["others"] == 3
    assert report["forecasts"][0]["why"] == "slower"


def test_everybody_is_scored_against_the_same_reference_and_the_mean_of_all_is_one_more(asked):
    workplace, experiment = asked
    workplace.json("forecast", experiment, "better:60", "--author", "robo", "--agent")
    report = workplace.json(*RUN, "-c", "gain=0.1", "--author", "ada")
    bits = {one["author"]: one["score"]["bits"] for one in report["forecasts"]}
    assert bits["ada"] > 0 > bits["robo"]
    assert report["forecasts"][0]["reference"] == report["forecasts"][1]["reference"]
    assert report["score"]["crps"] < report["score"]["crps_reference"]
    standings = {one["author"]: one for one in workplace.json("skill")["forecasters"]}
    assert standings["robo"]["agent"]
    assert bits["robo"] < standings["mean of all"]["skill"]["mean"] < bits["ada"]
    assert workplace.json("score", "--author", "robo")["scored"][0]["said"] == "better, 60 %"


@pytest.mark.slow
def test_one_revision_is_kept_beside_the_first_answer_and_scored_apart(asked):
    workplace, experiment = asked
    report = workplace.json("forecast", experiment, "--revise", "worse:97", "--author", "ada")
    assert report["forecast"]["confidence"] == 80
    assert report["revision"]["confidence"] == 97
    refused = workplace.call("forecast", experiment, "--revise", "worse:60", "--author", "ada")
    assert refused.returncode == 4
    assert "one revision" in refused.stderr
    assert workplace.call("forecast", experiment, "--revise", "worse:60", "--author", "eve").returncode == 4
    assert workplace.call("forecast", experiment, "worse:60", "--author", "ada").returncode == 4
    report = workplace.json(*RUN, "-c", "gain=0.1", "--author", "ada")
    first, second = (one["score"]["bits"] for one in report["forecasts"])
    assert second > first
    [standing] = workplace.json("skill")["forecasters"]
    assert standing["revised"] == 1
    assert standing["considered"] == pytest.approx(second)
    assert standing["skill"]["mean"] == pytest.approx(first)
    assert workplace.call("forecast", experiment, "--revise", "worse:60", "--author", "ada").returncode == 4


@pytest.mark.slow
def test_voiding_wants_a_reason_stays_visible_and_counts_for_nobody(asked):
    workplace, experiment = asked
    assert "no reason is given" in workplace.call("forecast", experiment, "--void", " ").stderr
    workplace.json(*RUN, "-c", "gain=0.1", "--author", "ada")
    assert len(workplace.json("score", "--author", "ada")["scored"]) == 1
    voided = workplace.call("forecast", experiment, "--void", "wrong data", "--author", "ada")
    assert "Void after something was seen by ada: wrong data" in voided.stdout
    assert "void: wrong data" in workplace.call("list").stdout
    [standing] = workplace.json("skill")["forecasters"]
    assert (standing["skill"]["n"], standing["void"], standing["void_seen"]) == (1, 1, 1)  # at worst
    assert "1 voided, 1 of them after something was seen" in workplace.call("skill").stdout
    assert standing["skill"]["mean"] == workplace.json("score", "--author", "ada")["mean_bits"] < -1
    assert workplace.json("score", "--author", "ada")["scored"][0]["void"]
    assert workplace.json("show", experiment)["void"] == "wrong data"
    assert workplace.call("forecast", experiment, "--void", "again").returncode == 4
    assert workplace.call(*RUN, "-c", "gain=0.1", "--author", "ada").returncode == 4


@pytest.mark.slow
def test_skipping_on_purpose_is_counted_and_bad_combinations_are_told(asked):
    workplace, experiment = asked
    assert workplace.json("forecast", experiment, "--skip", "--author", "bob")["skipped"] == ["bob"]
    for who in ("bob", "ada"):
        assert workplace.call("forecast", experiment, "--skip", "--author", who).returncode == 4
    for words, complaint in (
        ((experiment, "better:60", "--skip"), "do not go together"),
        ((experiment, "--blind"), "goes with --export"),
        ((experiment, "--import", "none.json"), "there is no such file"),
        ((experiment, "--why", "x"), "goes with a forecast"),
        (("better:70",), "palate forecast last better:70"),
        (("", "better:70"), "id is empty"),
        ((experiment, "better:60", "--author", "a\nb"), "name of a forecaster"),
        ((experiment, "better:60", "--author", "mean of all"), "name of a forecaster"),
        ((experiment, "--revise", "-0.1/0/0.1", "--author", "eve"), "-- -0.1/0/0.1"),
        ((experiment, "--export", "no/such/folder/x.json"), "cannot be written"),
        ((experiment, "--export", "x.json", "--blind", "--author", "nobody"), "no forecast"),
        ((experiment, "better:200"), "cannot be a confidence"),
    ):
        ended = workplace.call("forecast", *words, "--json")
        assert ended.returncode in (2, 3, 4), ended.stderr
        assert complaint in ended.stderr
        assert "Traceback" not in ended.stderr
    assert (
        "--ask does not go with --split"
        in workplace.call(*RUN, "-c", "gain=0.1", "-c", "noise=0.1", "--split", "--ask").stderr
    )
    assert "--why goes with --forecast" in workplace.call(*RUN, "-c", "gain=0.1", "--no-forecast", "--why", "x").stderr


@pytest.fixture
def colleagues(asked, tmp_path):
    """Ada's workplace, in which a question is asked, and that of bob, who has a folder of his own."""
    workplace, experiment = asked
    home = tmp_path / "bob"
    home.mkdir()
    bob = Workplace(home)
    bob.environment["PALATE_AUTHOR"] = "bob"
    workplace.environment["PALATE_AUTHOR"] = "ada"
    return workplace, bob, experiment


@pytest.mark.slow
def test_a_promise_before_the_runs_lets_a_colleagues_forecast_count_after_them(colleagues, tmp_path):
    workplace, bob, experiment = colleagues
    question, promise, opened = (str(tmp_path / name) for name in ("q.json", "promise.json", "open.json"))
    workplace.json("forecast", experiment, "--export", question, "--blind")
    taken = bob.json("forecast", "--import", question)
    assert (taken["experiment"], taken["question"], taken["promised"]) == (experiment, True, 1)
    assert '"answer"' not in (bob.folder / ".palate" / "chain.jsonl").read_text()
    bob.json("forecast", experiment, "worse:90")
    bob.json("forecast", experiment, "--export", promise, "--blind")
    bob.json("forecast", experiment, "--export", opened)
    assert workplace.json("forecast", "--import", promise)["promised"] == 1
    assert workplace.json("forecast", experiment)["hidden"] == 1
    workplace.json(*RUN, "-c", "gain=0.1")
    assert workplace.json("forecast", "--import", opened)["opened"] == 1
    assert workplace.json("forecast", "--import", opened)["known"] == 1
    report = workplace.json("verdict", experiment)
    assert {one["author"]: one["score"]["bits"] > 0 for one in report["forecasts"]} == {"ada": True, "bob": True}
    assert {one["author"] for one in workplace.json("skill")["forecasters"]} >= {"ada", "bob"}
    assert workplace.json("verify")["holds"]


@pytest.mark.slow
def test_a_colleagues_forecast_that_comes_after_the_outcome_or_was_changed_is_refused(colleagues, tmp_path):
    workplace, bob, experiment = colleagues
    question, late = (tmp_path / name for name in ("q.json", "late.json"))
    workplace.json("forecast", experiment, "--export", str(question), "--blind")
    bob.json("forecast", "--import", str(question))
    bob.json("forecast", experiment, "worse:90")
    bob.json("forecast", experiment, "--export", str(late))
    document = json.loads(late.read_text())
    document["forecasts"][0]["body"]["confidence"] = 97
    (tmp_path / "changed.json").write_text(json.dumps(document))
    changed = workplace.call("forecast", "--import", str(tmp_path / "changed.json"))
    assert changed.returncode == 1
    assert "was changed after it was sealed" in changed.stderr
    workplace.json(*RUN, "-c", "gain=0.1")
    refused = workplace.call("forecast", "--import", str(late))
    assert refused.returncode == 4
    assert "after results are visible" in refused.stderr
    (tmp_path / "junk.json").write_text("{}")
    assert workplace.call("forecast", "--import", str(tmp_path / "junk.json")).returncode == 2


def git(workplace, *words):
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words], cwd=workplace.folder, check=True,
        capture_output=True, text=True, env={**workplace.environment, "GIT_CONFIG_GLOBAL": "/dev/null"},
    ).stdout  # fmt: skip


@pytest.mark.slow
def test_a_head_noted_in_git_shows_a_chain_that_was_cut_or_made_anew(asked):
    workplace, _ = asked
    nothing = workplace.call("verify", "--anchor")
    assert nothing.returncode == 3
    assert "no git repository" in nothing.stderr
    git(workplace, "init", "-q")
    git(workplace, "add", "train.py")
    git(workplace, "commit", "-q", "-m", "code")
    who = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    assert workplace.json("verify", "--anchor", **who)["anchored"]["number"] == 1
    assert " 1 " in git(workplace, "notes", "--ref=palate", "show")
    other = {"PALATE_HOME": str(workplace.folder / "other" / ".palate")}
    workplace.json(*ASK, "--no-forecast", **other)
    assert workplace.json("verify", **other)["anchors"] == []  # another chain's notes are not this one's
    assert len(workplace.json("verify")["anchors"]) == 1
    chain = workplace.folder / ".palate" / "chain.jsonl"
    lines = chain.read_text().splitlines(keepends=True)
    chain.write_text(lines[0])
    cut = workplace.call("verify")
    assert cut.returncode == 1
    assert "record 1 is not the one that was noted" in cut.stderr


def test_a_head_that_was_handed_over_is_held_against_the_chain(asked):
    workplace, _ = asked
    head = workplace.json("verify")["head"]
    assert workplace.json("verify", "--against", f"1:{head}")["anchors"][0]["where"] == "handed over"
    assert workplace.call("verify", "--against", f"1:{'0' * 64}").returncode == 1
    assert workplace.call("verify", "--against", "nonsense").returncode == 2


def test_records_dropped_from_the_end_are_noticed_by_the_catalog(asked):
    workplace, _ = asked
    workplace.json("list")
    chain = workplace.folder / ".palate" / "chain.jsonl"
    chain.write_text(chain.read_text().splitlines(keepends=True)[0])
    for command in ("verify", "list"):
        ended = workplace.call(command)
        assert ended.returncode == 1
        assert "the catalog remembers 2 records" in ended.stderr
    workplace.json("doctor", "--rebuild")
    assert workplace.json("verify")["records"] == 1


@pytest.mark.slow
def test_a_forecast_on_a_curve_that_is_part_seen_is_a_class_of_its_own(workplace):
    long = workplace.folder / "train.py"
    long.write_text(long.read_text().replace("range(5)", "range(60)"))
    workplace.json(*RUN, "-c", "gain=0.4", "--no-forecast", "--pairs", "4")
    asked = (*RUN, "-c", "gain=0.1", "-c", "pause=0.1", "--no-forecast", "--pairs", "4", "--workers", "1")
    going = workplace.start(*asked, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not (runs := list((workplace.folder / ".palate" / "runs").glob("*/journal"))) or len(runs) < 9:
            assert time.monotonic() < until
            time.sleep(0.1)
            if len({run.parent.name.split("-")[1] for run in runs}) == 3:
                break
        time.sleep(2)  # a third of the treatment's first run
        seen = workplace.json("forecast", "last", "worse:80", "--author", "ada")["forecast"]
    finally:
        going.terminate()
        going.wait(20)
    assert seen["kind"] in ("50 %", "75 %", "90 %")
    assert seen["evidence_seen"] > 10
    assert {"persistence", "neighbours", "settings"} <= set(seen["reference"]["members"])


@pytest.mark.slow
def test_when_something_happens_is_a_forecast_of_its_own(asked):
    workplace, experiment = asked
    refused = workplace.call("when", experiment, "4:70", "--metric", "loss", "--json")
    assert refused.returncode == 2
    assert "how many steps will it have?" in refused.stderr
    assert "when-forecast is missing" in workplace.call("when", experiment, "--metric", "loss", "--steps", "4").stderr
    sealed = workplace.json("when", experiment, "10:80", "--metric", "loss", "--steps", "4", "--author", "ada")
    assert (sealed["tenth"], sealed["confidence"], sealed["evidence_seen"]) == (9, 80, 0)
    workplace.json(*RUN, "-c", "gain=0.1", "--author", "ada")
    kinds = {one["kind"]: one for one in workplace.json("skill")["forecasters"]}
    assert kinds["when"]["skill"]["mean"] > 0
    assert "ada (when-forecasts)" in workplace.call("skill").stdout
    assert workplace.call("when", experiment, "4:70", "--metric", "loss", "--steps", "4").returncode == 4


@pytest.mark.slow
def test_after_the_first_answer_the_reference_is_shown_and_may_be_followed_once(workplace):
    workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    child = workplace.terminal(*RUN, "-c", "gain=0.2")
    child.expect("Smallest difference of val_acc that matters, points")
    child.sendline("")  # as another seed alone does
    child.expect("val_acc against the baseline\\?")
    before = child.before
    assert "Reference" not in before  # no base rate before the first answer
    child.send("\x1b[C6\r")
    child.expect("Reference  worse ")
    child.expect("gain 0.5 -> 0.1: worse")
    child.expect("Keep it")
    child.send("\x1b[D9\r")
    child.expect("You then said worse, 90 %")
    child.expect(pexpect.EOF)
    sealed = workplace.json("forecast")
    assert (sealed["forecast"]["answer"], sealed["revision"]["answer"]) == ("better", "worse")


@pytest.mark.slow
def test_a_forecast_of_a_sealed_question_is_asked_for_at_a_terminal(asked):
    workplace, experiment = asked
    child = workplace.terminal("forecast", experiment, "--author", "bob")
    child.expect("val_acc\\?")
    child.send("\x1b[B7\r")
    child.expect("bob: same, 70 %")
    child.expect(pexpect.EOF)


@pytest.mark.slow
def test_when_is_asked_for_on_a_strip_of_tenths(asked):
    workplace, experiment = asked
    child = workplace.terminal("when", experiment, "--metric", "loss", "--steps", "4", "--author", "ada")
    child.expect("When loss is best")
    child.send("48\r")
    child.expect("in tenth 4 of 10, 80 %")
    child.expect(pexpect.EOF)


@pytest.mark.slow
def test_a_refused_forecast_leaves_no_question_and_no_margin_behind(workplace):
    workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    refused = workplace.call(*RUN, "-c", "gain=0.1", "--margin", "0.02", "--forecast", "better:90")
    assert refused.returncode == 4
    assert len(workplace.json("list")["rows"]) == 1
    assert workplace.json("metric", "val_acc")["margin"] is None
    workplace.json(*RUN, "-c", "gain=0.2", "--no-forecast")
    workplace.json(
        *RUN, "-c", "gain=0.1", "--margin", "0.02", "--no-forecast"
    )  # its outcome can be seen: nobody skipped it
    assert workplace.json("skill")["forecasters"][0]["asked"] == workplace.json("score")["asked"] == 2


@pytest.mark.slow
def test_at_a_narrow_terminal_no_word_is_cut_and_what_is_typed_is_shown_once(asked):
    workplace, experiment = asked
    child = workplace.terminal("forecast", experiment, "--author", "bob", rows=30, columns=50)
    child.expect("d quantiles")
    assert max(map(len, child.before.splitlines())) <= 50, child.before
    child.send("d-30/-20")
    child.expect("-30/-20")
    child.send("/-10\r")
    child.expect("Enter seals")
    child.send("\r")
    child.expect("bob: -20 points, between -30 and -10")
    child.expect(pexpect.EOF)


@pytest.mark.slow
def test_a_project_that_is_deleted_or_cut_after_its_head_was_noted_is_broken_not_empty(workplace):
    who = {f"GIT_{role}_{what}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    git(workplace, "init", "-q")
    git(workplace, "add", "train.py")
    git(workplace, "commit", "-q", "-m", "code")
    workplace.json("verify", "--anchor", **who)
    chain = workplace.folder / ".palate" / "chain.jsonl"
    lines = chain.read_bytes().splitlines(keepends=True)
    shutil.rmtree(workplace.folder / ".palate")
    for word in ("verify", "score", "skill"):
        gone = workplace.call(word)
        assert gone.returncode != 0
        assert "nothing is sealed here, but" in gone.stderr
        assert "No forecast has been scored" not in gone.stdout
    (workplace.folder / ".palate").mkdir()
    chain.write_bytes(b"".join(lines[:2]))
    for word in ("verify", "score", "skill"):
        cut = workplace.call(word)
        assert "is not the one that was noted" in cut.stderr
        assert "No forecast has been scored" not in cut.stdout


@pytest.mark.slow
def test_a_chain_whose_end_is_cut_is_not_said_to_have_no_scores_where_the_catalog_knows_more(workplace):
    workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    chain = workplace.folder / ".palate" / "chain.jsonl"
    chain.write_bytes(b"".join(chain.read_bytes().splitlines(keepends=True)[:2]))
    for word in ("score", "skill"):
        cut = workplace.call(word)
        assert "records that are not all there" in cut.stderr
        assert "No forecast has been scored" not in cut.stdout


@pytest.mark.slow
def test_a_constant_that_was_edited_by_hand_run_and_restored_leaves_no_blind_forecast(workplace):
    before = (workplace.folder / "train.py").read_text()
    workplace.write(before.replace("gain = 0.5", "gain = 0.2"))
    made = subprocess.run(
        [sys.executable, "train.py"], cwd=workplace.folder, env=workplace.environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    workplace.write(before)
    other = workplace.json(*RUN, "-c", "gain=0.3", "--ask", "--forecast", "worse:90")
    assert other["forecast"]["kind"] == "blind"
    seen = workplace.json(*RUN, "-c", "gain=0.2", "--ask", "--forecast", "worse:90")
    assert seen["forecast"]["kind"] == "asked before"
