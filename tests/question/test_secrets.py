"""A run is given its secrets; what is kept of its question has only their hashes, and is opened by who knows them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.question.files import write

from palate.errors import RefusedError, SettingError
from palate.ledger.records import question_body, question_of, target_body
from palate.question.edit import snapshot
from palate.question.question import build_question
from palate.question.secrets import reopened
from palate.question.target import find_target, target_of_function
from palate.recipe.codec import Secret
from palate.recipe.settings import Typed
from palate.vocabulary import BASELINE, TREATMENT

SCRIPT = """
import argparse
import palate
API_KEY = "first-key-1"
parser = argparse.ArgumentParser()
parser.add_argument("--db-password", default="second-pw-2")
parser.add_argument("--lr", type=float, default=.1)
settings = palate.settings(token="third-token-3", width=3)
"""
SECRETS = ("first-key-1", "second-pw-2", "third-token-3", "fourth-pw-4", "fifth-5", "sixth-66")


@pytest.fixture
def target(tmp_path):
    return find_target(str(write(tmp_path, SCRIPT)), ["--password", "fourth-pw-4", "--api-key=sixth-66"])


def asked(target, **changes):
    return build_question(target, {name: Typed(str(value)) for name, value in changes.items()}, metric="val_acc")


def kept(question):
    """The question as it is read back from what was sealed."""
    return question_of(json.loads(json.dumps(question_body(question))))


def test_nothing_of_a_question_has_a_secret_and_its_runs_are_given_them(target):
    question = asked(target, token="fifth-5", API_KEY="fifth-5", db_password="fifth-5", lr=0.2)
    written = json.dumps(question_body(question)) + question.text + repr(question) + json.dumps(target_body(target))
    assert not any(secret in written for secret in SECRETS)
    order = question.plan.order(TREATMENT, 0, "id", Path("folder"))
    assert order.argv == ("--password", "fourth-pw-4", "--api-key=sixth-66", "--db-password=fifth-5", "--lr=0.2")
    assert order.constants == {"API_KEY": "fifth-5"}
    assert order.settings == {"token": "fifth-5", "width": 3}
    assert all(isinstance(order.known[name], Secret) for name in ("token", "API_KEY", "db_password"))
    assert {*SECRETS} <= {*order.secrets, "--api-key=sixth-66", "sixth-66"}
    baseline = question.plan.order(BASELINE, 0, "id", Path("folder"))
    assert baseline.settings == {"token": "third-token-3", "width": 3}


def test_another_secret_is_another_question_and_the_same_is_none(target, tmp_path):
    one, same, other = (asked(target, token=value) for value in ("fifth-5", "fifth-5", "sixth-66"))
    assert one.experiment == same.experiment != other.experiment
    assert one.plan.keys[BASELINE] == other.plan.keys[BASELINE]
    with pytest.raises(SettingError, match=r"token is secret [0-9a-f]{6} already"):
        asked(target, token="third-token-3")
    changed = find_target(str(write(tmp_path, SCRIPT)), ["--password", "another", "--api-key=sixth-66"])
    assert asked(changed, lr=0.2).plan.keys[BASELINE] != asked(target, lr=0.2).plan.keys[BASELINE]
    assert kept(one).experiment == one.experiment
    assert kept(one).plan.keys == one.plan.keys


def test_a_refusal_shows_no_secret(tmp_path):
    target = find_target(str(write(tmp_path, "password = 12345678\nlr = .1\n")))
    with pytest.raises(SettingError) as refused:
        target.changes({"password": Typed("not-a-number-7"), "lrr": Typed("1")})
    assert "12345678" not in str(refused.value)
    assert "not-a-number-7" not in str(refused.value)
    assert "lrr" in str(refused.value)


def test_a_kept_question_runs_only_where_its_secrets_are_known(target, monkeypatch):
    question = kept(asked(target, token="fifth-5"))
    with pytest.raises(RefusedError, match=r"--password \(secret") as refused:
        question.plan.order(BASELINE, 0, "id", Path("folder"))
    assert "PASSWORD=..." in str(refused.value)
    monkeypatch.setenv("ANY_NAME", "fourth-pw-4")
    monkeypatch.setenv("OTHER_NAME", "--api-key=sixth-66")
    order = question.plan.order(BASELINE, 0, "id", Path("folder"))
    assert order.argv[:2] == ("--password", "fourth-pw-4")
    assert order.settings["token"] == "third-token-3"  # as the file still declares it
    with pytest.raises(RefusedError, match=r"token \(secret"):
        question.plan.order(TREATMENT, 0, "id", Path("folder"))
    monkeypatch.setenv("TOKEN", "fifth-5")
    assert question.plan.order(TREATMENT, 0, "id", Path("folder")).settings["token"] == "fifth-5"


def test_a_default_that_changed_in_the_file_is_not_taken_for_the_one_that_was_asked_about(tmp_path):
    path = write(tmp_path, "import palate\ns = palate.settings(token='one-token-1', lr=.1)\n")
    question = kept(asked(find_target(str(path)), lr=0.2))
    assert reopened(question.target, ())[0].settings["token"].value == "one-token-1"
    write(tmp_path, "import palate\ns = palate.settings(token='two-token-2', lr=.1)\n")
    with pytest.raises(RefusedError, match="token"):
        question.plan.order(BASELINE, 0, "id", Path("folder"))


def test_a_constant_that_is_not_changed_needs_not_be_known(tmp_path):
    question = kept(asked(find_target(str(write(tmp_path, "API_KEY = 'first-key-1'\nlr = .1\n"))), lr=0.2))
    write(tmp_path, "lr = .1\n")
    assert question.plan.order(TREATMENT, 0, "id", Path("folder")).constants == {"lr": 0.2}


def test_a_question_of_before_secrets_were_sealed_keeps_its_id_and_keys_without_them(target):
    settings = {"API_KEY": "first-key-1", "lr": 0.1}
    old = build_question(
        replace(target, settings=settings, argv=("--password", "fourth-pw-4")), {"lr": 0.2}, metric="val_acc"
    )
    assert "first-key-1" not in json.dumps(question_body(old))
    read = kept(old)
    assert read.experiment == old.experiment
    assert read.plan.keys == old.plan.keys
    assert kept(read).plan.keys == old.plan.keys


def test_copies_of_code_with_secrets_lie_outside_of_the_store(tmp_path):
    home = tmp_path / ".palate"
    plain, secret = write(tmp_path, "lr = .1\n", "plain.py"), write(tmp_path, SCRIPT, "secret.py")
    assert snapshot([str(plain)], str(tmp_path), home).startswith(str(home))
    folder = Path(snapshot([str(plain), str(secret)], str(tmp_path), home))
    assert not folder.is_relative_to(home)
    assert (folder / "secret.py").read_text() == SCRIPT
    assert folder.parent.parent.stat().st_mode & 0o777 == 0o700
    assert not any(b"first-key-1" in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_a_pickled_function_that_takes_a_secret_along_lies_outside_of_the_store(tmp_path):
    space = {}
    exec(
        "API_KEY = 'first-key-1'\ndef train(run, lr=.1):\n    return API_KEY, lr\ndef other(run, lr=.1):\n    pass",
        space,
    )
    made = target_of_function(space["train"], tmp_path / "functions", {})
    assert not Path(made.task.file).is_relative_to(tmp_path)
    assert Path(made.task.file).stat().st_mode & 0o777 == 0o600
    assert Path(target_of_function(space["other"], tmp_path / "functions", {}).task.file).is_relative_to(tmp_path)
