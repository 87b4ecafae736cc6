"""What a person sees of secrets: none is shown, and an old folder is searched and rewritten."""

import base64
import os
import re

import pytest
from benchmarks.planted_secrets import plant, run_planted
from tests.ledger.old_store import SECRETS, holding, old_store

SCRIPT = f"""
import os, random
import palate
API_KEY = {SECRETS[0]!r}
lift = 0.0
seed = 0
settings = palate.settings(token={SECRETS[2]!r})
random.seed(seed)
os.environ.get("WANDB_API_KEY")
for step in range(3):
    palate.log(step, val_acc=.5 + lift + random.gauss(0, .01))
"""


@pytest.fixture
def salted(workplace):
    """A folder whose person has a salt and a secret in the environment."""
    workplace.environment |= {"PALATE_SALT": "salt", "WANDB_API_KEY": SECRETS[5]}
    return workplace


def test_a_training_with_secrets_is_asked_about_run_and_shown_without_any(salted):
    salted.write(SCRIPT)
    run = ("run", "train.py", "-c", "lift=.3", "--metric", "val_acc", "--pairs", "2")
    said = [
        salted.call(*run, "--forecast", "better:80", "--why", f"token={SECRETS[5]}", "--", "--password", SECRETS[4])
    ]
    assert said[0].returncode == 0, said[0].stderr
    said += [salted.call("show", "--json"), salted.call("list", "--runs"), salted.call("verify")]
    said.append(salted.call("forecast", "last", "--export", "asked.json"))
    name = next(path.name for path in (salted.folder / ".palate" / "runs").iterdir())
    said.append(salted.call("show", name))
    told = "".join(one.stdout + one.stderr for one in said) + (salted.folder / "asked.json").read_text()
    assert not any(secret in told for secret in SECRETS)
    assert "secret" in said[-1].stdout
    assert holding(salted.folder / ".palate") == []
    assert salted.call("doctor", "--secrets").stdout.startswith("No secrets were found")


def test_another_secret_is_a_change_and_runs_by_it(salted):
    salted.write(SCRIPT)
    run = ("run", "train.py", "--metric", "val_acc", "--pairs", "2", "--no-forecast")
    changed = salted.call(*run, "-c", f"token={SECRETS[3]}")
    assert "token was secret" in changed.stdout + changed.stderr  # so it arrived, and changed nothing
    same = salted.call(*run, "-c", f"token={SECRETS[2]}")
    assert same.returncode == 2
    assert "already" in same.stderr
    assert not any(secret in same.stderr + changed.stdout + changed.stderr for secret in SECRETS)
    assert holding(salted.folder / ".palate") == []


KNOWN = "q7Xz1Lw9BvR4"
PEM = f"-----BEGIN KEY-----\n{KNOWN}uK5mHc3J\nqQ==\n-----END KEY-----\n"
ALL_WAYS = """
import base64, os, pathlib, random
import palate
lift = 0.0
seed = 0
settings = palate.settings(credentials={"ada": "Zx-set-key1"}, pw_bytes=b"Zx-byt-key2", tokens={"hub": "Zx-set-key3"})
random.seed(seed)
known = os.environ["MY_API_KEY"]
pathlib.Path("results.csv").write_text("99,100000,training")
pathlib.Path(os.environ["PALATE_RUN_DIR"], "notes.txt").write_text(known)
print("got", base64.b64encode(b"ab" + known.encode()).decode())
print(os.environ["DEPLOY_KEY"].splitlines()[1])
print({"pw": "Zx-prt-key4"}, "Passwort: Zx-prt-key5")
for step in range(3):
    palate.log(step, val_acc=.5 + lift + random.gauss(0, .01))
"""


def test_what_is_known_is_taken_out_of_reasons_and_of_what_a_run_writes_but_results_stay(salted):
    salted.environment |= {"MY_API_KEY": KNOWN, "DEPLOY_KEY": PEM, "DB_PASSWORD": "100000", "API_KEY": "training"}
    salted.write(ALL_WAYS)
    run = ("run", "train.py", "-c", "lift=.3", "--metric", "val_acc", "--pairs", "2", "--forecast", "better:80")
    words = ("-pZx-arg-key6", "-u", "ada:Zx-arg-key7", "--db-pass", "Zx-arg-key8")
    said = [salted.call(*run, "--why", f"it uses {KNOWN}", "--", *words)]
    assert said[0].returncode == 0, said[0].stderr
    said.append(salted.call("forecast", "last", "--void", f"key {KNOWN} was revoked"))
    runs = list((salted.folder / ".palate" / "runs").iterdir())
    said.append(salted.call("show", runs[0].name))
    assert "Redacted   notes.txt" in said[-1].stdout
    assert {(run / "work" / "results.csv").read_text() for run in runs} == {"99,100000,training"}
    files = [path for path in (salted.folder / ".palate").rglob("*") if path.is_file()]
    kept = "".join(path.read_bytes().decode("latin-1") for path in files)
    told = "".join(one.stdout + one.stderr for one in said)
    assert KNOWN not in kept + told and KNOWN.encode().hex() not in kept + told
    assert base64.b64encode(KNOWN.encode()).decode()[:12] not in kept
    assert re.findall(r"Zx-\w+-key\d", kept + told) == []
    assert b"Zx-byt-key2".hex() not in kept
    assert "it uses <secret>" in told and "key <secret> was revoked" in told


