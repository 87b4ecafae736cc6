"""Secrets in values: a keyed hash stands for each, a run is given the value, nothing that is written has it."""

import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.recipe.codec import Secret, Unread, decode, encode
from palate.redaction import SALT, is_open, is_secret, known_secrets, opened, seal_secret, sealed, sealed_all
from palate.redaction.values import hidden

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(alphabet="abc ", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from(["lr", "width", "token", "password", "x"]), inner, max_size=3)
    ),
)


@given(PLAIN)
def test_what_is_sealed_opens_to_what_it_was_and_keeps_no_secret_when_it_is_written(value):
    clean = sealed("value", {"password": "plain-secret-1", "rest": value})
    assert opened(clean) == {"password": "plain-secret-1", "rest": value}
    assert "plain-secret-1" not in json.dumps(encode(clean))
    assert not is_open(decode(json.loads(json.dumps(encode(clean)))))
    assert sealed("value", clean) == clean


def test_a_secret_is_compared_by_its_hash_and_its_value_goes_along_in_memory_alone():
    one, same, other = seal_secret("hunter2"), seal_secret("hunter2"), seal_secret("hunter3")
    assert one == same != other and hash(one) == hash(same)
    assert one == Secret(hash=one.hash) and not Secret(hash=one.hash).is_open
    assert str(one) == f"secret {one.hash[:6]}" and "hunter" not in repr(one)
    assert encode(one) == {"$": "secret", "v": one.hash}

    @dataclasses.dataclass
    class Holds:
        settings: dict

    for copied in (
        copy.deepcopy(one),
        pickle.loads(pickle.dumps(one)),
        dataclasses.asdict(Holds({"a": one}))["settings"]["a"],
    ):
        assert copied == one and not copied.is_open
    assert b"hunter2" not in pickle.dumps(one)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("API_KEY", "abc", True),
        ("password", 12345678, True),
        ("password", 12, False),
        ("token", 50256, False),
        ("pad_token", "<pad>", False),
        ("token", "", False),
        ("token", "${oc.env:HF_TOKEN}", False),
        ("token", "$HF_TOKEN", False),
        ("credentials", "/home/ada/key.json", False),
        ("note", "see postgres://ada:s3cret@db/x", True),
        ("note", "sk-abcd1", True),
        ("note", "task-abcd1", False),
        ("tokens", ["a", "b"], False),
        ("auth_tokens", ["abc", "def"], True),
        ("secret_key", b"123", True),
        ("api_key", Unread(type="source", text="os.environ['KEY']"), True),
        ("api_key", Unread(type="source", text="find_key()"), False),
        ("secret_tuple", ("Zx-a7-key1", "b"), True),
        ("secret_words", frozenset({"Zx-a7-key1"}), False),
        ("passwords", frozenset({"Zx-a7-key1"}), True),
        ("pw_bytes", b"q7Xz1Lw9BvR4", True),
        ("pw_bytes", b"train", False),
        ("token_bytes", b"q7Xz1Lw9BvR4", True),
        ("note", b"ghp_" + b"aB3" * 12, True),
        ("note", b"\xff\xfe", False),
        ("pw", "Zx-tab-ll3", True),
        ("pw", "train", False),
        ("pass", 3, False),
        ("pass", "first", False),
        ("pin", 1234, False),
        ("pin", "1234", False),
        ("key", "loss", False),
        ("hmac", "sha256", False),
        ("otp", "q7Xz1Lw9", True),
        ("credentials.ada", "Zx-tab-ll3", True),
        ("credentials.user", "ada", False),
        ("optimiser.lr", "1e-3", False),
        ("repository", "https://3f9aQ1lmPQ88zz7a@github.com/a", True),
        ("api_key", Unread(type="absent", text="<not set>"), False),
    ],
)
def test_what_is_secret_by_name_or_by_form(name, value, secret):
    assert is_secret(name, value) is secret


def test_a_value_behind_a_flag_is_secret_in_a_list_of_words_and_so_is_one_deep_inside():
    words = sealed("other_arguments", ("--lr", "3", "--password", "hunter2", "--api-key=abcdef12"))
    assert [type(word) for word in words] == [str, str, str, Secret, Secret]
    nested = sealed_all({"config": {"db": [{"password": "x1"}, {"note": "ghp_" + "aB3" * 12}]}, "lr": 0.1})
    assert len(list(hidden(nested))) == 2
    assert nested["lr"] == 0.1

    @dataclasses.dataclass
    class Client:
        api_key: str

    assert isinstance(sealed("client", Client("abcdef12")), Secret)


