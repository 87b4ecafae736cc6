"""Secrets are found in a store and taken out of it; the chain goes on over a bridge, and shows any other change."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from tests.ledger.old_store import ADA, SECRETS, START, holding, old_store

from palate.errors import ChainBrokenError, JournalTakenError, RefusedError
from palate.ledger.ledger import Ledger
from palate.ledger.records import SealedRedaction
from palate.ledger.redact import clean_json, redact_store, redactions
from palate.ledger.scan import Known, scan_secrets
from palate.ledger.verify import parse_head, verify
from palate.store.catalog import Catalog
from palate.store.chain import Chain, hash_record
from palate.store.chain_records import line_of
from palate.store.journal import Journal, write_event
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.vocabulary import TREATMENT

NOW = START + timedelta(days=1)


def reseal(fields):
    fields["hash"] = hash_record({name: value for name, value in fields.items() if name != "hash"})


@pytest.fixture
def old(tmp_path):
    return old_store(tmp_path)


def test_every_secret_of_a_store_is_found_where_it_is_and_none_is_shown(old):
    project, _ = old
    found = scan_secrets(project)
    files = {one.file for one in found}
    assert {"chain.jsonl", "catalog.sqlite", "trees/0123456789abcdef/train.py"} <= files
    assert {name.split("/")[-1] for name in files} == set(holding(project.home))
    assert {one.where for one in found if one.file == "chain.jsonl"} == {"record 0", "record 1"}
    assert any(one.kind == "OpenAI key" and one.start == "sk-p" and "openai" in one.rotate for one in found)
    assert max(len(one.start) for one in found) <= 4
    assert not any(secret in str(one) for one in found for secret in SECRETS)


def test_a_store_without_secrets_has_none(tmp_path):
    assert scan_secrets(Project(tmp_path / "nothing")) == []
    assert redact_store(Project(tmp_path / "nothing"), author=ADA, now=NOW).files == ()


def test_what_is_redacted_is_gone_byte_by_byte_and_the_chain_holds(old):
    project, question = old
    before = Chain(project.chain.path).records()
    run_keys = {run.id: run.key for run in _runs(project)}
    done = redact_store(project, author=ADA, now=NOW)
    assert set(holding(project.home)) == {"model.bin"}  # is no text: it could not be read any more
    assert done.records == (0, 1)
    assert done.removed == ("trees/0123456789abcdef",)
    assert {Path(one.file).name for one in done.left} == {"model.bin"}
    chain = Chain(project.chain.path)
    chain.verify()
    after = chain.records()
    assert [record.hash for record in after[:3]] == [record.hash for record in before]
    assert after[2] == before[2]
    bridge = SealedRedaction.read(after[3])
    assert [row["number"] for row in bridge.replaced] == [0, 1]
    assert [row["hash"] for row in bridge.replaced] == [before[0].hash, before[1].hash]
    assert (bridge.head, bridge.author) == (before[-1].hash, ADA)
    assert "OpenAI key" in bridge.secrets
    ledger = Ledger.of(chain)
    experiment = ledger.read(question.experiment)
    assert experiment.question.plan.keys == question.plan.keys  # so that its runs are still its own
    assert experiment.forecasts[0].hash == before[1].hash  # so that scores and promises still mean it
    assert "<secret>" in experiment.forecasts[0].said.why
    assert "token secret" in experiment.question.text
    assert {run.id: run.key for run in _runs(project)} == run_keys


def _runs(project):
    with Catalog.open(project) as catalog:
        catalog.refresh()
        return catalog.runs()


def test_heads_that_were_noted_before_still_hold_and_verify_says_what_was_bridged(old):
    project, _ = old
    count, head = project.chain.head()
    redact_store(project, author=ADA, now=NOW)
    verified = verify(project, [parse_head(f"{count - 1}:{head}")])
    assert verified.kinds["redaction"] == 1
    (said,) = redactions(project.chain.records(SealedRedaction.KIND))
    assert "records 0, 1" in said and "ada" in said and "2026-01-03" in said
    sealed = project.chain.append("skip", {"experiment": "e", "author": "cleo", "agent": False}, now=NOW)
    assert sealed.number == 4
    Chain(project.chain.path).verify()


def test_any_other_change_of_a_rewritten_chain_is_noticed(old):
    project, _ = old
    redact_store(project, author=ADA, now=NOW)
    path = project.chain.path
    lines = path.read_bytes().splitlines(keepends=True)

    def with_line(number, change):
        fields = json.loads(lines[number])
        change(fields)
        line = json.dumps(fields, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        return [*lines[:number], line, *lines[number + 1 :]]

    edits = [
        with_line(0, lambda fields: fields["body"].update(budget=9)),  # a record that was rewritten
        with_line(1, lambda fields: fields["body"].update(confidence=99)),
        with_line(2, lambda fields: fields["body"].update(author="eve")),  # one that was not
        with_line(3, lambda fields: fields["body"].update(replaced=[])),  # the bridge
        with_line(3, lambda fields: (fields["body"]["replaced"].pop(), reseal(fields))),
        with_line(1, lambda fields: fields.update(hash="0" * 64)),
        lines[:3],  # without its bridge
    ]
    for edited in edits:
        path.write_bytes(b"".join(edited))
        with pytest.raises(ChainBrokenError):
            Chain(path).verify()
    path.write_bytes(b"".join(lines))
    Chain(path).verify()


def test_names_of_files_and_what_stands_below_a_name_are_cleaned_and_nothing_of_a_text_is_told(old):
    project, _ = old
    hub = "hf_" + "aB3dE5fG7hI9jK1l" * 2
    inputs = project.home / "inputs"
    inputs.mkdir(exist_ok=True)
    (inputs / "one.json").write_text(json.dumps({"files": {f"data_token=q7Xz1Lw9/{hub}.csv": {"size": 3}}}))
    output = next(project.runs.iterdir()) / "output.log"
    output.write_text('password\tZx-tab-ll3\npassword:\nfine\nx7Q-secretly-password="Zx-tab-ll4"\n')
    told = [str(one) for one in scan_secrets(project)]
    assert not any("tab-ll" in one or "x7Q" in one or "aB3d" in one for one in told)
    redact_store(project, author=ADA, now=NOW)
    assert json.loads((inputs / "one.json").read_text()) == {"files": {"data_token=<secret>": {"size": 3}}}
    assert output.read_text() == 'password\t<secret>\npassword:\nfine\nx7Q-secretly-password="<secret>"\n'
    bridge = project.chain.path.read_text().splitlines()[-1]
    assert "tab-ll" not in bridge and "x7Q" not in bridge and "value of password" in bridge
    assert scan_secrets(project) == []


def test_it_can_be_done_again_and_what_was_rewritten_keeps_its_first_hash(old):
    project, question = old
    first = project.chain.record(0).hash
    redact_store(project, author=ADA, now=NOW)
    body = {"experiment": question.experiment, "reason": f"the {SECRETS[0]} expired", "author": "ada"}
    project.chain.append("void", body, now=NOW)
    done = redact_store(project, author=ADA, now=NOW + timedelta(days=1))
    assert done.records == (4,)
    chain = Chain(project.chain.path)
    chain.verify()
    assert chain.record(0).hash == first
    assert len(redactions(chain.records(SealedRedaction.KIND))) == 2


def test_a_store_is_not_rewritten_while_a_run_goes(old):
    project, question = old
    journal = Journal.open(project.journal(question.plan.run_name(TREATMENT, 0)))
    with pytest.raises(RefusedError, match="goes on"):
        redact_store(project, author=ADA, now=NOW)
    journal.close()


def test_who_waits_for_the_chain_while_it_is_rewritten_seals_into_the_new_one(old):
    project, _ = old
    waiting = Chain(project.chain.path)
    waiting.records()
    with project.chain.exclusively():
        code = (
            "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
            "from palate.store.chain import Chain\n"
            "print('ready', flush=True)\n"
            "Chain(Path(sys.argv[1])).append('skip', {'author': 'dan'}, now=datetime.now(UTC))\n"
        )
        sealing = subprocess.Popen([sys.executable, "-c", code, str(project.chain.path)], stdout=subprocess.PIPE)
        assert sealing.stdout.readline() == b"ready\n"
        time.sleep(0.2)  # so that it most likely waits for the lock
        content = project.chain.path.read_bytes()
        beside = project.chain.path.with_name("beside")
        beside.write_bytes(content)
        beside.replace(project.chain.path)
    assert sealing.wait(20) == 0
    sealing.stdout.close()
    assert waiting.records()[-1].body == {"author": "dan"}


REDACT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from palate.ledger.records import Author
from palate.ledger.redact import redact_store
from palate.store.project import Project
project = Project(Path(sys.argv[1]))
print("ready", flush=True)
redact_store(project, author=Author(name="ada"), now=datetime.now(UTC))
"""


