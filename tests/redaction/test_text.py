"""Secrets are found in any text by their names and by their form; what is none stays."""

import base64
import gzip
import hashlib
import json
import string
import urllib.parse
import uuid

import pytest
from benchmarks.planted_secrets import CONFIGS, KINDS, NEEDS_A_NAME, plant
from hypothesis import given
from hypothesis import strategies as st

from palate.redaction import (
    Lines,
    find_secrets,
    is_secret_name,
    known_secrets,
    redact_data,
    redact_text,
    with_spellings,
)
from palate.redaction.names import is_weak_name
from palate.redaction.shapes import is_random
from palate.redaction.text import LONGEST_KEY

SHAPED = [kind for kind in KINDS if kind not in NEEDS_A_NAME]

SENTENCES = (
    "got {}",
    "{}",
    "RuntimeError: 401 for key '{}' (request 7)",
    "x={},y=2",
    '{{"note": "{}"}}',
    "https://api.example.com/v1?q={}",
)
NAMED = (
    "password={}",
    "password: {}",
    "DB_PASSWORD = '{}'",
    "--password {} --lr 3",
    "--password={}",
    '"api_key": "{}", "lr": 3',
    "['--api-key', '{}', '--lr', '3']",
    'Client(password="{}", lr=3)',
    'os.getenv("DB_PASSWORD", "{}")',
    "os.environ['API_KEY'] = '{}'",
    '"{{\\"api_key\\": \\"{}\\"}}"',
    "aws_secret_access_key={}",
    "machine api.wandb.ai login user password {}",
)


@pytest.mark.parametrize("kind", SHAPED)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_key_of_a_known_format_is_found_wherever_it_stands(kind, sentence):
    for secret in [one for one in plant(100) if one.kind == kind]:
        redacted = redact_text(sentence.format(secret.text))
        assert secret.part not in redacted
        assert "<secret>" in redacted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sentence", NAMED)
def test_a_value_behind_a_secrets_name_is_found_whatever_it_looks_like(kind, sentence):
    for secret in [one for one in plant(60) if one.kind == kind]:
        assert secret.part not in redact_text(sentence.format(secret.text))


@pytest.mark.parametrize(
    "text",
    [
        "epoch 3 loss 0.1234 val_acc 0.93 lr 3e-4 tokens/s 12345 eta 00:12:33",
        "task-1234 of disk-9ab4c in risk-averse-strategy-2024-long-name and mask-rcnn-50-fpn-2x-coco",
        "token: 50256 pad_token: '[PAD]' token: hello, max_tokens=500, tokens: 1234, eos_token='</s>'",
        "usage: train.py [-h] [--api-key API_KEY] [--password PASSWORD] [--token TOKEN]",
        "train.py: error: argument --password: expected one argument",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8, was 1f7a7a472abf3dd9643fd615f6da379c4acb3e3a",
        "sha256:Q7Xz1Lw9BvR4tYk2MnP8sDf6Gh3jK5lZ0xCvBnM1qWe=",
        "run 3f9c41aa-1b2c-4d5e-8f90-a1b2c3d4e5f6 saved to /home/Ada/Runs2/Wav2Vec2ForCTC/checkpoint-1000.pt",
        "tokenizer = AutoTokenizer.from_pretrained('bert-base-uncased')",
        "api_key = os.environ['API_KEY']; token = args.token; password = getpass.getpass()",
        "author: ada, auth: none, key: value, keys: ['a', 'b'], monkey=3, primary_key=7, n_head_keys=4",
        "aGVsbG8gd29ybGQgdGhpcyBpcyBzb21lIHRleHQ= and AAAAAAAAgD8AAABAAABAQAAAgEA=",
        "password is wrong; the token has expired; secret sauce; authentication failed for the key of the run",
        "train-3f9c41-s0 Qwen2-7B-Instruct qwen2_1_5_to_0_5B/KD_lora_single_device LLaVA-Lightning-7B-delta-v1-1",
        '["api_key", "lift", "token", "width"]',
        "{'api_key': '--api-key', 'lift': 'constant'} password ****KLB@JAHB token secret 3f9c41",
        "export HF_TOKEN=$HF_TOKEN; password: ${DB_PASSWORD}; token={{ token }}",
        "pass 3/10, pw_loss: 0.3 passes=3 pass_rate=0.98 tokens_per_step=512 pin_memory=True bypass=False key=loss",
        "hmac=sha256 pass=2 pin=1234 n_pass: 3 psk=8 second_pass=layer_2 low_pass: butter4 pw=train key: image_0001",
        "state_dict key=layer1.0.conv2.weight missing; key: encoder.block.3.attn, key = keys[-1], tokens = words[0:n]",
        "the key to the secret is: believe; pass on; <token>the</token> <pad></pad> key -> value, pass -> fail",
        "password:\nthe next line2 is about something else",
        "token\t50256\tthe\nkey\tvalue\nlr\t0.1",
        "http://localhost:8080/path@x and a://b:80/x@y git@github.com:a/b https://ada@github.com/x",
        "curl -u ada https://x; mysql -p; docker run -u 1000:1000 -p8080",
        "",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact_text(text) == text


@given(st.text(alphabet="0123456789abcdef", min_size=1, max_size=200))
def test_hashes_and_ids_are_no_secrets(text):
    assert redact_text(f"state {text}") == f"state {text}"
    assert redact_text(hashlib.sha256(text.encode()).hexdigest()) == hashlib.sha256(text.encode()).hexdigest()
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, text))
    assert redact_text(name) == name