@pytest.mark.parametrize(
    "settings",
    [
        {"credentials": {"ada": "Zx-tab-ll3"}},
        {"passwords": {"ada": {"db": "Zx-tab-ll3"}}},
        {"api_keys": {"openai": "Zx-tab-ll3"}},
        {"tokens": {"hub": "Zx-tab-ll3"}},
        {"secrets": {"a": ["Zx-tab-ll3"]}},
        {"cfg": {"password": {"value": "Zx-tab-ll3"}}},
        {"cfg": [{"pass": "Zx-tab-ll3"}]},
        {"credentials": frozenset({"Zx-tab-ll3"})},
        {"secret_tuple": ("Zx-tab-ll3", "b")},
        {"arguments": ("-pZx-tab-ll3", "-u", "ada:Zx-tab-ll3", "--passwort=Zx-tab-ll3", "--db-pass", "Zx-tab-ll3")},
        {"arguments": ("key=Zx-tab-ll3", "password: Zx-tab-ll3", "pw=Zx-tab-ll3")},
    ],
)
def test_a_secrets_name_covers_what_is_under_it(settings):
    clean = sealed_all(settings)
    assert "Zx-tab-ll3" not in repr(clean)
    assert opened(clean) == settings
    assert "Zx-tab-ll3" in known_secrets(settings)


def test_what_stands_beside_a_secret_and_what_is_no_secret_stays():
    settings = {
        "auth": {"type": "basic", "user": "ada", "port": 5432},
        "tokens": {"pad": "<pad>", "bos": "<s>", "count": 3, "unknown": "[UNK]"},
        "pad_token": "<pad>",
        "tokens_per_step": 512,
        "pass_rate": 0.3,
        "passes": "two",
        "pw_loss": 0.2,
        "pin_memory": True,
        "bypass": "yes",
        "key": "val_acc",
        "hmac": "hinge",
        "arguments": ("-p8080", "-u", "1000:1000", "-pretrained", "-precision16", "key=loss", "-p", "val"),
    }
    assert sealed_all(settings) == settings
    assert known_secrets(settings) == ()


def test_a_set_has_the_same_hash_in_every_session():
    code = "from palate.redaction import seal_secret; print(seal_secret(frozenset(map(str, range(20)))).hash)"
    told = {
        subprocess.check_output([sys.executable, "-c", code], env={**os.environ, SALT: "s", "PYTHONHASHSEED": seed})
        for seed in "12"
    }
    assert len(told) == 1


SEAL = "from palate.redaction import seal_secret; print(seal_secret('a').hash)"


def in_a_process(**environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CONFIG_HOME", SALT)}
    return subprocess.run(
        [sys.executable, "-c", SEAL], env={**kept, **environment}, capture_output=True, text=True, check=True
    )


def test_the_salt_is_made_once_for_its_owner_alone(tmp_path):
    one, other = in_a_process(HOME=str(tmp_path)), in_a_process(HOME=str(tmp_path))
    salt = tmp_path / ".config" / "palate" / "salt"
    assert one.stdout == other.stdout
    assert one.stderr == ""
    assert salt.stat().st_mode & 0o777 == 0o600
    assert len(salt.read_bytes()) == 64
    assert [path.name for path in salt.parent.iterdir()] == ["salt"]
    assert in_a_process(XDG_CONFIG_HOME=str(tmp_path / "other")).stdout != one.stdout
    assert in_a_process(PALATE_SALT="long text").stdout == in_a_process(PALATE_SALT="long text").stdout


def test_without_a_home_it_is_said_once_that_secrets_of_two_sessions_cannot_be_compared(tmp_path):
    (tmp_path / "file").write_text("")
    one, other = (in_a_process(HOME=str(tmp_path / "file" / "nowhere")) for _ in range(2))
    assert one.stdout != other.stdout
    assert one.stderr.count("cannot be compared") == 1
    assert SALT in one.stderr