@pytest.mark.slow
def test_who_is_killed_leaves_the_old_or_the_new_chain_and_can_go_on(tmp_path):
    rng, outcomes = random.Random(0), set()
    for attempt in range(25):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        project, question = old_store(folder)
        redacting = subprocess.Popen([sys.executable, "-c", REDACT, str(project.home)], stdout=subprocess.PIPE)
        redacting.stdout.readline()
        time.sleep(rng.uniform(0, 0.25))
        os.kill(redacting.pid, signal.SIGKILL)
        redacting.wait()
        redacting.stdout.close()
        chain = Chain(project.chain.path)
        chain.verify()
        outcomes.add(len(chain))
        assert [record.kind for record in chain.records()][:3] == ["question", "forecast", "skip"]
        fresh = Project(project.home)
        redact_store(fresh, author=ADA, now=NOW)
        assert set(holding(project.home)) == {"model.bin"}
        Chain(project.chain.path).verify()
        assert Ledger.of(fresh.chain).read(question.experiment).question.plan.keys == question.plan.keys
    assert outcomes <= {3, 4}


def test_journals_are_masked_where_they_are_and_what_is_shared_stays_shared(old):
    project, question = old
    journal = project.journal(question.plan.run_name(TREATMENT, 0))
    output = project.output(journal.parent.name)
    for path in (journal, output, project.chain.path):
        path.chmod(0o664)
    before = journal.stat()
    redact_store(project, author=ADA, now=NOW)
    assert (journal.stat().st_ino, journal.stat().st_size) == (before.st_ino, before.st_size)
    assert {path.stat().st_mode & 0o777 for path in (journal, output, project.chain.path)} == {0o664}