@given(st.text(max_size=300), st.text(alphabet=string.printable, max_size=300))
def test_any_text_can_be_redacted_and_what_is_redacted_stays_so(text, printable):
    for one in (text, printable):
        once = redact_text(one)
        assert redact_text(once) == once


PLAIN = ("plain-looking", "inner-value", "deepsecret", "123456789")


def test_known_values_go_wherever_they_stand_but_short_and_common_ones_would_shred_a_text():
    known = known_secrets(
        {"API_KEY": "plain-looking", "password": "1", "token": "true", "passwd": "changeme", "HOME": "/home/ada"},
        {
            "nested": {"token": "inner-value", "lr": 0.1},
            "url": "postgres://ada:deepsecret@db/x",
            "pin_password": 123456789,
        },
    )
    assert [value for value in known if value in PLAIN] == list(PLAIN)
    assert redact_text("1 true changeme /home/ada inner-value:plain-looking", known) == (
        "1 true changeme /home/ada <secret>:<secret>"
    )
    assert known_secrets({"PWD": "/home/ada/work", "GOOGLE_APPLICATION_CREDENTIALS": "/home/ada/key.json"}) == ()


def test_a_private_key_is_taken_out_line_by_line_to_its_end():
    key = [
        "-----BEGIN RSA PRIVATE KEY-----",
        *["MIIEpAIBAAKCAQEA7bq" + "x7Q" * 12] * 3,
        "qQ==",
        "-----END RSA PRIVATE KEY-----",
    ]
    lines = Lines()
    printed = [lines.redact(f"{line}\n") for line in ("before", *key, "after")]
    text = "".join(printed)
    assert printed[0] == "before\n" and printed[-1] == "after\n" and len(printed) == text.count("\n")
    assert not any(line in text for line in key[1:-1])
    whole = redact_text("before\n" + "\n".join(key) + "\nafter")
    assert whole == "before\n<secret>\nafter"
    assert "MIIE" not in redact_text(json.dumps({"private_key": "\n".join(key)}))


@pytest.mark.parametrize("value", ["Zx-tab-ll3", "q7Xz1Lw9", "tiger7-xkcdq-42"])
@pytest.mark.parametrize(
    "sentence",
    [
        "api key: {}", "password is {}", "pwd={}", "<password>{}</password>", "<api_key>{}</api_key>", "password -> {}",
        "`password`: `{}`", 'password="""{}"""', "password='''{}'''", "password\t{}", "sshpass -p {} ssh ada@db",
        "curl -u ada:{} https://x", "curl -s --user ada:{} x", "mysqldump -h db -p{} runs", "postgres://ada:{}/slash@db/x",
        "Passwort: {}", "пароль: {}", "--passwort {}", "密码\uff1a{}", "contraseña={}", "mot_de_passe: {}", "hasło: {}",
        "clave_api={}", "cle_api = {}", "senha={}", "DB_PASS={}", "{{'pw': '{}', 'user': 'ada'}}", "user_pw={}",
        "wifi_psk={}", "jwt={}", "comet_key={}", "licence_key: {}", "client_secret_v2={}", "token_str={}",
        "pass_phrase={}", "seed_phrase='{}'", "pass={}",
    ],
)  # fmt: skip
def test_a_password_is_found_by_the_ways_in_which_people_and_programs_print_it(sentence, value):
    redacted = redact_text(sentence.format(value))
    assert value not in redacted
    assert "<secret>" in redacted


