"""A project that an earlier version made stays what it is: its bytes, its hashes, its ids, and all that is said of it.

How it was made: make_golden.py. What the command line says about it: transcript.py, calls.py.
"""

import difflib
import json
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from tests.store.calls import listed
from tests.store.transcript import GOLDEN, IDS, call, environment, golden_copy, kept, settled, stage

from palate.cli import COMMANDS
from palate.ledger.ledger import Ledger
from palate.ledger.records import question_body, question_of
from palate.ledger.verify import verify
from palate.loop.judge import judge_now
from palate.store.catalog import Catalog, rebuild
from palate.store.chain import Chain, hash_record
from palate.store.project import Project
from palate.verdict.rule import Verdict

LINES = (GOLDEN / "home" / "chain.jsonl").read_bytes().splitlines()
EVERY_KIND = {
    "question", "forecast", "revision", "skip", "commitment", "verdict", "score", "void", "when", "when_score",
    "split", "confirmation",
}  # fmt: skip
KINDS_OF_VERDICT = {"better", "worse", "same", "nothing", "failed", "unclear"}


@pytest.fixture
def folder(tmp_path):
    return golden_copy(tmp_path)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory):
    """A copy for all tests that only look."""
    return Project(golden_copy(tmp_path_factory.mktemp("golden") / "copy") / ".palate")


@pytest.fixture
def project(folder):
    return Project(folder / ".palate")


def sealed(kind):
    return [one for one in map(json.loads, LINES) if one["kind"] == kind]


def test_every_record_is_read_again_and_has_the_hash_that_it_had():
    for line, known in zip(LINES, IDS["records"], strict=True):
        fields = json.loads(line)
        claimed = fields.pop("hash")
        assert hash_record(fields) == claimed == known["hash"]
        assert (fields["number"], fields["kind"]) == (known["number"], known["kind"])


def test_the_same_fields_sealed_again_are_the_same_bytes(tmp_path):
    chain = Chain(tmp_path / "chain.jsonl")
    for one in map(json.loads, LINES):
        chain.append(one["kind"], one["body"], now=datetime.fromisoformat(one["at"]))
    assert chain.path.read_bytes().splitlines() == LINES


def test_the_chain_is_read_from_its_file_as_it_was_sealed(unchanged):
    records = unchanged.chain.records()
    assert [(one.number, one.kind, one.hash) for one in records] == [tuple(known.values()) for known in IDS["records"]]
    assert all(one.at.tzinfo == UTC for one in records)


def test_there_is_a_record_of_every_kind_that_is_sealed():
    assert {json.loads(line)["kind"] for line in LINES} == EVERY_KIND
    assert {one["body"]["kind"] for one in sealed("verdict")} == KINDS_OF_VERDICT
    assert {one["body"]["author"] for one in sealed("forecast") if "sealed_as" in one["body"]} == {"cleo", "dan"}
    for part in ("confounders", "chunks", "data", "margin", "reference"):
        assert any(one["body"][part] for one in sealed("question"))


def test_experiments_and_runs_have_the_ids_that_they_had():
    for one in sealed("question"):
        question = question_of(one["body"])
        assert question.experiment == one["body"]["experiment"]
        assert question.plan.keys == IDS["run_keys"][question.experiment]
        ours = {name: value for name, value in one["body"].items() if name not in ("reference", "commit", "visible")}
        assert json.loads(json.dumps(question_body(question))) == ours
    assert set(IDS["experiments"].values()) == set(IDS["run_keys"])


def test_it_opens_with_its_old_catalog_and_one_made_anew_says_the_same(project):
    old = rows_of(project, looked=1)  # the one with a torn end: what it lost was not kept
    rebuild(project)
    assert rows_of(project, looked=0) == old
    assert len(old["runs"]) == len(list(project.runs.iterdir()))


def rows_of(project, looked):
    with Catalog.open(project) as catalog:
        assert catalog.refresh() == looked
        runs = catalog.runs()
        summaries = catalog.summaries([run.id for run in runs])
        curves = [catalog.curve(one.run_id, one.metric) for one in summaries]
        points = [(one.steps.tolist(), repr(one.values.tolist()), one.elapsed_s.tolist()) for one in curves]
        return {"runs": runs, "summaries": summaries, "curves": points}


def test_its_seal_holds(unchanged):
    verified = verify(unchanged)
    assert (verified.records, verified.head, verified.gone) == (len(LINES), IDS["records"][-1]["hash"], 0)


@pytest.mark.parametrize("verdict", sealed("verdict"), ids=lambda one: one["body"]["experiment"])
def test_the_runs_are_judged_as_they_were(verdict, unchanged):
    body = verdict["body"]
    ledger = Ledger.of(unchanged.chain)
    with Catalog.open(unchanged) as catalog:
        again = judge_now(ledger, catalog, ledger.read(body["experiment"]).question)
    assert again.done
    as_sealed = asdict(Verdict(kind="unclear", n=0, budget=0)) | {
        name: body[name] for name in asdict(again.verdict) if name in body
    }
    assert exact(asdict(again.verdict)) == exact(as_sealed)
    for arm, runs in body["runs"].items():
        assert set(runs) <= {run.id for run in again.results[arm].values()}


def exact(document):
    """Write a document with what a float says on every machine."""
    return settled(json.dumps(document, sort_keys=True), GOLDEN)


def test_the_same_questions_make_no_runs(folder):
    before = sorted(one.name for one in (folder / ".palate" / "runs").iterdir())
    for argv in (
        "run train.py -c gain=0.9 --metric val_acc --pairs 5",
        "run train.py -c gain=0.2 --metric val_acc --pairs 5",
        "run train.py -c gain=0.4 --metric val_acc --pairs 2 --data numbers.txt",
    ):
        report = json.loads(call([*argv.split(), "--json"], {}, folder)["stdout"])
        assert report["runs"]["made"] == 0
    assert sorted(one.name for one in (folder / ".palate" / "runs").iterdir()) == before
    assert (folder / ".palate" / "chain.jsonl").read_bytes().splitlines() == LINES


def test_the_command_line_says_what_it_said(tmp_path):
    place = stage(tmp_path.resolve())
    for known in json.loads((GOLDEN / "transcript.json").read_text()):
        again = json.loads(json.dumps(call(known["argv"], known["env"], place)))
        if again != known:
            pytest.fail(difference(known, again), pytrace=False)


def difference(known, again):
    """Say what one call said, and what it says now."""
    sides = [json.dumps(one, indent=1, ensure_ascii=False).replace("\\n", "\n").splitlines() for one in (known, again)]
    return "\n".join([f"palate {' '.join(known['argv'])}", *difflib.unified_diff(*sides, "said", "says", lineterm="")])


def test_the_transcript_covers_every_command_and_every_exit_status():
    calls = json.loads((GOLDEN / "transcript.json").read_text())
    assert [(one["argv"], one["env"]) for one in calls] == listed(IDS, list(COMMANDS))
    assert {one["status"] for one in calls} == {0, 1, 2, 3, 4, 5}
    assert {one["argv"][0] for one in calls if one["status"] == 0} >= set(COMMANDS)


def test_a_process_of_its_own_says_the_same(folder):
    argv = ["verify", "--against", "3:ffffffffffff"]
    ended = subprocess.run(
        [sys.executable, "-m", "palate", *argv], cwd=folder, env=environment(folder, {}), capture_output=True,
        text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert kept(argv, {}, ended.returncode, ended.stdout, ended.stderr, folder) == call(argv, {}, folder)