def _redact_once_free(project):
    """Redact, again where the look at a journal came in between."""
    for _ in range(2000):
        try:
            redact_store(project, author=ADA, now=NOW)
        except RefusedError:
            time.sleep(0.01)
        else:
            return


def _is_taken(journal):
    try:
        Journal.open(journal).close()
    except JournalTakenError:
        return True
    return False


def test_what_a_run_writes_that_begins_meanwhile_is_kept_and_no_run_is_gone_on_with(old):
    project, question = old
    old_journal = project.journal(question.plan.run_name(TREATMENT, 0))
    new = project.run_folder("new-run")
    with Chain(project.chain.path).exclusively():  # the redaction waits for it, and holds the journals
        redacting = threading.Thread(target=_redact_once_free, args=(project,))
        redacting.start()
        assert any(_is_taken(old_journal) or time.sleep(0.005) for _ in range(2000))
        journal = Journal.open(new / "journal")
        journal.log(0, {"acc": 1.0})
        output = (new / "output.log").open("w")
        output.write(f"{SECRETS[0]}\n")
        output.flush()
    redacting.join()
    journal.log(1, {"acc": 2.0})
    journal.close()
    output.write("more\n")
    output.close()
    assert len(read_journal(new / "journal").curves["acc"].values) == 2
    assert (new / "output.log").read_text().endswith("more\n")
    assert set(holding(project.home)) == {"model.bin", "output.log"}  # of a run that is none of a palate that seals
    Journal.open(old_journal).close()


def test_a_journal_that_is_a_folder_and_a_run_without_one_stop_nothing(old):
    project, _ = old
    (project.run_folder("odd") / "journal").mkdir(parents=True)
    project.run_folder("none").mkdir()
    (project.run_folder("none") / "output.log").write_text(SECRETS[0])
    redact_store(project, author=ADA, now=NOW)
    assert set(holding(project.home)) == {"model.bin"}


def test_of_more_runs_than_files_may_be_open_all_are_held(tmp_path):
    project, _ = old_store(tmp_path)
    code = "import resource, sys; exec(sys.argv[2])\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    for number in range(40):
        write_event(project.journal(f"r{number}"), "recipe", key="k", label="l", seed=0, settings={})
    limited = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (30, 4096))\n"
    done = subprocess.run(
        [sys.executable, "-c", code, str(project.home), limited + REDACT], capture_output=True, text=True, check=False
    )
    assert done.stdout == "ready\n30\n", done.stderr
    assert set(holding(project.home)) == {"model.bin"}


def test_what_follows_a_flag_with_one_dash_is_taken_out_as_it_is_sealed(tmp_path):
    known = Known({})
    for flag in ("-api_key", "--api_key"):
        assert clean_json("", ["train.py", flag, "hunter2"], known) == ["train.py", flag, "<secret>"]
    assert clean_json("", ["--api_key=x", "plain"], known)[1] == "plain"


def test_a_bridge_reaches_no_further_than_it_has_to(old):
    project, _ = old
    redact_store(project, author=ADA, now=NOW)
    path = project.chain.path
    lines = path.read_bytes().splitlines(keepends=True)

    def forged(change, rewrite=None):
        """Rewrite record 1 and have the bridge say so."""
        record, bridge = json.loads(lines[1]), json.loads(lines[3])
        (rewrite or (lambda fields: None))(record)
        claimed = record.pop("hash")
        rows = [row for row in bridge["body"]["replaced"] if row["number"] != 1]
        now = {"number": 1, "kind": record["kind"], "hash": claimed, "now": hash_record(record)}
        bridge["body"]["replaced"] = [*rows, now]
        change(bridge["body"])
        reseal(bridge)
        path.write_bytes(lines[0] + line_of({**record, "hash": claimed}) + lines[2] + line_of(bridge))

    forged(lambda body: None)
    Chain(path).verify()
    shows_nothing = lambda fields: fields.update(body={"experiment": "e", "why": "nothing was taken out"})  # noqa: E731
    row = {"number": 2, "kind": "score", "hash": "0" * 64, "now": "1" * 64}
    for change, rewrite in (
        (lambda body: None, shows_nothing),
        (lambda body: body["replaced"].append(body["replaced"][0]), None),
        (lambda body: body["replaced"].append(row), None),
        (lambda body: body["replaced"].append({**row, "kind": "void", "number": True}), None),
        (lambda body: body.pop("secrets"), None),
        (lambda body: body.pop("author"), None),
    ):
        forged(change, rewrite)
        with pytest.raises(ChainBrokenError):
            Chain(path).verify()