def test_an_old_folder_is_searched_shown_and_rewritten_when_it_is_confirmed(salted):
    old_store(salted.folder)
    found = salted.call("doctor", "--secrets")
    assert found.returncode == 1
    assert "chain.jsonl (record 0): OpenAI key, sk-p...; make it anew: platform.openai.com" in found.stdout
    assert "palate redact" in found.stdout
    planned = salted.call("redact", "--dry-run")
    assert planned.returncode == 0
    assert "2 sealed records are rewritten" in planned.stdout
    refused = salted.call("redact")
    assert refused.returncode == 4
    assert "--yes" in refused.stderr
    assert "chain.jsonl" in holding(salted.folder / ".palate")
    done = salted.call("redact", "--yes", "--author", "ada")
    assert done.returncode == 1  # something is left
    assert "2 sealed records were rewritten" in done.stdout
    assert "model.bin" in done.stdout.partition("stay as they are")[2]
    assert set(holding(salted.folder / ".palate")) == {"model.bin"}
    assert "by ada (record 3): records 0, 1" in salted.call("verify").stdout
    assert len(salted.json("verify")["redactions"]) == 1
    assert salted.json("doctor", "--secrets")["found"] == []
    assert salted.json("redact")["redacted"] is None
    told = "".join(one.stdout + one.stderr for one in (found, planned, refused, done))
    assert not any(secret in told for secret in SECRETS)


def test_doctor_closes_a_folder_that_others_can_read(salted):
    salted.call("list")
    folder = salted.folder / ".palate"
    folder.chmod(0o755)
    assert "as open as it is" in salted.call("doctor", PALATE_SHARED="1").stdout
    assert folder.stat().st_mode & 0o777 == 0o755
    assert "were open to others; only you can read them now" in salted.call("doctor").stdout
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_of_200_planted_secrets_none_reaches_the_store_nor_what_is_shown(tmp_path):
    secrets = plant(200)
    found, told = run_planted(tmp_path, secrets)
    assert found == []
    assert [one.kind for one in secrets if one.part in told] == []


SETS = """
import os, random, subprocess, sys
import palate
lift = 0.0
os.environ.setdefault("DB_PASSWORD", "dotenv-dbpw-42x")  # as load_dotenv does
os.environ["MY_SECRET"] = "set-inside-pw-33y"
print("config", os.environ["DB_PASSWORD"], os.environ["MY_SECRET"])
inner = "import os; os.environ['K_TOKEN'] = 'child-tok-99-abz'; print('child', os.environ['K_TOKEN'])"
subprocess.run([sys.executable, "-c", inner])
random.seed(int(os.environ["PALATE_SEED"]))
for step in range(3):
    palate.log(step, val_acc=.5 + lift + random.gauss(0, .01))
"""


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no files in memory")
def test_secrets_that_a_run_puts_into_its_environment_are_not_kept_of_what_it_prints(salted):
    salted.write(SETS)
    ended = salted.call("run", "train.py", "-c", "lift=.3", "--metric", "val_acc", "--pairs", "2", "--no-forecast")
    assert ended.returncode == 0, ended.stderr
    kept = b"".join(path.read_bytes() for path in (salted.folder / ".palate").rglob("*") if path.is_file())
    assert b"config <secret> <secret>" in kept
    assert not any(secret in kept for secret in (b"dotenv-dbpw", b"set-inside-pw", b"child-tok"))


def test_a_dry_run_removes_nothing_and_a_redaction_what_others_left_half_written(salted):
    old_store(salted.folder)
    left = [salted.folder / ".palate" / name for name in (".goals.json.4194303.1.palate", "runs/r/.x.4194303.1.palate")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
        os.utime(path, (0, 0))
    salted.call("redact", "--dry-run")
    assert all(path.exists() for path in left)
    assert salted.call("redact", "--yes", "--author", "ada").returncode == 1  # model.bin stays
    assert not any(path.exists() for path in left)