def test_a_token_in_a_url_is_found():
    assert redact_text("https://ab12cd34ef56ab78@o1.sentry.io/1") == "https://<secret>@o1.sentry.io/1"
    assert redact_text("git+https://3f9aQ1lmPQ88zz7a@github.com/a") == "git+https://<secret>@github.com/a"


@given(
    st.text(alphabet=string.ascii_letters + string.digits + "+/ _-%ä", min_size=8, max_size=40), st.binary(max_size=5)
)
def test_known_values_are_found_in_base64_and_with_percent_signs(value, around):
    value = f"x7{value}y"
    known = with_spellings([value])
    for text in (around + value.encode(), around + value.encode() + b"end"):
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            assert "<secret>" in redact_text(encoded(text).decode(), known)
    quoted = urllib.parse.quote(value, safe="")
    assert quoted not in redact_text(f"q={quoted}&n=1", known)


def test_each_line_of_a_known_secret_is_found_without_the_others():
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\nq7Xz1Lw9BvR4tYk2\nab\n-----END KEY-----\n"
    known = known_secrets({"DEPLOY_KEY": key})
    assert redact_text("at q7Xz1Lw9BvR4tYk2, ab", known) == "at <secret>, ab"


def test_what_a_run_wrote_keeps_its_numbers_and_common_words():
    known = known_secrets({"DB_PASSWORD": "100000", "API_KEY": "training", "HF_TOKEN": "q7Xz1Lw9BvR4"})
    table = "n,mode,score\n99,training,100000\n0.1000001,training,1e100000\n"
    assert redact_data(table, known) == table
    data = {"n": 100000, "mode": "training", "db_password": 100000, "note": "q7Xz1Lw9BvR4"}
    assert json.loads(redact_data(json.dumps(data), known)) == {**data, "note": "<secret>"}
    for value in ("hunter2", "letmein"):
        assert redact_data(f'{{"password": "{value}"}}', known) == '{"password": "<secret>"}'
    assert redact_data("password: training, url: db://ada:deepsecret@x", known).endswith(":<secret>@x")
    assert "ghp_" not in redact_data(f"key ghp_{'aB3' * 12}")


BODY = ["MIIEpAIBAAKCAQEA7bq" + "x7Q" * 12, "qQxx7Qx7Qx7Qx7Qx7Q=="]


@pytest.mark.parametrize(
    "key",
    [
        ["-----BEGIN PGP PRIVATE KEY BLOCK-----", "", *BODY, "=abcd", "-----END PGP PRIVATE KEY BLOCK-----"],
        ["PuTTY-User-Key-File-3: ssh-rsa", "Private-Lines: 2", *BODY, "Private-MAC: 0123456789abcdef"],
        ["-----BEGIN RSA", " PRIVATE KEY-----", *BODY, "-----END RSA PRIVATE KEY-----"],
        ["-----BEGIN RSA PRIVATE", "KEY-----", *BODY, "-----END RSA PRIVATE KEY-----"],
        [str(["-----BEGIN PRIVATE KEY-----", *BODY, "-----END PRIVATE KEY-----"])],
        [str([f"{line}\n" for line in ("-----BEGIN PRIVATE KEY-----", *BODY, "-----END PRIVATE KEY-----")])],
    ],
)
def test_a_private_key_is_taken_out_however_it_is_printed(key):
    lines = Lines()
    printed = [lines.redact(f"{line}\n") for line in ("before", *key, "after")]
    assert printed[0] == "before\n" and printed[-1] == "after\n" and len(printed) == len(key) + 2
    assert not any(line in "".join(printed) for line in BODY)


def test_what_looks_like_the_beginning_of_a_key_hides_nothing_else():
    lines = Lines()
    text = ["-----BEGIN CERTIFICATE-----", "loss 0.3", "-----BEGIN ", "epoch 3", "-----BEGIN RSA", "epoch 4"]
    assert [lines.redact(line) for line in text] == text


def test_a_kind_holds_nothing_of_a_text():
    for text in ("x7Q-hunterpassword='a1b2c3d4e5'", "Zx-tab-ll3_token=a1b2c3d4e5", "q7_api_key=a1b2c3d4e5"):
        assert next(one.kind for one in find_secrets(text)).split()[-1] in ("password", "token", "api_key")


SECRET_NAMES = (
    "DB_PASS", "db_pass", "ssh_pass", "smtp_pass", "user_pw", "pass_phrase", "pass_word", "secret_phrase", "wifi_psk",
    "client_secret_v2", "licence_key", "comet_key", "kaggle_key", "sentry_dsn", "seed_phrase", "contraseña", "senha",
    "mot_de_passe", "Passwort", "kennwort", "пароль", "密码", "parola", "heslo", "hasło", "clave_api", "cle_api",
    "clé_api", "password_bytes", "secret_tuple",
)  # fmt: skip
WEAK_NAMES = (
    "pass", "pw", "pin", "psk", "otp", "hmac", "fernet", "jwt", "dsn", "pw_bytes", "token_str", "token_bytes", "tokens",
    "key",
)  # fmt: skip
PUBLIC_NAMES = (
    "tokens_per_step", "pass_rate", "passes", "n_pass_rate", "pw_loss", "pin_memory", "bypass", "keys", "passed",
    "spin", "passport", "compass", "opinion", "pwm", "hmac_loss", "passthrough", "image_key", "primary_key",
)  # fmt: skip


def test_a_name_that_may_be_a_secrets_needs_a_value_that_looks_like_one():
    assert [name for name in WEAK_NAMES if not is_weak_name(name) or is_secret_name(name)] == []
    assert [name for name in (*SECRET_NAMES, *PUBLIC_NAMES) if is_weak_name(name)] == []


def test_a_name_says_what_is_secret():
    secret = (
        "HF_TOKEN",
        "wandbApiKey",
        "--password",
        "client_secret",
        "API_KEY_2",
        "db-pwd",
        "azure.account_key",
        *SECRET_NAMES,
    )
    public = (
        "PWD",
        "OLDPWD",
        "tokens",
        "image_token_id",
        "num_tokens",
        "monkey",
        "key",
        "author",
        "tokenizer",
        "decoder_token",
        *PUBLIC_NAMES,
    )
    assert [name for name in (*secret, *public) if is_secret_name(name)] == list(secret)


def test_random_text_is_told_from_words_by_its_order():
    tokens = [one.text[4:] for one in plant(2000, seed=5) if one.kind == "GitHub classic"]
    assert sum(map(is_random, tokens)) >= 0.9 * len(tokens)
    assert not any(
        map(is_random, ("Wav2Vec2ForSequenceClassification2", "A" * 30, "a1" * 15, "THISISALLCAPS12345678901234567890"))
    )


@pytest.mark.skipif(not CONFIGS.exists(), reason="the public configurations are not here")
def test_nothing_in_public_configurations_is_taken_for_a_secret():
    found = []
    for file in sorted(CONFIGS.glob("*.gz")):
        for line in gzip.open(file, "rt"):
            found += [line[one.start - 20 : one.end] for one in find_secrets(line)]
    assert found == []


def test_a_private_key_that_does_not_end_hides_no_more_than_the_longest_key():
    redact = Lines().redact
    redact("-----BEGIN PRIVATE KEY-----\n")
    lines = [redact(f"line {number}\n") for number in range(LONGEST_KEY + 5)]
    assert "line 0" not in lines[0]
    assert lines[-1] == f"line {LONGEST_KEY + 4}\n"


def test_a_key_that_is_handed_to_a_login_is_one_and_paths_in_a_bucket_are_none():
    key = "cec255404e4fb440034d6608697a8d41bed440e5"
    for text in (f'wandb.login(key="{key}")', f"login('{key}')", f"wandb login {key}", f"wandb login --relogin {key}"):
        assert key not in redact_text(text)
    for text in (f"commit {key}", "s3://bucket/AbCdEfGh1234IjKlMnOp5678/model.pt", f"at login page {key[:39]}"):
        assert redact_text(text) == text


def test_a_vocabulary_that_a_run_wrote_stays_as_it_is():
    words = "\n".join(f"{base64.b64encode(hashlib.sha256(str(n).encode()).digest()).decode()} {n}" for n in range(50))
    assert redact_data(words) == words
